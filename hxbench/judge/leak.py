"""Whether a server's memory grows without end: its level at rest, cycle after cycle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxbench import units
from hxbench.stats.means import BATCHES, batch_means
from hxbench.stats.trend import trend

Values = NDArray[np.float64]

LEAK, NO_LEAK, UNDECIDED = "leak", "no leak", "undecided"
WARM_UP_CYCLES = 1  # buffers that are made once and kept
FEWEST_CYCLES = 6  # behind it: below that Theil and Sen's bound is the smallest of a handful of slopes
ALPHA = 0.05  # two-sided: of the slope's interval, and of the test for a trend
SLOWED = 0.5  # of the growth before: growth that halves within the cycles may level off


@dataclass(frozen=True)
class Leak:
    """The verdict, its reason, and the growth of the level at rest in bytes a cycle with its interval."""

    verdict: str
    reason: str
    cycles: int
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None  # of "no trend", over 20 block means


def leak(rests: Sequence[Values], budget: float) -> Leak:
    """Returns whether memory leaks by more than `budget` bytes a cycle.

    `rests` has the samples of each cycle's rest, in order; the first cycle warms up and does not count. A
    leak is one by two methods that err differently: the lower bound of Theil and Sen's slope over the lowest
    sample of each rest lies above the budget, and Mann and Kendall's test finds a rise over 20 block means of
    all samples at rest. The test alone false-alarms on samples that depend on each other, the bound alone
    looks at a handful of values. Growth that slows down may level off: then more cycles must tell.
    """
    counted = rests[WARM_UP_CYCLES:]
    cycles = len(counted)
    if cycles < FEWEST_CYCLES:
        return Leak(UNDECIDED, f"{cycles} cycles after the warm-up; {FEWEST_CYCLES} are needed", cycles)
    blocks = batch_means(np.concatenate(counted))
    if not blocks.size or not all(rest.size for rest in counted):
        return Leak(UNDECIDED, f"too few samples at rest for {BATCHES} block means of two or more", cycles)
    floors = np.array([rest.min() for rest in counted])
    floor, block = trend(floors, confidence=1 - ALPHA), trend(blocks)
    rises = block.z > 0 and block.p_value < ALPHA
    verdict, why = _decided(floors, *floor.interval, budget, rises=rises)
    low, high = (units.size(end) for end in floor.interval)
    reason = f"the level at rest grows by {units.size(floor.slope)} a cycle ({low} to {high}){why}"
    return Leak(verdict, reason, cycles, floor.slope, *floor.interval, block.p_value)


def _decided(floors: Values, low: float, high: float, budget: float, *, rises: bool) -> tuple[str, str]:
    allowed = units.size(budget)
    if high <= budget:
        return NO_LEAK, f", within the {allowed} allowed"
    if low <= budget:
        return (
            UNDECIDED,
            f", which does not tell whether it is above the {allowed} allowed; more cycles would",
        )
    if not rises:
        return UNDECIDED, f", above the {allowed} allowed, but block means of the rests show no rise"
    if _slows_down(floors):
        return UNDECIDED, ", but ever more slowly: it may level off; more cycles would tell"
    return LEAK, f", above the {allowed} allowed, and block means of the rests rise with it"


def _slows_down(floors: Values) -> bool:
    middle = floors.size // 2
    early, late = trend(floors[: middle + 1]).slope, trend(floors[middle:]).slope
    return late < SLOWED * early
