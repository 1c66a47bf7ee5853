"""The four panels of a dashboard (R4.5): coverage, performance, security, and the certification levels.

Performance and levels follow from a certificate; coverage and security come from what a CI wrote down.
Latency is `e2e`, the time to the last token, of the requests that the judge counts: a failure is the time
limit in the mean and infinite in the quantile.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hxbench.judge.marks import COVERAGE, ERROR_RATE, LATENCY, VULNERABILITIES, Mark

LEVELS = (1, 2, 3, 4)
NOT_HERE = "not certified here"
# name, from the requirement -> its panel, its base unit, what to multiply by for the unit of the name
_NAMED: dict[str, tuple[str, str, float]] = {
    "test_coverage": ("coverage", "share", 100),
    "branch_coverage": ("coverage", "share", 100),
    "function_coverage": ("coverage", "share", 100),
    "average_latency_ms": ("performance", "s", 1000),
    "p95_latency_ms": ("performance", "s", 1000),
    "throughput_rps": ("performance", "req/s", 1),
    "error_rate_percentage": ("performance", "share", 100),
    "vulnerability_count": ("security", "count", 1),
    "security_test_pass_rate": ("security", "share", 100),
    "compliance_score": ("security", "share", 100),
}
NAMES = tuple(_NAMED)
MARKS: Mapping[str, Mark] = {
    "average_latency_ms": LATENCY,
    "p95_latency_ms": LATENCY,
    "error_rate_percentage": ERROR_RATE,
    "test_coverage": COVERAGE,
    "branch_coverage": COVERAGE,
    "function_coverage": COVERAGE,
    "vulnerability_count": VULNERABILITIES,
}


@dataclass(frozen=True)
class Number:
    """One number of a panel in its base unit, and what it is; None where it was not measured."""

    name: str
    value: float | None
    says: str

    @property
    def panel(self) -> str:
        return _NAMED[self.name][0]

    @property
    def unit(self) -> str:
        return _NAMED[self.name][1]

    @property
    def exported(self) -> float | None:
        """Returns the value in the unit that the metric's name says: ms, percent."""
        return None if self.value is None else round(self.value * _NAMED[self.name][2], 9)


def performance(certificate: Mapping[str, Any]) -> Sequence[Number]:
    """Returns the numbers of the panel `performance`, all that was not measured as None."""
    summary = certificate.get("summary") or {}
    latency = summary.get("e2e") or {}
    rate = (summary.get("throughput_requests") or {}).get("window")
    p95 = latency.get("p95")
    if p95 is None and latency.get("n"):
        p95 = math.inf  # JSON has no infinity: the failures reach down to it
    return (
        Number("average_latency_ms", latency.get("mean"),
               "mean time to the last token; a request that failed took the time limit"),
        Number("p95_latency_ms", p95,
               "nearest-rank 95th percentile of the same; a request that failed is infinite"),
        Number("throughput_rps", rate, "good answers a second in the measured window"),
        Number("error_rate_percentage", summary.get("error_rate"), "share of the requests that failed"),
    )  # fmt: skip


def levels(certificate: Mapping[str, Any]) -> dict[int, str | None]:
    """Returns the status of each level; None of those that this certificate is not about."""
    return {each: certificate["status"] if each == certificate.get("level") else None for each in LEVELS}
