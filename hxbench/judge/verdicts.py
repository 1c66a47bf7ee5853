"""The four verdicts, and what each carries so that a reader can follow it back to the records."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

PASS = "PASS"  # noqa: S105
FAIL = "FAIL"
INCONCLUSIVE = "INCONCLUSIVE"
SKIPPED = "SKIPPED"
_FROM_WORST = (FAIL, INCONCLUSIVE, PASS, SKIPPED)


@dataclass(frozen=True)
class Verdict:
    """The answer to one question about the target; numbers in `unit`."""

    id: str
    case: str
    requirement: str
    verdict: str
    reason: str
    method: str
    records: tuple[str, ...]
    metric: str | None = None
    statistic: str | None = None
    estimate: float | None = None
    unit: str | None = None
    interval: tuple[float | None, float | None] = (None, None)
    interval_kind: str = "none"
    confidence: float | None = None
    n: int = 0
    n_eff: float = 0.0
    comparator: str | None = None
    limit: float | None = None
    needed_n: int | None = None
    noise: bool = False
    ledger: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns the verdict as JSON has it."""
        lists = {name: list(value) for name, value in vars(self).items() if isinstance(value, tuple)}
        return asdict(self) | lists


def worst(verdicts: Sequence[str]) -> str | None:
    """Returns the verdict that stands for all: FAIL before INCONCLUSIVE before PASS before SKIPPED."""
    return next((each for each in _FROM_WORST if each in verdicts), None)


def undecided(verdict: Verdict, because: str, *, noise: bool) -> Verdict:
    """Returns the verdict voided: it keeps its numbers, and its reason says what it would have been."""
    reason = f"would be {verdict.verdict} ({verdict.reason}), but {because}"
    return replace(verdict, verdict=INCONCLUSIVE, reason=reason, noise=noise)
