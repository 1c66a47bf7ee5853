"""The relative gate: a candidate against a baseline, on the logarithms of one statistic a trial.

Trials, not requests, are what repeats: see `ratio_of`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS
from hxbench.stats.ratios import ratio_of

ALPHA = 0.05  # of each side: of passing beyond the margin, and of failing within it
MARGINS = {"p50": 1.10, "p95": 1.15, "p99": 1.20, "throughput": 0.95}  # R5.1

Logs = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A verdict on candidate to baseline, the ratio with its 90 % interval, and what was found."""

    verdict: str
    finding: str
    ratio: float | None = None
    interval: tuple[float | None, float | None] = (None, None)


def compare(candidate: Logs, baseline: Logs, margin: float) -> Comparison:
    """Returns whether the candidate keeps within `margin` times the baseline: at most, or below 1 at least.

    Each array has the log of one statistic a trial. INCONCLUSIVE below two trials an arm, and where one
    has no such statistic, as when a failure stands in a quantile's place (inf).
    """
    if not (np.isfinite(candidate).all() and np.isfinite(baseline).all()):
        return Comparison(INCONCLUSIVE, "a trial has no finite value")
    found = ratio_of(candidate, baseline, alpha=ALPHA)
    if found is None:
        return Comparison(INCONCLUSIVE, "two trials an arm are needed at least")
    low, high = found.bounds
    passes, fails = (low >= margin, high < margin) if margin < 1 else (high <= margin, low > margin)
    verdict = PASS if passes else FAIL if fails else INCONCLUSIVE
    between = f"the true one lies between {units.number(low)} and {units.number(high)}"
    asked = f"at {'least' if margin < 1 else 'most'} {units.number(margin)} is allowed"
    finding = f"the ratio is {units.number(found.value)}; {between}, {asked}"
    return Comparison(verdict, finding, found.value, (low, high))
