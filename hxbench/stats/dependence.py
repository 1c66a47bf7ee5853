"""What observations that depend on each other are worth: variance inflation, design effect, effective n.

A series is what one trial saw in time order: 1 where an observation is over a level, else 0; or the share of
each request's values that is over it. Cost: one FFT a series, n log n; beyond `MOST` in a trial, n.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import norm, t

from hxbench.stats.means import BATCHES, batch_means

Series = NDArray[np.float64]
Trials = Sequence[Series]

LEVELS = (0.5, 0.75, 0.9)  # and the level in question: where a queue's memory shows differs
MOST = 2**17  # values of a trial; more are taken as means of blocks, which lasting dependence survives
STANDARD_ERRORS = 2  # of the estimate, to be on the safe side of it
BATCHED = "20 batches"


@dataclass(frozen=True)
class Worth:
    """How many independent observations n of them are worth, and by what that was found."""

    n: float
    n_eff: float
    inflation: float
    source: str  # which of the series gave the inflation, empty when none shows any
    design_effect: float | None = None  # of several trials


def worth(series: Mapping[str, Trials], n: float, *, alpha: float) -> Worth:
    """Returns what n observations are worth; the last series is that of the level in question.

    Its 20 batches count as a further series, and its trials give the design effect; the largest inflation
    counts. With R trials n_eff = min(n / VIF, n / max(deff, 1) (z / t)^2), where z and t = t_{R-1} cut off
    `alpha`. Trials that agree more than chance has it are no evidence of more: else three trials with a miss
    each would be worth more than three without any.
    """
    [*_, asked] = series.values()
    factors = {name: variance_inflation(trials) for name, trials in series.items()}
    factors[BATCHED] = batch_inflation(asked)
    inflation, source = max((factor, name) for name, factor in factors.items())
    n_eff, source = n / inflation, source if inflation > 1 else ""
    if len(asked) < 2:
        return Worth(n, n_eff, inflation, source)
    effect = design_effect(asked)
    n_eff = min(n_eff, n / max(effect, 1.0) * students_factor(len(asked), alpha))
    return Worth(n, n_eff, inflation, source, effect)


def students_factor(trials: int, alpha: float) -> float:
    """Returns (z / t_{R-1})^2: what is left of n when the spread of R trials is known from them alone.

    1 for one trial, whose spread nobody looks at.
    """
    return 1.0 if trials == 1 else float(norm.isf(alpha) / t.isf(alpha, trials - 1)) ** 2


def variance_inflation(trials: Trials) -> float:
    """Returns by what dependence multiplies the variance of a mean; at least 1, and 1 where nothing varies.

    Geyer 1992 (Statistical Science 7, 3.3): the autocovariances, averaged over the trials, are summed in
    pairs up to the first that is not positive, each pair held to the one before. What exceeds 1 grows by the
    bias of a mean that was estimated (Wolff 2004, Computer Physics Communications 156, 143) and by two
    standard errors of the sum (Madras and Sokal 1988, Journal of Statistical Physics 50, 109): without them
    M/M/1 at 80 % load passes a p95 at its limit in 9 of 100 runs of 3000 requests.
    """
    total = sum(each.size for each in trials)
    if not total:
        return 1.0
    size = math.ceil(max(each.size for each in trials) / MOST)
    blocks = [_block_means(each, size) for each in trials]
    covariances = _autocovariances(blocks)
    variance = sum(float(each.var()) * each.size for each in trials) / total
    if variance <= 0:
        return 1.0
    lags, spectrum = _initial_monotone(covariances)
    excess = max(size * spectrum / variance - 1, 0.0)
    share = lags / sum(each.size for each in blocks)
    return 1 + excess * (1 + share * len(trials) + STANDARD_ERRORS * math.sqrt(2 * share))


def _block_means(series: Series, size: int) -> Series:
    """Returns the means of `size` neighbours; what is left over at the end is not used."""
    whole = series.size // size * size
    means: Series = series[:whole].reshape(-1, size).mean(axis=1)
    return means


def _autocovariances(trials: Trials) -> Series:
    """Returns the mean product at each lag, of deviations from each trial's own mean, over all trials."""
    longest = max(each.size for each in trials)
    length = next_fast_len(2 * longest, real=True)
    spectra = [np.abs(rfft(each - each.mean(), length)) ** 2 for each in trials if each.size]
    products: Series = irfft(np.sum(spectra, axis=0), length)[:longest]
    return products / sum(each.size for each in trials)


def _initial_monotone(covariances: Series) -> tuple[int, float]:
    """Returns how many lags, both signs, were summed, and the sum."""
    pairs = covariances[: covariances.size // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    kept = pairs[: negative[0]] if negative.size else pairs
    return max(4 * kept.size - 1, 1), float(2 * np.minimum.accumulate(kept).sum() - covariances[0])


def batch_inflation(trials: Trials) -> float:
    """Returns the variance inflation by equal stretches of each trial (Law and Kelton, 9.5.3).

    1 with fewer than two values a stretch, or where nothing varies.
    """
    long_enough = [each for each in trials if each.size >= 2 * BATCHES]
    variance = np.mean([each.var() for each in long_enough]) if long_enough else 0.0
    if variance <= 0:
        return 1.0
    between = [each.size / BATCHES * batch_means(each).var(ddof=1) for each in long_enough]
    return max(float(np.mean(between) / variance), 1.0)


def design_effect(trials: Trials) -> float:
    """Returns the variance of the trials' shares, as a multiple of that of independent observations.

    Kish 1965. 1 where nothing varies; below 1 where trials agree more than chance would have it.
    """
    pooled = np.concatenate(trials)
    share = float(pooled.mean())
    if not 0 < share < 1:
        return 1.0
    shares = np.array([each.mean() for each in trials if each.size])
    return float(pooled.size / len(trials) * shares.var(ddof=1) / (share * (1 - share)))
