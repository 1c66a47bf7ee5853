"""How many requests a gate on a share or a quantile needs."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy.stats import binom, nbinom

from hxbench.stats.proportions import p_value_above, upper_bound

_STEP = 512  # numbers of misses looked at in one go
_MOST = 10_000_000  # requests nobody will send: a share this close to the limit is not decided


@dataclass(frozen=True)
class RequiredN:
    """The number of requests, and how many of them may be over the limit."""

    n: int
    most_over: int


def smallest_passing_n(allowed: float, alpha: float, worth: float = 1.0) -> int | None:
    """Returns how many requests without a single miss prove a share below `allowed`; None when none do.

    (1 - allowed)^(n worth) <= alpha: 59 for 5 % at alpha 0.05 (Wilks 1941), each worth 1 independent one.
    """
    if allowed <= 0:
        return None
    return 1 if allowed >= 1 else math.ceil(math.log(alpha) / math.log1p(-allowed) / worth - 1e-9)


def required_n(allowed: float, true_share: float, *, alpha: float, power: float = 0.9) -> RequiredN:
    """Returns the smallest n at which a gate passes with this power when the true share is `true_share`.

    Looked for among the n at which one more miss becomes affordable.
    Raises: ValueError unless 0 <= true_share < allowed < 1.
    """
    if not 0 <= true_share < allowed < 1:
        raise ValueError(f"expected 0 <= true share < allowed < 1, got {true_share} and {allowed}")
    for start in count(0, _STEP):
        over = np.arange(start, start + _STEP)
        n = over + 1 + nbinom.ppf(1 - alpha, over + 1, allowed)
        enough = np.flatnonzero(binom.cdf(over, n, true_share) >= power)
        if enough.size:
            return RequiredN(int(n[enough[0]]), int(over[enough[0]]))
    raise AssertionError("count() does not end")  # pragma: no cover


def deciding_n(share: float, allowed: float, *, alpha_pass: float, alpha_fail: float) -> int | None:
    """Returns the smallest n that decides the gate if the share over stays as it is; None when none does."""

    def decided(n: int) -> bool:
        if share < allowed:
            return upper_bound(share * n, n, alpha_pass) <= allowed
        return p_value_above(share * n, n, allowed) < alpha_fail

    if share == allowed:
        return None
    n = bisect_left(range(_MOST), 1, lo=1, key=decided)
    return n if n < _MOST else None
