"""What the data say about one limit: each kind of evidence can pass it, fail it, or leave it undecided."""

import math
import operator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS
from hxbench.plan.objectives import Objective

# Of a run that is looked at once; of k planned looks each has a k-th of it (Bonferroni).
ALPHA_PASS = 0.025  # of each gate: a status is an AND, so passing by chance needs no correction
ALPHA_FAIL = 0.05  # of all gates together, by Holm
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def holds(value: float, objective: Objective) -> bool:
    """Tells whether a value meets the limit; at the limit only an inclusive comparator lets it."""
    return bool(_COMPARE[objective.comparator](value, objective.limit))


def all_hold(values: NDArray[np.float64], objective: Objective) -> NDArray[np.bool_]:
    """Tells of each value whether it meets the limit; NaN does not."""
    held: NDArray[np.bool_] = _COMPARE[objective.comparator](values, objective.limit)
    return held


def is_strict(objective: Objective) -> bool:
    """Tells whether a value at the limit misses it."""
    return "=" not in objective.comparator


def from_below(objective: Objective) -> bool:
    """Tells whether the limit is a least value."""
    return objective.comparator in (">", ">=")


@dataclass(frozen=True)
class Decision:
    """A verdict before the ledger, the interval that decided, and what was found as half a sentence."""

    verdict: str
    finding: str
    interval: tuple[float | None, float | None] = (None, None)
    confidence: float | None = None
    needed_n: int | None = None

    @property
    def reason(self) -> str:
        """Returns the finding and, where it leaves open what is true, what would decide."""
        if self.verdict != INCONCLUSIVE or self.confidence is None:
            return self.finding
        if self.needed_n is None:
            return f"{self.finding}; too close to the limit for more requests to decide it"
        return (
            f"{self.finding}; {units.count(self.needed_n)} requests in all would decide it if this stays so"
        )


class Evidence(Protocol):
    """What a verdict rests on; `p_fail` is the p-value of "the limit holds", None if nothing is inferred."""

    @property
    def n(self) -> int: ...
    @property
    def n_eff(self) -> float: ...
    @property
    def estimate(self) -> float | None: ...
    @property
    def method(self) -> str: ...
    @property
    def interval_kind(self) -> str: ...
    @property
    def p_fail(self) -> float | None: ...

    def decide(self, level: float, /) -> Decision:
        """Returns the decision when a FAIL may err with probability `level`."""


@dataclass(frozen=True)
class Missing:
    """No evidence, or too little of it for any answer."""

    why: str
    n: int = 0
    needed_n: int | None = None
    estimate: float | None = None
    method: str = "not decided"
    interval_kind: str = "none"
    p_fail: None = None

    @property
    def n_eff(self) -> float:
        """Returns n: nothing was inferred from it."""
        return float(self.n)

    def decide(self, _level: float, /) -> Decision:
        """Returns INCONCLUSIVE, whatever the level."""
        return Decision(INCONCLUSIVE, self.why, needed_n=self.needed_n)


@dataclass(frozen=True)
class ObservedEvidence:
    """The largest value seen: it speaks for this run and infers nothing."""

    objective: Objective
    largest: float
    n: int
    unseen: str | None = None  # why something larger may have gone unseen
    method: str = "observed maximum"
    interval_kind: str = "none"
    p_fail: None = None

    @property
    def n_eff(self) -> float:
        """Returns n: nothing was inferred from it."""
        return float(self.n)

    @property
    def estimate(self) -> float | None:
        """Returns the largest value, None when it is a failure's."""
        return self.largest if math.isfinite(self.largest) else None

    def decide(self, _level: float, /) -> Decision:
        """Returns FAIL above the limit, PASS within it when nothing can have gone unseen."""
        seen = None if self.estimate is None else units.value(self.largest, self.objective.unit)
        largest = seen or "that of a request that failed"
        found = f"the largest of {units.count(self.n)} values is {largest}"
        if not holds(self.largest, self.objective):
            return Decision(FAIL, found)
        if self.unseen is not None:
            return Decision(INCONCLUSIVE, f"{found}, but {self.unseen}")
        return Decision(PASS, found)
