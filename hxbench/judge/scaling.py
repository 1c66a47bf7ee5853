"""How throughput goes with load, and where it bends: advice on a sweep, never a gate."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxbench.stats.knee import knee
from hxbench.stats.scalability import Scalability, universal_scalability

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Advice:
    """What a sweep suggests: the law that was fitted, and the load from which throughput flattens."""

    law: Scalability | None
    knee: float | None


def advice(load: Values, throughput: Values, *, is_closed: bool) -> Advice:
    """Returns what throughput at rising loads suggests; the law is one of users, in a closed loop.

    Loads without throughput are left out; too few of them, or a fit that comes to no end, give None.
    """
    known = np.isfinite(throughput) & (throughput > 0)
    load, throughput = load[known], throughput[known]
    bend = knee(load, throughput) if load.size else None
    return Advice(_law(load, throughput) if is_closed else None, None if bend is None else float(load[bend]))


def _law(load: Values, throughput: Values) -> Scalability | None:
    try:
        return universal_scalability(load, throughput)
    except RuntimeError:  # scipy's way to say that a fit did not converge
        return None
