"""The interval plot: every gate's estimate and interval on one scale, as a share of its limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hxbench.render.limit_shares import shares

_SCALE = 1.5  # where the axis ends; beyond it an arrow points on
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
    found = shares(verdict)
    if found is None:
        return None
    return Bar(
        estimate=_x(found.estimate),
        low=None if found.low is None else _x(found.low),
        high=None if found.high is None else _x(found.high),
        beyond=reach(verdict) > _SCALE,
    )


def reach(verdict: Mapping[str, Any]) -> float:
    """Returns how far the worst end of a verdict's numbers reaches, 1 being the limit; 0 without numbers."""
    found = shares(verdict)
    return max(found.estimate, found.high or 0.0) if found else 0.0


def _x(share: float) -> float:
    return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * min(max(share, 0.0), _SCALE) / _SCALE, 1)
