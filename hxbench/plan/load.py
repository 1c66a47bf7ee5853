"""The load of a profile: closed or open loop, at one rate or in stages."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hxbench.plan.fields import Duration, DurationOrZero, Line, Name, Ramp, Rate, Slope, broken, listed
from hxbench.plan.section import Section, said

Count = Annotated[int, Field(ge=1, le=10**7)]

# What has no place in each loop, and what each needs.
_FOREIGN = {
    "open": ("users", "ramp_up", "think_time"),
    "closed": ("rate", "stages", "trace", "arrivals", "burstiness", "max_in_flight"),
}
_FOREIGN_TO_TRACE = ("rate", "stages", "arrivals", "burstiness", "measure", "requests")
_NEEDED = {"open": ("arrivals",), "closed": ("users",)}
_TWO_LENGTHS = "give one of load.measure and load.requests, and null for the other"
# A t interval over two trials has one degree of freedom: t = 12.7 at 95 %, against 4.3 for three.
_TWO_TRIALS = "two trials are refused: the t factor makes them worth less than one; take 1, or 3 and more"


class Stage(Section):
    name: Name
    """In the column `stage` of the schedule."""
    rate: Slope
    """Requests per second, or {from, to}: a rate that changes evenly over the stage."""
    duration: Duration


Stages = Annotated[tuple[Stage, ...], BeforeValidator(listed), Field(min_length=1, max_length=100)]


class Load(Section):
    loop: Literal["closed", "open"] = "closed"
    """closed: each user waits for its answer; open: requests come when due. open when a rate is given."""
    users: Annotated[int, Field(ge=1, le=10**5)] | None = None
    """Closed loop only; 1 when not given."""
    ramp_up: Duration | None = None
    """Closed loop only: the users come one after the other, evenly over this part of the warm-up."""
    think_time: Duration | None = None
    """Closed loop only: how long a user waits between an answer and its next request."""
    rate: Rate | None = None
    """Open loop only: requests per second."""
    stages: Stages | None = None
    """Open loop only, instead of rate and measure: one stretch of load after the other."""
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
    warmup: DurationOrZero = said("10 s")
    """At the rate with which the first stage begins, where there are stages."""
    measure: Duration | None = None
    """How long to measure; 60 s when neither this nor requests nor stages are given."""
    requests: Count | None = None
    """How many requests to measure, instead of how long."""
    trials: Annotated[int, Field(ge=1, le=100)] = 1
    """Independent repetitions: 1, or 3 and more."""

    @property
    def scaled_users(self) -> int:
        """How many users a closed loop has, scale included: at least one."""
        return max(1, round((self.users or 1) * self.scale))

    @property
    def slopes(self) -> tuple[tuple[str | None, Ramp, float | None], ...]:
        """The measured stages of an open loop, scale included: name, rate and seconds.

        A load without stages is one without a name, and without an end where a number of requests ends it.
        """
        if self.stages is not None:
            return tuple((each.name, each.rate.times(self.scale), each.duration) for each in self.stages)
        return (
            () if self.rate is None else ((None, Ramp(self.rate, self.rate).times(self.scale), self.measure),)
        )

    @property
    def measured_s(self) -> float | None:
        """The measured window in seconds; None where a number of requests ends it."""
        return sum(stage.duration for stage in self.stages) if self.stages else self.measure

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
        is_open = any(written.get(key) is not None for key in ("rate", "stages", "trace"))
        loop = written.get("loop", "open" if is_open else "closed")
        if written.get("trace") is not None:
            return {"loop": loop, **written}
        shape = {"arrivals": "poisson"} if loop == "open" else {"users": 1}
        has_length = any(written.get(key) is not None for key in ("requests", "stages"))
        length = {} if has_length else {"measure": "60 s"}
        return {"loop": loop, **shape, **length, **written}

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
        if self.ramp_up is not None and self.ramp_up > self.warmup:
            raise broken(("ramp_up",), "is longer than load.warmup: measuring begins with all users there")
        return self
