"""The values a latency gate looks at: one a request, or one a gap for itl; a failure is infinite."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.evidence import ALPHA_PASS, QUANTILES
from hxbench.judge.measured import Measured
from hxbench.stats.dependence import LEVELS, Worth, worth
from hxbench.stats.quantiles import ROUNDING, rank

Values = NDArray[np.float64]

# Good requests may have none of these: a reused connection, an answer that came in one read.
MAY_BE_UNDEFINED = frozenset({"tpot", "connect", "itl"})


@dataclass(frozen=True)
class Sample:
    """Values in time order, the position of each one's request among the N, and the trials of those N."""

    values: Values
    owners: NDArray[np.intp]
    trial_of: NDArray[np.int64]

    @cached_property
    def in_order(self) -> Values:
        """Returns the values from the smallest to the largest."""
        return np.sort(self.values)

    @property
    def good(self) -> Values:
        """Returns the values of the requests that succeeded, from the smallest to the largest."""
        return self.in_order[: np.searchsorted(self.in_order, np.inf)]

    def capped(self, most: float) -> Values:
        """Returns the values with `most` in place of each failure."""
        return np.where(np.isfinite(self.values), self.values, most)

    @property
    def trials(self) -> NDArray[np.int64]:
        """Returns the trial of each value."""
        return self.trial_of[self.owners]

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """Returns how many values each of the N requests has."""
        return np.bincount(self.owners, minlength=self.trial_of.size)

    @property
    def requests(self) -> int:
        """Returns how many requests have a value."""
        return int(np.count_nonzero(self.counts))

    def worth(self, level: float) -> Worth:
        """Returns how many independent requests the values are worth to a gate on the quantile at `level`.

        The values of one request may all be alike, which no dependence between them can be worse than: they
        count as one, their share over a level in its place. Requests depend on each other as that shows.
        """
        levels = [each for each in LEVELS if each != level] + [level]
        series = {f"level {each:g}": self._shares_over(each) for each in levels}
        return worth(series, _clusters(self.counts), alpha=ALPHA_PASS)

    def _shares_over(self, level: float) -> list[Values]:
        """Returns for each trial the share of each request's values that is over the sample's quantile.

        Where none is, as when that is a failure, those at it are taken for over.
        """
        cut = self.in_order[rank(self.in_order.size, level) - 1]
        over = self.values > cut if cut != self.in_order[-1] else self.values == cut
        some = self.counts > 0
        shares = np.bincount(self.owners, weights=over, minlength=some.size)[some] / self.counts[some]
        return by_trial(shares, self.trial_of[some])


def by_trial(values: Values, trials: NDArray[np.int64]) -> list[Values]:
    """Returns the values of each trial that has any."""
    return [values[trials == trial] for trial in np.unique(trials)]


EMPTY = Sample(np.empty(0), np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64))


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
    defined = np.flatnonzero(~np.isnan(values))
    return Sample(values[defined], defined, trials_of(attempted))


def trials_of(attempted: pd.DataFrame) -> NDArray[np.int64]:
    """Returns the trial of each of the N requests."""
    return attempted["trial"].to_numpy(dtype="int64")


def _gaps(measured: Measured) -> Sample:
    """A failed request stands for as many infinite gaps as a good one has on average."""
    gaps, attempted = measured.gaps[measured.gaps["ok"]], measured.attempted
    owners = _owners(attempted, gaps)
    failed = np.flatnonzero(~attempted["ok"])
    if not owners.size and failed.size < len(attempted):
        return EMPTY
    lost = max(round(owners.size / np.unique(owners).size), 1) if owners.size else 1
    owners = np.concatenate([owners, failed.repeat(lost)])
    times_s = np.concatenate([gaps["time_s"], attempted["dispatched_s"].to_numpy()[failed].repeat(lost)])
    values = np.concatenate([gaps["gap_s"], np.full(lost * failed.size, np.inf)])
    trials = trials_of(attempted)
    order = np.lexsort((times_s, trials[owners]))
    return Sample(values[order], owners[order], trials)


def _owners(attempted: pd.DataFrame, gaps: pd.DataFrame) -> NDArray[np.intp]:
    """Returns the position of each gap's request among the N."""
    rows: NDArray[np.intp] = pd.Index(attempted["request_id"]).get_indexer(pd.Index(gaps["request_id"]))
    return rows


def own_values(measured: Measured, metric: str, statistic: str) -> Values:
    """Returns for each of the N requests its value of a latency; for itl the statistic of its own gaps.

    NaN where there is none.
    """
    if metric == "itl":
        return _own_gaps(measured, statistic)
    return measured.attempted[f"{metric}_s"].to_numpy(dtype="float64")


def _own_gaps(measured: Measured, statistic: str) -> Values:
    size, gaps_s = len(measured.attempted), measured.gaps["gap_s"].to_numpy()
    rows = _owners(measured.attempted, measured.gaps)
    counts = np.bincount(rows, minlength=size)
    own, some = np.full(size, np.nan), counts > 0
    if statistic == "mean":
        own[some] = np.bincount(rows, weights=gaps_s, minlength=size)[some] / counts[some]
        return own
    ranks = np.ceil(counts * QUANTILES.get(statistic, 1.0) - ROUNDING).astype(np.intp)  # 1.0: its maximum
    in_order = gaps_s[np.lexsort((gaps_s, rows))]
    own[some] = in_order[(np.cumsum(counts) - counts + np.maximum(ranks, 1) - 1)[some]]
    return own


def _clusters(sizes: NDArray[np.intp]) -> float:
    """How many equal clusters these are worth (Kish 1965): their number when all are of one size."""
    return float(sizes.sum()) ** 2 / float((sizes.astype(np.float64) ** 2).sum()) if sizes.any() else 0.0
