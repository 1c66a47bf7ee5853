"""What a profile will ask for and whether that can decide its gates, before anything is started."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hxbench.judge import watched
from hxbench.judge.evidence import ALPHA_FAIL, ALPHA_PASS, QUANTILES, from_below
from hxbench.judge.gates import fewest_requests, unanswerable
from hxbench.plan.load import Load
from hxbench.plan.objectives import Objective
from hxbench.plan.outline import Outline, Plans, outline
from hxbench.plan.profile import Profile
from hxbench.stats.dependence import students_factor
from hxbench.stats.sample_size import required_n

POWER = 0.9


@dataclass(frozen=True)
class Need:
    """Requests that one gate needs to pass: `fewest` without a miss, and with so many of those allowed.

    All allow for what Student's factor takes of several trials. None where no number of requests does, or
    where their spread decides and not their number.
    """

    gate: str
    fewest: int | None
    missing_quarter: int | None
    missing_half: int | None


@dataclass(frozen=True)
class Samples:
    """Samples of each measured window that a limit on what Prometheus says needs, and those planned.

    `planned` is None where the server decides how long a window is.
    """

    gate: str
    needed: int
    planned: int | None


@dataclass(frozen=True)
class Forecast:
    """The outline, what each gate needs at this inflation, and which gates no answer can come of.

    At each look a PASS errs with `alpha_pass`, all FAILs together with `alpha_fail`.
    """

    outline: Outline
    needs: tuple[Need, ...]
    inflation: float
    unanswerable: tuple[str, ...]
    alpha_pass: float = ALPHA_PASS
    alpha_fail: float = ALPHA_FAIL
    samples: tuple[Samples, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns the forecast as JSON has it."""
        return asdict(self)


def forecast(profile: Profile, plans: Plans, inflation: float = 1.0) -> Forecast:
    """Returns what to expect of a profile; `inflation` is how many requests are worth one independent one."""
    load = profile.load
    needs = tuple(_need(each, load, inflation) for each in profile.objectives)
    planned = outline(profile, plans)
    hopeless = tuple(_hopeless(profile, needs, planned.measured))
    alpha_pass, alpha_fail = ALPHA_PASS / load.looks, ALPHA_FAIL / load.looks
    return Forecast(planned, needs, inflation, hopeless, alpha_pass, alpha_fail, tuple(_samples(profile)))


def _samples(profile: Profile) -> Iterator[Samples]:
    for each in profile.watched.objectives if profile.watched else ():
        gate, needed = f"{each.metric}.{each.statistic}", watched.fewest_samples(each, profile.load.trials)
        yield Samples(gate, needed, watched.planned_samples(profile))


def _need(objective: Objective, load: Load, inflation: float) -> Need:
    gate = f"{objective.metric}.{objective.statistic}"
    fewest = fewest_requests(objective, load.trials, load.looks)
    allowed, alpha = _allowed(objective), ALPHA_PASS / load.looks
    if allowed is None:
        return Need(gate, fewest, None, None)
    left = students_factor(load.trials, alpha)
    needed = (required_n(allowed, allowed / part, alpha=alpha, power=POWER).n / left for part in (4, 2))
    counts = (fewest, *needed)
    return Need(gate, *(None if each is None else math.ceil(each * inflation) for each in counts))


def _allowed(objective: Objective) -> float | None:
    """Returns the share of misses that a gate allows; None for one that allows none or all, or no share."""
    if objective.statistic in QUANTILES:
        return 1 - QUANTILES[objective.statistic]
    if objective.statistic != "share":
        return None
    allowed = 1 - objective.limit if from_below(objective) else objective.limit
    return allowed if 0 < allowed < 1 else None


def _hopeless(profile: Profile, needs: Sequence[Need], most: int) -> Iterator[str]:
    """Yields the gates that no answer can come of; those that inflation alone makes hopeless come last."""
    without_inflation = unanswerable(profile)
    yield from without_inflation
    for each in needs:
        known = any(f".{each.gate}:" in sentence for sentence in without_inflation)
        if not known and each.fewest is not None and each.fewest > most:
            yield f"objectives.{each.gate}: at this inflation it needs {each.fewest} requests, not {most}"
