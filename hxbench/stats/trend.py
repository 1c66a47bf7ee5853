"""Whether a series rises or falls, and how fast."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, norm, theilslopes

from hxbench.stats.proportions import Interval


@dataclass(frozen=True)
class Trend:
    """Mann and Kendall's test, and Theil and Sen's slope a unit of time with its two-sided interval."""

    s: int
    z: float
    p_value: float  # two-sided
    slope: float
    interval: Interval


def trend(
    values: NDArray[np.float64], times: NDArray[np.float64] | None = None, *, confidence: float = 0.95
) -> Trend:
    """Returns the trend of at least two values; without `times` they are one apart.

    The test takes the values as independent of each other: give it means of blocks (rigor: at least 20), not
    samples. Cost: n^2 slopes.
    """
    at = np.arange(values.size, dtype=np.float64) if times is None else times
    s = _concordance(values, at)
    z = (s - np.sign(s)) / math.sqrt(_variance(values)) if s else 0.0
    found = theilslopes(values, at, confidence)
    interval = Interval(float(found.low_slope), float(found.high_slope))
    return Trend(s, float(z), float(2 * norm.sf(abs(z))), float(found.slope), interval)


def _concordance(values: NDArray[np.float64], times: NDArray[np.float64]) -> int:
    """Pairs that rise less pairs that fall; from Kendall's tau-b, which is n log n."""
    pairs = math.comb(values.size, 2)
    tied = sum(math.comb(int(count), 2) for count in np.unique(values, return_counts=True)[1])
    if tied == pairs:
        return 0
    return round(float(kendalltau(times, values).statistic) * math.sqrt(pairs * (pairs - tied)))


def _variance(values: NDArray[np.float64]) -> float:
    """That of s without a trend, ties counted (Kendall 1970)."""
    groups = np.append(-np.unique(values, return_counts=True)[1], values.size).astype(float)
    n = np.abs(groups)
    return float((np.sign(groups) * n * (n - 1) * (2 * n + 5)).sum() / 18)
