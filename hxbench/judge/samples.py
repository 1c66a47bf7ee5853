"""The values a latency gate looks at: one a request, or one a gap for itl; a failure is infinite."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.evidence import QUANTILES
from hxbench.judge.measured import Measured
from hxbench.stats.quantiles import ROUNDING

Values = NDArray[np.float64]

# Good requests may have none of these: a reused connection, an answer that came in one read.
MAY_BE_UNDEFINED = frozenset({"tpot", "connect", "itl"})


@dataclass(frozen=True)
class Sample:
    """Values in time order with the trial of each, and what they are worth.

    `n_eff` is in requests: the values of one request depend on each other.
    """

    values: Values
    trials: NDArray[np.int64]
    n_eff: float
    requests: int

    @property
    def in_order(self) -> Values:
        """Returns the values from the smallest to the largest."""
        return np.sort(self.values)

    @property
    def good(self) -> Values:
        """Returns the values of the requests that succeeded, from the smallest to the largest."""
        return np.sort(self.values[np.isfinite(self.values)])

    def capped(self, most: float) -> Values:
        """Returns the values with `most` in place of each failure."""
        return np.where(np.isfinite(self.values), self.values, most)


EMPTY = Sample(np.empty(0), np.empty(0, dtype=np.int64), 0.0, 0)


def sample(measured: Measured, metric: str) -> Sample:
    """Returns the values of a latency metric for the N requests; empty when none was measured at all.

    A good request without a value counts as a failure, unless the metric need not exist for it.
    """
    return _gaps(measured) if metric == "itl" else of_requests(measured.attempted, metric)


def of_requests(attempted: pd.DataFrame, metric: str) -> Sample:
    """Returns the values of a latency that each of these requests has one of; see `sample`."""
    values = attempted[f"{metric}_s"].to_numpy(dtype="float64")
    good = attempted["ok"].to_numpy()
    if good.any() and np.isnan(values[good]).all():
        return EMPTY
    values = np.where(good, values, np.inf)
    if metric not in MAY_BE_UNDEFINED:
        values = np.where(np.isnan(values), np.inf, values)
    defined = ~np.isnan(values)
    trials = attempted["trial"].to_numpy(dtype="int64")[defined]
    return Sample(values[defined], trials, float(defined.sum()), int(defined.sum()))


def _gaps(measured: Measured) -> Sample:
    """A failed request stands for as many infinite gaps as a good one has on average."""
    gaps = measured.gaps[measured.gaps["ok"]]
    each = gaps.groupby("request_id", sort=False).size().to_numpy(dtype="float64")
    failed = measured.attempted[~measured.attempted["ok"]]
    if not each.size and len(failed) < len(measured.attempted):
        return EMPTY
    lost = max(round(float(each.mean())), 1) if each.size else 1
    times = pd.concat([gaps["time_s"], failed["dispatched_s"].repeat(lost)], ignore_index=True)
    trials = pd.concat([gaps["trial"], failed["trial"].repeat(lost)], ignore_index=True)
    values = np.concatenate([gaps["gap_s"].to_numpy(), np.full(lost * len(failed), np.inf)])
    order = np.lexsort((times.to_numpy(), trials.to_numpy(dtype="int64")))
    sizes = np.concatenate([each, np.full(len(failed), float(lost))])
    return Sample(
        values[order], trials.to_numpy(dtype="int64")[order], _clusters(sizes), int(np.count_nonzero(sizes))
    )


def own_values(measured: Measured, metric: str, statistic: str) -> Values:
    """Returns for each of the N requests its value of a latency; for itl the statistic of its own gaps.

    NaN where there is none.
    """
    if metric == "itl":
        return _own_gaps(measured, statistic)
    return measured.attempted[f"{metric}_s"].to_numpy(dtype="float64")


def _own_gaps(measured: Measured, statistic: str) -> Values:
    ids, gaps_s = measured.attempted["request_id"], measured.gaps["gap_s"].to_numpy()
    rows = pd.Index(ids).get_indexer(pd.Index(measured.gaps["request_id"]))
    counts = np.bincount(rows, minlength=len(ids))
    own, some = np.full(len(ids), np.nan), counts > 0
    if statistic == "mean":
        own[some] = np.bincount(rows, weights=gaps_s, minlength=len(ids))[some] / counts[some]
        return own
    ranks = np.ceil(counts * QUANTILES.get(statistic, 1.0) - ROUNDING).astype(np.intp)  # 1.0: its maximum
    in_order = gaps_s[np.lexsort((gaps_s, rows))]
    own[some] = in_order[(np.cumsum(counts) - counts + np.maximum(ranks, 1) - 1)[some]]
    return own


def _clusters(sizes: Values) -> float:
    """How many equal clusters these are worth (Kish 1965): their number when all are of one size.

    As if the gaps of one request were all alike, which no dependence between them can be worse than.
    """
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.size else 0.0
