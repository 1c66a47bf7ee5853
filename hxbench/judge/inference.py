"""Evidence that infers: from what was seen to what is true, with a stated probability of error."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge.evidence import ALPHA_PASS, QUANTILES, Decision, from_below, holds, is_strict
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS
from hxbench.plan.objectives import Objective
from hxbench.stats.means import Mean
from hxbench.stats.proportions import Interval, clopper_pearson, p_value_above
from hxbench.stats.quantiles import nearest_rank, quantile_interval
from hxbench.stats.sample_size import deciding_n


def _tested(
    level: float,
    *,
    alpha: float,
    passes: bool,
    p_fail: float,
    finding: str,
    interval: tuple[float | None, float | None],
    needed_n: Callable[[], int | None],
) -> Decision:
    if passes:
        return Decision(PASS, finding, interval, 1 - alpha)
    if p_fail < level:
        return Decision(FAIL, finding, interval, 1 - level)
    return Decision(INCONCLUSIVE, finding, interval, 1 - alpha, needed_n())


@dataclass(frozen=True)
class QuantileEvidence:
    """Values in order, failures infinite, against a limit for one of their quantiles.

    The share over the limit decides; the interval shown is that test turned round. `requests` is what
    `n_eff` is worth in requests. A PASS errs with `alpha`.
    """

    objective: Objective
    in_order: NDArray[np.float64]
    n_eff: float
    requests: int
    noun: str
    method: str
    alpha: float = ALPHA_PASS
    interval_kind: str = "order statistics of the quantile, the same test as on the share over the limit"

    @property
    def quantile(self) -> float:
        """Returns the level of the quantile, 0.95 for p95."""
        return QUANTILES[self.objective.statistic]

    @property
    def allowed(self) -> float:
        """Returns the share that may be over the limit."""
        return 1 - self.quantile

    @property
    def n(self) -> int:
        """Returns the number of values."""
        return int(self.in_order.size)

    @property
    def estimate(self) -> float | None:
        """Returns the quantile by nearest rank, None when it falls on a failure."""
        value = nearest_rank(self.in_order, self.quantile)
        return value if value is not None and math.isfinite(value) else None

    @cached_property
    def over(self) -> int:
        """Returns how many values miss the limit."""
        side: Literal["left", "right"] = "left" if is_strict(self.objective) else "right"
        return self.n - int(np.searchsorted(self.in_order, self.objective.limit, side=side))

    @property
    def p_fail(self) -> float:
        """Returns how likely this many misses are at the allowed share."""
        return p_value_above(self._over_eff, self.n_eff, self.allowed)

    @property
    def _over_eff(self) -> float:
        return self.over / self.n * self.n_eff

    def decide(self, level: float, /) -> Decision:
        """Returns PASS when the share over is surely within what is allowed, FAIL when surely beyond."""
        bounds = clopper_pearson(self._over_eff, self.n_eff, alpha_low=level, alpha_high=self.alpha)
        seen = f"{units.count(self.over)} of {units.count(self.n)} {self.noun} missed the limit"
        return _tested(
            level,
            alpha=self.alpha,
            passes=bounds.high <= self.allowed,
            p_fail=self.p_fail,
            finding=f"{seen}; {_between(bounds)}, {units.share(self.allowed)} are allowed",
            interval=quantile_interval(
                self.in_order, self.quantile, alpha_low=level, alpha_high=self.alpha, n_eff=self.n_eff
            ),
            needed_n=lambda: _needed(
                self.over / self.n, self.allowed, self.alpha, level, self.requests / self.n_eff
            ),
        )


@dataclass(frozen=True)
class ShareEvidence:
    """A share of requests: of those that failed, or, with a least value as limit, of the good ones.

    A PASS errs with `alpha`.
    """

    objective: Objective
    bad: int
    n: int
    n_eff: float
    noun: str
    method: str
    alpha: float = ALPHA_PASS
    interval_kind: str = "Clopper-Pearson"

    @property
    def allowed(self) -> float:
        """Returns the share of bad requests that is allowed."""
        return 1 - self.objective.limit if from_below(self.objective) else self.objective.limit

    @property
    def estimate(self) -> float:
        """Returns the share the limit is about."""
        return (self.n - self.bad if from_below(self.objective) else self.bad) / self.n

    @property
    def p_fail(self) -> float:
        """Returns how likely this many bad requests are at the allowed share."""
        return p_value_above(self._bad_eff, self.n_eff, self.allowed)

    @property
    def _bad_eff(self) -> float:
        return self.bad / self.n * self.n_eff

    def decide(self, level: float, /) -> Decision:
        """Returns PASS when the bad share is surely within what is allowed, FAIL when surely beyond."""
        bad = clopper_pearson(self._bad_eff, self.n_eff, alpha_low=level, alpha_high=self.alpha)
        seen = f"{units.count(self.bad)} of {units.count(self.n)} requests {self.noun}"
        return _tested(
            level,
            alpha=self.alpha,
            passes=bad.high < self.allowed if is_strict(self.objective) else bad.high <= self.allowed,
            p_fail=self.p_fail,
            finding=f"{seen}; {_between(bad)}, {units.share(self.allowed)} are allowed",
            interval=Interval(1 - bad.high, 1 - bad.low) if from_below(self.objective) else bad,
            needed_n=lambda: _needed(self.bad / self.n, self.allowed, self.alpha, level, self.n / self.n_eff),
        )


def _needed(share: float, allowed: float, alpha: float, level: float, inflation: float) -> int | None:
    """Returns how many requests decide if share and dependence stay as they are; None when none do."""
    independent = deciding_n(share, allowed, alpha_pass=alpha, alpha_fail=level)
    return None if independent is None else math.ceil(independent * inflation)


def _between(share: Interval) -> str:
    return f"the true share lies between {units.share(share.low)} and {units.share(share.high)}"


@dataclass(frozen=True)
class MeanEvidence:
    """A mean over trials, or over batches in time order, with Student's interval; n values of `requests`.

    A PASS errs with `alpha`.
    """

    objective: Objective
    mean: Mean
    n: int
    requests: int
    method: str
    alpha: float = ALPHA_PASS
    interval_kind: str = "Student's t"

    @property
    def n_eff(self) -> float:
        """Returns the number of trials or batches."""
        return float(self.mean.degrees + 1)

    @property
    def estimate(self) -> float:
        """Returns the mean."""
        return self.mean.value

    @property
    def p_fail(self) -> float:
        """Returns how likely a mean this far beyond the limit is when the true one is at it."""
        if from_below(self.objective):
            return self.mean.p_value_below(self.objective.limit)
        return self.mean.p_value_above(self.objective.limit)

    def decide(self, level: float, /) -> Decision:
        """Returns PASS when the whole interval meets the limit, FAIL when none of it does."""
        least = from_below(self.objective)
        low, high = (self.alpha, level) if least else (level, self.alpha)
        bounds = self.mean.interval(alpha_low=low, alpha_high=high)
        unit = self.objective.unit
        between = f"{units.value(bounds.low, unit)} and {units.value(bounds.high, unit)}"
        return _tested(
            level,
            alpha=self.alpha,
            passes=holds(bounds.low if least else bounds.high, self.objective),
            p_fail=self.p_fail,
            finding=f"the mean is {units.value(self.estimate, unit)}; the true one lies between {between}",
            interval=bounds,
            needed_n=lambda: self._needed_n(bounds),
        )

    def _needed_n(self, bounds: Interval) -> int | None:
        """Returns the requests there were times the square of how much narrower the interval must be."""
        away = self.objective.limit - self.mean.value
        if away == 0:
            return None
        reach = (bounds.high if away > 0 else bounds.low) - self.mean.value
        return math.ceil(self.requests * (reach / away) ** 2)
