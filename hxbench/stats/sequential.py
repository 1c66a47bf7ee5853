"""Rules for those who look more than once: MLPerf's early stopping, and an e-process."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln
from scipy.stats import beta, nbinom

_JEFFREYS = 0.5


def queries_needed(over: NDArray[np.int64], level: float, confidence: float = 0.99) -> NDArray[np.int64]:
    """Returns for each number over the limit the fewest queries that still show the quantile within it.

    MLPerf's early stopping (LoadGen, early_stopping.cc): the smallest n with P(Bin(n, 1 - level) <= over)
    below 1 - confidence.
    """
    needed: NDArray[np.int64] = (over + 1 + nbinom.ppf(confidence, over + 1, 1 - level)).astype(np.int64)
    return needed


def over_budget(n: int, level: float, confidence: float = 0.99) -> int:
    """Returns the t whose t-th largest of n latencies is MLPerf's estimate; 0 when n is too few.

    At most t - 1 of n may be over a limit for the estimate to be within it.
    """
    below_mean = np.arange(1, int(n * (1 - level)) + 1)
    needed = queries_needed(below_mean, level, confidence)
    return int(np.searchsorted(needed, n, side="right"))


def e_value(over: int, n: int, allowed: float) -> float:
    """Returns the evidence that a share is below `allowed`, valid at whatever moment one looks.

    Under any true share of `allowed` or more it exceeds 1 / alpha at some n with probability alpha at most
    (Ville 1939). A bet on each share below `allowed`, mixed by Jeffreys' prior cut off there (Robbins 1970;
    Howard, Ramdas, McAuliffe and Sekhon 2021).
    """
    good = n - over
    a, b = over + _JEFFREYS, good + _JEFFREYS
    mixed = betaln(a, b) + beta.logcdf(allowed, a, b)
    prior = betaln(_JEFFREYS, _JEFFREYS) + beta.logcdf(allowed, _JEFFREYS, _JEFFREYS)
    at_limit = over * math.log(allowed) + good * math.log1p(-allowed)
    return math.exp(min(float(mixed - prior) - at_limit, 700.0))
