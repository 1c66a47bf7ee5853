"""Where a curve bends: Kneedle (Satopaa, Albrecht, Irwin and Raghavan 2011, ICDCS workshops)."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SENSITIVITY = 1.0  # S: how many steps the curve must stay flat; 1 is the paper's for data at hand


def knee(x: Values, y: Values) -> int | None:
    """Returns the position where a rising curve begins to flatten, as throughput does; None without one.

    `x` rises. The first local maximum of y - x, both brought to [0, 1], after which it falls by S mean steps.
    """
    if x.size < 3 or y.max() == y.min():
        return None
    across = (x - x[0]) / (x[-1] - x[0])
    above = (y - y.min()) / (y.max() - y.min()) - across
    inner = np.arange(1, x.size - 1)
    peaks = inner[(above[1:-1] >= above[:-2]) & (above[1:-1] > above[2:])]
    step = SENSITIVITY * float(np.diff(across).mean())
    for peak, end in pairwise([*peaks, x.size]):
        if (above[peak + 1 : end] < above[peak] - step).any():
            return int(peak)
    return None


def elbow(x: Values, y: Values) -> int | None:
    """Returns the position where a rising curve begins to steepen, as latency over load; None without one."""
    found = knee(-x[::-1], -y[::-1])
    return None if found is None else x.size - 1 - found
