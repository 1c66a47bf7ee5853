"""Means of a process in time order, with intervals that survive its dependence."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from hxbench.stats.proportions import Interval

BATCHES = 20  # Schmeiser 1982: between 10 and 30 batches; more gains little and lets dependence in


@dataclass(frozen=True)
class Mean:
    """A mean, its standard error and the degrees of freedom that error has."""

    value: float
    standard_error: float
    degrees: int

    def interval(self, *, alpha_low: float, alpha_high: float) -> Interval:
        """Returns Student's interval with its own error probability at each end."""
        return Interval(
            self.value - float(t.isf(alpha_low, self.degrees)) * self.standard_error,
            self.value + float(t.isf(alpha_high, self.degrees)) * self.standard_error,
        )

    def p_value_above(self, limit: float) -> float:
        """Returns how likely a mean this high is when the true one is `limit`."""
        return _tail(self.value - limit, self.standard_error, self.degrees)

    def p_value_below(self, limit: float) -> float:
        """Returns how likely a mean this low is when the true one is `limit`."""
        return _tail(limit - self.value, self.standard_error, self.degrees)


def _tail(beyond: float, standard_error: float, degrees: int) -> float:
    if standard_error == 0:
        return 0.0 if beyond > 0 else 1.0
    return float(t.sf(beyond / standard_error, degrees))


def batch_means(in_time_order: NDArray[np.float64], batches: int = BATCHES) -> NDArray[np.float64]:
    """Returns the means of equal stretches of a process (Law and Kelton, Simulation Modeling, 9.5.3).

    Neighbours depend on each other, stretches much less. Empty with fewer than two values a batch.
    """
    if in_time_order.size < 2 * batches:
        return np.empty(0)
    return np.array([part.mean() for part in np.array_split(in_time_order, batches)])


def mean_of(independent: NDArray[np.float64]) -> Mean | None:
    """Returns the mean of independent values, such as trials or batch means; None with fewer than two."""
    n = independent.size
    if n < 2:
        return None
    return Mean(float(independent.mean()), float(independent.std(ddof=1)) / math.sqrt(n), n - 1)
