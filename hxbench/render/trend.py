"""The trend plot: one gate's estimate and interval over the runs of one profile, the oldest at the left."""

from collections.abc import Sequence
from dataclasses import dataclass

from hxbench.render.past_runs import Number

WIDTH, HEIGHT = 260.0, 56.0
_MARGIN = 7.0
_ROOM = 1.1  # of the axis above the largest value
_MARKS = {"PASS": "pass", "FAIL": "fail"}


@dataclass(frozen=True)
class Point:
    """One run: positions in the plot's own units; an open end of the interval reaches the edge."""

    x: float
    y: float
    low: float | None
    high: float | None
    mark: str  # pass, fail, or open


@dataclass(frozen=True)
class Trend:
    """Points from old to new on an axis that begins at 0; the limit's height where it lies on the axis."""

    points: tuple[Point, ...]
    limit_y: float | None
    breaks: tuple[float, ...]  # between runs of different profiles of one name: what follows was asked anew


def trend(numbers: Sequence[Number | None], profiles: Sequence[str]) -> Trend:
    """Returns where the numbers of runs, the oldest first, stand; None where a run did not measure it.

    `profiles` are the runs' profile hashes.
    """
    measured = [each for each in numbers if each is not None]
    top = max((max(each.estimate, each.high or 0.0) for each in measured), default=0.0) * _ROOM or 1.0
    step = (WIDTH - 2 * _MARGIN) / max(len(numbers) - 1, 1)
    xs = [_MARGIN + step * place for place in range(len(numbers))]
    limit = measured[-1].limit if measured else None
    return Trend(
        points=tuple(_point(x, each, top) for x, each in zip(xs, numbers, strict=True) if each is not None),
        limit_y=None if limit is None or not 0 <= limit <= top else _y(limit, top),
        breaks=tuple(
            round(xs[place] - step / 2, 1)
            for place in range(1, len(profiles))
            if profiles[place] != profiles[place - 1]
        ),
    )


def _point(x: float, number: Number, top: float) -> Point:
    bounded = number.low is not None or number.high is not None
    return Point(
        x=round(x, 1),
        y=_y(number.estimate, top),
        low=_y(number.low or 0.0, top) if bounded else None,
        high=_y(top if number.high is None else number.high, top) if bounded else None,
        mark=_MARKS.get(number.verdict, "open"),
    )


def _y(value: float, top: float) -> float:
    share = min(max(value / top, 0.0), 1.0)
    return round(HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * share, 1)
