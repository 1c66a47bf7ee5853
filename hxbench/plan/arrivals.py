"""When the requests of an open loop are due: gaps of one on average, stretched by the rate. Standard library.

A process of rate 1 whose times are mapped through the inverse of the rate's integral has that rate at each
moment (for Poisson: E. Çinlar, Introduction to Stochastic Processes, 1975, pages 94 to 101). So a stage may
ramp, and the same seed gives the same pattern at any rate.
"""

from collections.abc import Iterator
from itertools import count
from math import inf, sqrt
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hxbench.plan.load import Load

MAIN = "main"  # the only stage of a load that has none
_SECOND = 1_000_000_000


class Place(NamedTuple):
    """What the schedule says of a request but for what it asks; a closed loop has no due times."""

    phase: str
    stage: str
    due_offset_ns: int | None


class Stretch(NamedTuple):
    """So many seconds (infinity: without end) in which the rate changes evenly from `begin` to `end`."""

    phase: str
    stage: str
    seconds: float
    begin: float
    end: float

    @property
    def arrivals(self) -> float:
        """Returns how many requests come on average."""
        return (self.begin + self.end) / 2 * self.seconds

    def after(self, arrivals: float) -> float:
        """Returns the seconds until so many requests have come on average."""
        if arrivals <= 0:  # on the border, but for rounding
            return 0.0
        slope = (self.end - self.begin) / self.seconds
        under_root = max(self.begin * self.begin + 2 * slope * arrivals, 0.0)
        return 2 * arrivals / (self.begin + sqrt(under_root))


def places(load: "Load", seed: int, trial: int) -> Iterator[Place]:
    """Yields phase, stage and due time of each request of an open loop, in order."""
    measured = 0
    for place in _due(stretches(load), _process(load, seed, trial)):
        measured += place.phase == "measure"
        if load.requests is not None and measured > load.requests:
            return
        yield place


def stretches(load: "Load") -> list[Stretch]:
    """Returns warm-up and stages of an open loop, one after the other."""
    measured = [
        Stretch("measure", name or MAIN, inf if seconds is None else seconds, rate.begin, rate.end)
        for name, rate, seconds in load.slopes
    ]
    first = measured[0]
    warmup = Stretch("warmup", first.stage, load.warmup, first.begin, first.begin)
    return [warmup, *measured] if load.warmup else measured


def poisson(generator: Random) -> Iterator[float]:
    """Yields times with exponential gaps of 1 on average: a Poisson process."""
    time = 0.0
    while True:
        time += generator.expovariate(1.0)
        yield time


def gamma(generator: Random, burstiness: float) -> Iterator[float]:
    """Yields times with gamma gaps of 1 on average, of shape `burstiness`.

    Their variance is 1 / burstiness: at 1 they are exponential, far above 1 they are constant.
    """
    time = 0.0
    while True:
        time += generator.gammavariate(burstiness, 1 / burstiness)
        yield time


def constant() -> Iterator[float]:
    """Yields 0, 1, 2 and so on."""
    return map(float, count())


def _process(load: "Load", seed: int, trial: int) -> Iterator[float]:
    generator = Random(f"arrivals {seed} {trial}")  # noqa: S311 - to be repeated, not to be secret
    if load.arrivals == "constant":
        return constant()
    return poisson(generator) if load.burstiness is None else gamma(generator, load.burstiness)


def _due(timeline: list[Stretch], process: Iterator[float]) -> Iterator[Place]:
    """Maps a process of rate 1 onto the stretches; a due time on a border belongs to the later one."""
    begins_ns, arrived = 0, 0.0
    time = next(process)
    for stretch in timeline:
        length_ns = inf if stretch.seconds == inf else round(stretch.seconds * _SECOND)
        while time - arrived < stretch.arrivals:
            offset_ns = round(stretch.after(time - arrived) * _SECOND)
            if offset_ns >= length_ns:
                break
            yield Place(stretch.phase, stretch.stage, begins_ns + offset_ns)
            time = next(process)
        if length_ns != inf:
            begins_ns, arrived = begins_ns + int(length_ns), arrived + stretch.arrivals
