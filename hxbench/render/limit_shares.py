"""Numbers of different gates on one scale: each as a share of its own limit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shares:
    """A verdict's numbers as shares of its limit: above 1 is always beyond it; infinite where no end is."""

    estimate: float
    low: float | None  # None without an interval
    high: float | None


def shares(verdict: Mapping[str, Any]) -> Shares | None:
    """Returns a verdict's numbers as shares of its limit; None when it has no limit or no number to show.

    For a limit from below (throughput) the scale is turned round, limit / value, so more stays worse.
    """
    limit, estimate = verdict["limit"], verdict["estimate"]
    if not limit or estimate is None:
        return None
    least = verdict["comparator"] in (">", ">=")
    low, high = reversed(verdict["interval"]) if least else verdict["interval"]

    def of_limit(value: float) -> float:
        if not least:
            return float(value / limit)
        return float(limit / value) if value > 0 else math.inf

    if low is None and high is None:
        return Shares(of_limit(estimate), None, None)
    return Shares(
        of_limit(estimate),
        0.0 if low is None else of_limit(low),
        math.inf if high is None else of_limit(high),
    )
