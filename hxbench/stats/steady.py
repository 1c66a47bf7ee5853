"""Where a warm-up ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BATCH = 5


@dataclass(frozen=True)
class Truncation:
    """How much of the beginning to leave out, and the statistic that is smallest there."""

    observations: int
    statistic: float
    steady: bool  # False at the half-way limit: the series never settled, and no part of it is steady


def mser5(in_time_order: NDArray[np.float64]) -> Truncation | None:
    """Returns where the rest has the smallest standard error, up to half way; None below two batches.

    MSER-5: White, Cobb and Spratt 2000 (Winter Simulation Conference), over means of five.
    """
    batches = in_time_order.size // BATCH
    if batches < 2:
        return None
    means = in_time_order[: batches * BATCH].reshape(-1, BATCH).mean(axis=1)
    means -= means.mean()  # the sums of squares below would lose digits otherwise
    left = np.arange(batches, 0, -1)
    sums, squares = np.cumsum(means[::-1])[::-1], np.cumsum(means[::-1] ** 2)[::-1]
    statistics = ((squares - sums**2 / left) / left**2)[: batches // 2 + 1]
    cut = int(np.argmin(statistics))
    return Truncation(cut * BATCH, float(statistics[cut]), steady=cut < batches // 2)
