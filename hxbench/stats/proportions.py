"""What a share seen in n trials says about the true share (Clopper and Pearson, 1934)."""

from typing import NamedTuple

from scipy.stats import beta


class Interval(NamedTuple):
    """The ends of an interval, each a one-sided bound of its own."""

    low: float
    high: float


def upper_bound(over: float, n: float, alpha: float) -> float:
    """Returns the one-sided upper Clopper-Pearson bound of a share; 1 when n is 0.

    `over` and `n` may be fractions, as an effective sample size is.
    """
    return 1.0 if over >= n else float(beta.ppf(1 - alpha, over + 1, n - over))


def lower_bound(over: float, n: float, alpha: float) -> float:
    """Returns the one-sided lower Clopper-Pearson bound of a share; 0 when nothing was over."""
    return 0.0 if over <= 0 else float(beta.ppf(alpha, over, n - over + 1))


def clopper_pearson(over: float, n: float, *, alpha_low: float, alpha_high: float) -> Interval:
    """Returns the interval of a share with its own error probability at each end.

    The textbook two-sided 95 % interval has 0.025 at both.
    """
    return Interval(lower_bound(over, n, alpha_low), upper_bound(over, n, alpha_high))


def p_value_above(over: float, n: float, share: float) -> float:
    """Returns how likely at least `over` of n are when the true share is `share`.

    It is below alpha exactly where `lower_bound(over, n, alpha)` is above `share`.
    """
    return 1.0 if over <= 0 else float(beta.cdf(share, over, n - over + 1))
