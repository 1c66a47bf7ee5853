"""Quantiles by nearest rank, and the intervals that order statistics give them."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxbench.stats.proportions import p_value_above, upper_bound

ROUNDING = 1e-9  # 0.07 * 100 is 7.000000000000001 in floating point, yet rank 7


@dataclass(frozen=True)
class Ranks:
    """Ranks from 1 to n; None where no observation bounds the quantile."""

    low: int | None
    high: int | None


def nearest_rank(in_order: NDArray[np.float64], level: float) -> float | None:
    """Returns the smallest value that at least the share `level` does not exceed; None without values.

    `in_order` is sorted; a failure is `inf`. Rank ceil(n * level), as HdrHistogram and evalscope have it.
    """
    if in_order.size == 0:
        return None
    return float(in_order[rank(in_order.size, level) - 1])


def rank(n: int, level: float) -> int:
    """Returns the nearest rank of a quantile, from 1."""
    return max(math.ceil(n * level - ROUNDING), 1)


def finite(value: float | None) -> float | None:
    """Returns the value, None in place of NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None


def order_statistic_ranks(
    n: int, level: float, *, alpha_low: float, alpha_high: float, n_eff: float | None = None
) -> Ranks:
    """Returns the ranks between which the quantile lies, with its own error probability at each end.

    They are the Clopper-Pearson test turned round: a limit at or above the high rank's value passes it, a
    limit below the low rank's value fails it, also when n observations are worth only `n_eff`.
    """
    worth = (n if n_eff is None else n_eff) / n if n else 0.0
    allowed = 1 - level

    def too_many_to_pass(over: int) -> bool:
        return upper_bound(over * worth, n * worth, alpha_high) > allowed

    def enough_to_fail(over: int) -> bool:
        return p_value_above(over * worth, n * worth, allowed) < alpha_low

    most_passing = _first(too_many_to_pass, n) - 1
    least_failing = _first(enough_to_fail, n)
    return Ranks(
        low=n - least_failing + 1 if least_failing <= n else None,
        high=n - most_passing if most_passing >= 0 else None,
    )


def _first(is_so: Callable[[int], bool], n: int) -> int:
    """Returns the smallest count from 0 to n for which it is so, n + 1 when for none; once so, always so."""
    return bisect_left(range(n + 1), 1, key=is_so)


def quantile_interval(
    in_order: NDArray[np.float64],
    level: float,
    *,
    alpha_low: float,
    alpha_high: float,
    n_eff: float | None = None,
) -> tuple[float | None, float | None]:
    """Returns the observations between which the quantile lies; None where none bounds it."""
    ranks = order_statistic_ranks(
        int(in_order.size), level, alpha_low=alpha_low, alpha_high=alpha_high, n_eff=n_eff
    )
    return _at(in_order, ranks.low), _at(in_order, ranks.high)


def _at(in_order: NDArray[np.float64], rank: int | None) -> float | None:
    value = None if rank is None else float(in_order[rank - 1])
    return value if value is not None and math.isfinite(value) else None
