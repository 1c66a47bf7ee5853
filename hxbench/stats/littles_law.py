"""Requests in flight, and Little's law between their number, their rate and their stay."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Flow:
    """L = lambda * W on a window (Little 1961); `disagreement` is |L - lambda W| as a share of L."""

    in_flight: float
    rate: float
    stay: float

    @property
    def disagreement(self) -> float:
        """Returns a share; above 0 where stays cross the window's ends."""
        return abs(self.in_flight - self.rate * self.stay) / self.in_flight if self.in_flight else 0.0


def seconds_in_flight(starts: Seconds, ends: Seconds, until: Seconds) -> Seconds:
    """Returns the time spent in flight by all requests together up to each of the moments `until`."""
    return _ramp(starts, until) - _ramp(ends, until)


def _ramp(edges: Seconds, until: Seconds) -> Seconds:
    """Returns the sum over edges of how far each moment lies behind them, in n log n."""
    in_order = np.sort(edges)
    passed = np.searchsorted(in_order, until)
    sums: Seconds = np.concatenate([[0.0], np.cumsum(in_order)])
    behind: Seconds = passed * until - sums[passed]
    return behind


def flow(starts: Seconds, ends: Seconds, *, window: tuple[float, float]) -> Flow | None:
    """Returns the flow through a window: stays that end in it give rate and stay; None when none does."""
    length = window[1] - window[0]
    leaving = (ends > window[0]) & (ends <= window[1])
    if not leaving.any():
        return None
    spent = seconds_in_flight(starts, ends, np.array(window))
    return Flow(
        in_flight=float(spent[1] - spent[0]) / length,
        rate=float(leaving.sum()) / length,
        stay=float((ends - starts)[leaving].mean()),
    )
