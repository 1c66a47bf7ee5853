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


AXIS = Bar(estimate=_MARGIN, low=None, high=None, beyond=False)  # of the scale's own marks


def bar(verdict: Mapping[str, Any]) -> Bar | None:
    """Returns where a verdict's numbers stand; None when it has no limit or no number to show."""
    shares = _shares(verdict)
    if shares is None:
        return None
    estimate, low, high = shares
    return Bar(
        estimate=_x(estimate),
        low=None if low is None else _x(low),
        high=None if high is None else _x(high),
        beyond=max(estimate, high or 0.0) > _SCALE,
    )


def reach(verdict: Mapping[str, Any]) -> float:
    """Returns how far the worst end of a verdict's numbers reaches, 1 being the limit; 0 without numbers."""
    estimate, _, high = _shares(verdict) or (0.0, None, None)
    return max(estimate, high or 0.0)


def _shares(verdict: Mapping[str, Any]) -> tuple[float, float | None, float | None] | None:
    """Returns estimate and both ends as shares of the limit.

    For a limit from below (throughput) the scale is turned round, limit / value, so right stays worse.
    """
    limit, estimate = verdict["limit"], verdict["estimate"]
    if not limit or estimate is None:
        return None
    low, high = verdict["interval"]
    if verdict["comparator"] in (">", ">="):
        middle, low, high = (_turned(limit, value) for value in (estimate, high, low))
    else:
        middle, low, high = (None if value is None else value / limit for value in (estimate, low, high))
    if verdict["interval"] == [None, None]:
        return middle or 0.0, None, None
    return middle or 0.0, low or 0.0, _BEYOND if high is None else high


def _turned(limit: float, value: float | None) -> float | None:
    return None if value is None else limit / value if value > 0 else _BEYOND


def _x(share: float) -> float:
    return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * min(max(share, 0.0), _SCALE) / _SCALE, 1)
