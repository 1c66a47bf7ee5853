"""The load of a profile: closed or open loop, at one rate or in stages."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hxbench.plan.fields import Duration, DurationOrZero, Line, Name, Ramp, Rate, Slope, broken, listed
from hxbench.plan.section import Section, said
from hxbench.plan.series import MOST_POINTS
from hxbench.plan.think_time import ThinkTime

Count = Annotated[int, Field(ge=1, le=10**7)]

# What has no place in each loop, and what each needs.
_FOREIGN = {
    "open": ("users", "ramp_up", "think_time"),
    "closed": ("rate", "stages", "series", "trace", "arrivals", "burstiness", "max_in_flight"),
}
_FOREIGN_TO_TRACE = ("rate", "stages", "series", "arrivals", "burstiness", "measure", "requests")
_NEEDED = {"open": ("arrivals",), "closed": ("users",)}
_TWO_LENGTHS = "give one of load.measure and load.requests, and null for the other"
TRIALS_OF_TWO_LOOKS = 5  # with fewer the first would be after two trials, or one
# A t interval over two trials has one degree of freedom: t = 12.7 at 95 %, against 4.3 for three.
_TWO_TRIALS = "two trials are refused: the t factor makes them worth less than one; take 1, or 3 and more"


class Stage(Section):
    name: Name
    """In the column `stage` of the schedule."""
    rate: Slope
    """Requests per second, or {from, to}: a rate that changes evenly over the stage; an end may be 0."""
    duration: Duration


Stages = Annotated[tuple[Stage, ...], BeforeValidator(listed), Field(min_length=1, max_length=MOST_POINTS)]


class Load(Section):
    loop: Literal["closed", "open"] = "closed"
    """closed: each user waits for its answer; open: requests come when due. open when a rate is given."""
    users: Annotated[int, Field(ge=1, le=10**5)] | None = None
    """Closed loop only; 1 when not given."""
    ramp_up: Duration | None = None
    """Closed loop only: the users come one after the other, evenly over this part of the warm-up."""
    think_time: ThinkTime | None = None
    """Closed loop only: how long a user waits between an answer and its next request: a duration, or
    {distribution: exponential, mean}."""
    rate: Rate | None = None
    """Open loop only: requests per second."""
    stages: Stages | None = None
    """Open loop only, instead of rate and measure: one stretch of load after the other."""
    series: Line | None = None
    """Open loop only, instead of stages: a CSV file `seconds,rate` that is read into them."""
    trace: Line | None = None
    """Open loop only, instead of rate, stages and arrivals: a shipped trace, or the path of a JSONL file."""
    arrivals: Literal["constant", "poisson", "gamma"] | None = None
    """Open loop only; poisson when not given."""
    burstiness: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)] | None = None
    """With arrivals: gamma, the shape of the gaps: below 1 burstier than poisson, above 1 steadier."""
    max_in_flight: Annotated[int, Field(ge=1, le=10**5)] | None = None
    """Open loop only: a request beyond waits for a place, and its times still count from when it was due."""
    scale: Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)] = 1.0
    """Multiplies users and rates, not times; whatever is certified is certified for the scaled load."""
    time_scale: Annotated[float, Field(ge=0.0001, le=1000, allow_inf_nan=False)] = 1.0
    """Multiplies measure, ramp_up, think_time and the times of stages; not warm-up, rates or limits."""
    warmup: DurationOrZero = said("10 s")
    """At the rate with which the first stage begins, where there are stages."""
    measure: Duration | None = None
    """How long to measure; 60 s when neither this nor requests nor stages are given."""
    requests: Count | None = None
    """How many requests to measure, instead of how long."""
    trials: Annotated[int, Field(ge=1, le=100)] = 1
    """Independent repetitions: 1, or 3 and more."""
    looks: Annotated[int, Field(ge=1, le=100)] = 1
    """After how many equal parts of the trials the limits are looked at, each time at the share 1/looks of
    the error allowed. A run ends at the first look that decides all of them. 2 with five trials or more when
    not given."""

    @property
    def scaled_users(self) -> int:
        """How many users a closed loop has, scale included: at least one."""
        return max(1, round((self.users or 1) * self.scale))

    def scaled(self, time: float) -> float:
        """Returns a time of the load as it is run, in the unit it came in: the time scale included."""
        return time * self.time_scale

    @property
    def ramp_up_s(self) -> float:
        """How long it takes until all users of a closed loop are there, time scale included."""
        return self.scaled(self.ramp_up or 0.0)

    def thinking_s(self, seed: int, request_id: str) -> float:
        """Returns how long the user thinks after this request's answer, time scale included."""
        return self.scaled(self.think_time.after(seed, request_id)) if self.think_time else 0.0

    @property
    def slopes(self) -> tuple[tuple[str | None, Ramp, float | None], ...]:
        """The measured stages of an open loop, both scales included: name, rate and seconds.

        A load without stages is one without a name, and without an end where a number of requests ends it.
        """
        if self.stages is not None:
            return tuple(
                (each.name, each.rate.times(self.scale), self.scaled(each.duration)) for each in self.stages
            )
        if self.rate is None:
            return ()
        return ((None, Ramp(self.rate, self.rate).times(self.scale), self.measured_s),)

    @property
    def looks_after(self) -> tuple[int, ...]:
        """After how many trials each planned look comes, the last of them after all."""
        return tuple(math.ceil(self.trials * look / self.looks) for look in range(1, self.looks + 1))

    @property
    def measured_s(self) -> float | None:
        """The measured window in seconds, time scale included; None where a number of requests ends it."""
        if self.stages is not None:
            return sum(self.scaled(stage.duration) for stage in self.stages)
        return None if self.measure is None else self.scaled(self.measure)

    @property
    def expected_arrivals(self) -> float | None:
        """How many requests an open loop measures on average; None in a closed one."""
        if not self.slopes:
            return None
        return self.requests or sum(rate.mean * (seconds or 0) for _, rate, seconds in self.slopes)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        trials = written.get("trials")
        if isinstance(trials, int) and trials >= TRIALS_OF_TWO_LOOKS:
            written = {"looks": 2, **written}
        is_open = any(written.get(key) is not None for key in ("rate", "stages", "series", "trace"))
        loop = written.get("loop", "open" if is_open else "closed")
        if written.get("trace") is not None:
            return {"loop": loop, **written}
        shape = {"arrivals": "poisson"} if loop == "open" else {"users": 1}
        has_length = any(written.get(key) is not None for key in ("requests", "stages", "series"))
        length = {} if has_length else {"measure": "60 s"}
        return {"loop": loop, **shape, **length, **written}

    @model_validator(mode="after")
    def _has_its_series(self) -> Self:
        if self.series is not None:
            raise broken(("series",), "is turned into stages where the profile is resolved from its layers")
        return self

    @model_validator(mode="after")
    def _has_one_loop(self) -> Self:
        for key in _FOREIGN[self.loop]:
            if getattr(self, key) is not None:
                raise broken((key,), f"has no place in a load with loop: {self.loop}; set it to null")
        if self.trace is not None:
            return self
        for key in _NEEDED[self.loop]:
            if getattr(self, key) is None:
                raise broken((key,), f"required by loop: {self.loop}")
        if self.loop == "open" and self.rate is None and self.stages is None:
            raise broken(("rate",), "required by loop: open")
        if (self.arrivals == "gamma") != (self.burstiness is not None):
            wrong = "required by" if self.burstiness is None else "has no place without"
            raise broken(("burstiness",), f"{wrong} arrivals: gamma")
        return self

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if self.trace is not None:
            self._has_times_of_a_trace()
            return self
        if self.stages is None:
            if (self.measure is None) == (self.requests is None):
                raise broken(("measure",), _TWO_LENGTHS)
            return self
        for key in ("rate", "measure", "requests"):
            if getattr(self, key) is not None:
                raise broken((key,), "has no place beside load.stages, which have their own; set it to null")
        if not self.expected_arrivals:
            raise broken(("stages",), "no request would come: every rate is 0")
        names = [stage.name for stage in self.stages]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise broken(("stages",), f"two stages are called {twice[0]}")
        return self

    def _has_times_of_a_trace(self) -> None:
        for key in _FOREIGN_TO_TRACE:
            if getattr(self, key) is not None:
                raise broken(
                    (key,), "has no place beside load.trace, which has its own times; set it to null"
                )
        if self.scale != 1:
            raise broken(("scale",), "has no place beside load.trace, which has its own times; set it to 1")

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.trials == 2:
            raise broken(("trials",), _TWO_TRIALS)
        if self.looks > self.trials:
            raise broken(("looks",), f"expected at most load.trials, {self.trials}, got {self.looks}")
        if 2 in self.looks_after:
            raise broken(("looks",), _look_after_two(self.looks))
        if self.ramp_up_s > self.warmup:
            raise broken(("ramp_up",), "is longer than load.warmup: measuring begins with all users there")
        return self


def _look_after_two(looks: int) -> str:
    least = 2 * looks + 1
    return f"one of {looks} looks would be after two trials, which is refused; take {least} trials or more"
