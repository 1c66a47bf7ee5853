"""The interval plot: every gate's estimate and interval on one scale, as a share of its limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SCALE = 1.5  # where the axis ends; beyond it an arrow points on
_BEYOND = 2 * _SCALE
_WIDTH, _HEIGHT, _MARGIN = 240.0, 26.0, 6.0


@dataclass(frozen=True)
class Bar:
    """Positions in the plot's own units; 1 is the limit, and further right is always worse."""

    estimate: float
    low: float | None
    high: float | None
    beyond: bool  # reaches further than the plot

    width: float = _WIDTH
    height: float = _HEIGHT
    limit_x: float = _MARGIN + (_WIDTH - 2 * _MARGIN) / _SCALE


def bar(verdict: Mapping[str, Any]) -> Bar | None:
    """Returns where a verdict's numbers stand; None when it has no limit or no number to show.

    For a limit from below (throughput) the scale is turned round, limit / value, so right stays worse.
    """
    limit, estimate = verdict["limit"], verdict["estimate"]
    if not limit or estimate is None:
        return None
    ends = list(verdict["interval"])
    if verdict["comparator"] in (">", ">="):
        turned = [_share(limit, value) for value in (estimate, *reversed(ends))]
    else:
        turned = [None if value is None else value / limit for value in (estimate, *ends)]
    has_interval = ends != [None, None]
    middle = turned[0] or 0.0
    low = (turned[1] or 0.0) if has_interval else None
    high = (_BEYOND if turned[2] is None else turned[2]) if has_interval else None
    return Bar(
        estimate=_x(middle),
        low=None if low is None else _x(low),
        high=None if high is None else _x(high),
        beyond=max(middle, high or 0.0) > _SCALE,
    )


def _share(limit: float, value: float | None) -> float | None:
    return None if value is None else limit / value if value > 0 else _BEYOND


def _x(share: float) -> float:
    return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * min(max(share, 0.0), _SCALE) / _SCALE, 1)
