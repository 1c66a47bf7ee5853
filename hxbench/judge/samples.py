"""The values a latency gate looks at: one a request, or one a gap for itl; a failure is infinite."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.evidence import ALPHA_PASS
from hxbench.judge.measured import Measured
from hxbench.stats.dependence import LEVELS, Worth, worth
from hxbench.stats.quantiles import rank

Values = NDArray[np.float64]

BLOCK = 2**12  # stretches of which flags are counted in one go: numpy makes whole numbers of all of them

# Good requests may have none of these: a reused connection, an answer that came in one read.
MAY_BE_UNDEFINED = frozenset({"tpot", "connect", "itl"})


@dataclass(frozen=True)
class Sample:
    """Values, the position of each one's request among the N, and the trials of those N, in time order."""

    values: Values
    owners: NDArray[np.intp]
    trial_of: NDArray[np.int64]
    times_s: Callable[[], Values] | None = None  # of each value, where their order is not that of requests

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
        finite = np.isfinite(self.values)
        return self.values if finite.all() else np.where(finite, self.values, most)

    def capped_by_trial(self, most: float) -> list[Values]:
        """Returns the same for each trial, in time order."""
        capped, trials = self.capped(most), self.trial_of[self.owners]
        if self.times_s is None:
            return by_trial(capped, trials)
        order = np.lexsort((self.times_s(), trials))
        return by_trial(capped[order], trials[order])

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """Returns how many values each of the N requests has."""
        return self._summed(np.diff(self._stretches, append=self.owners.size))

    @cached_property
    def _stretches(self) -> NDArray[np.intp]:
        """Where values of another request begin: those of one stand together."""
        return np.flatnonzero(np.append(self.owners[:1] >= 0, self.owners[1:] != self.owners[:-1]))

    def _summed(self, of_stretches: NDArray[np.intp]) -> NDArray[np.intp]:
        """Sums what each stretch has over the N requests."""
        summed = np.zeros(self.trial_of.size, dtype=np.intp)
        np.add.at(summed, self.owners[self._stretches], of_stretches)
        return summed

    def counted(self, flags: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Returns how many of each request's values are flagged."""
        starts, ends, found = (
            self._stretches,
            np.append(self._stretches[1:], flags.size),
            [self._stretches[:0]],
        )
        for at in range(0, starts.size, BLOCK):
            mine = slice(at, at + BLOCK)
            part = flags[starts[at] : ends[mine][-1]]
            found.append(np.add.reduceat(part, starts[mine] - starts[at], dtype=np.intp))
        return self._summed(np.concatenate(found))

    @property
    def requests(self) -> int:
        """Returns how many requests have a value."""
        return int(np.count_nonzero(self.counts))

    def worth(self, level: float, alpha: float = ALPHA_PASS) -> Worth:
        """Returns how many independent requests the values are worth to a gate on the quantile at `level`.

        The values of one request may all be alike, which no dependence between them can be worse than: they
        count as one, their share over a level in its place. Requests depend on each other as that shows.
        """
        levels = [each for each in LEVELS if each != level] + [level]
        series = {f"level {each:g}": self._shares_over(each) for each in levels}
        return worth(series, _clusters(self.counts), alpha=alpha)

    def _shares_over(self, level: float) -> list[Values]:
        """Returns for each trial the share of each request's values that is over the sample's quantile.

        Where none is, as when that is a failure, those at it are taken for over.
        """
        cut = self.in_order[rank(self.in_order.size, level) - 1]
        over = self.values > cut if cut != self.in_order[-1] else self.values == cut
        some = self.counts > 0
        shares = self.counted(over)[some] / self.counts[some]
        return by_trial(shares, self.trial_of[some])


def by_trial(values: Values, trials: NDArray[np.int64]) -> list[Values]:
    """Returns the values of each trial that has any."""
    return [values[trials == trial] for trial in np.unique(trials)]


EMPTY = Sample(np.empty(0), np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64))


def sample(measured: Measured, metric: str) -> Sample:
    """Returns the values of a latency metric for the N requests; empty when none was measured at all.

    A good request without a value counts as a failure, unless the metric need not exist for it.
    """
    if metric not in measured.samples:
        collected = _gaps(measured) if metric == "itl" else of_requests(measured.attempted, metric)
        measured.samples[metric] = collected
    found: Sample = measured.samples[metric]
    return found


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
    attempted, trials = measured.attempted, trials_of(measured.attempted)
    owners, gaps_s = (measured.gaps[name].to_numpy() for name in ("owner", "gap_s"))
    ok = attempted["ok"].to_numpy(dtype="bool")
    if ok.all():
        return Sample(gaps_s, owners, trials, measured.gap_times) if owners.size else EMPTY
    kept, failed = ok[owners], np.flatnonzero(~ok)
    owners, gaps_s = owners[kept], gaps_s[kept]
    if not owners.size and ok.any():
        return EMPTY
    lost = round(owners.size / np.unique(owners).size) if owners.size else 1

    def times_s() -> Values:
        sent_s = attempted["dispatched_s"].to_numpy()[failed]
        return np.append(measured.gap_times()[kept], sent_s.repeat(lost))

    gaps_s = np.append(gaps_s, np.full(lost * failed.size, np.inf))
    return Sample(gaps_s, np.append(owners, failed.repeat(lost)), trials, times_s)


def _clusters(sizes: NDArray[np.intp]) -> float:
    """How many equal clusters these are worth (Kish 1965): their number when all are of one size."""
    return float(sizes.sum()) ** 2 / float((sizes.astype(np.float64) ** 2).sum()) if sizes.any() else 0.0
