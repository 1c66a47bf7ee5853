"""The validity ledger: what could make the run's numbers wrong, how wrong, and in whose favour.

A broken entry voids the verdicts that its error would favour: `flatters` voids PASS, `harms` voids FAIL,
`both` either, on the metrics it touches. `unknown` is shown, and voids only where the entry is required.
"""

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hxbench.judge.verdicts import FAIL, PASS, Verdict, undecided

Direction = Literal["flatters", "harms", "both"]
Kind = Literal["noise", "instrument", "server", "workload"]
State = Literal["ok", "broken", "unknown"]

_VOIDS = {"flatters": (PASS,), "harms": (FAIL,), "both": (PASS, FAIL)}


@dataclass(frozen=True)
class Threat:
    """One way in which a run can deceive. Above `limit` it is broken; below it with `least`."""

    id: str
    threat: str
    unit: str
    limit: float
    direction: Direction
    kind: Kind
    touches: tuple[str, ...]
    least: bool = False
    required: bool = False
    informs: bool = False  # beyond the limit nothing is proved wrong: unknown, not broken
    starves: bool = False  # comes of an instrument that gets no processor time: noise on a crowded machine

    def entry(self, value: float | None, detail: str) -> "Entry":
        """Returns the threat with what was measured; None is unknown."""
        return Entry(self, value, self._state(value), detail)

    def _state(self, value: float | None) -> State:
        if value is None:
            return "unknown"
        if (value >= self.limit) if self.least else (value <= self.limit):
            return "ok"
        return "unknown" if self.informs else "broken"


@dataclass(frozen=True)
class Entry:
    """A threat, its measured value and its state."""

    threat: Threat
    value: float | None
    state: State
    detail: str

    @property
    def spoils(self) -> bool:
        """Tells whether verdicts that it favours cannot stand."""
        return self.state == "broken" or (self.state == "unknown" and self.threat.required)

    def voids(self, verdict: str) -> bool:
        """Tells whether this entry takes away such a verdict on a metric it touches."""
        return self.spoils and verdict in _VOIDS[self.threat.direction]

    def as_noise(self) -> "Entry":
        """Returns the entry with the machine's other work to blame."""
        return replace(self, threat=replace(self.threat, kind="noise"))

    def as_dict(self) -> dict[str, Any]:
        """Returns the entry as JSON has it."""
        shown = asdict(self.threat)
        del shown["least"], shown["informs"], shown["starves"]
        return shown | {
            "touches": list(self.threat.touches),
            "value": self.value,
            "state": self.state,
            "detail": self.detail,
        }


def applied(verdict: Verdict, entries: Sequence[Entry], rests_on: Set[str]) -> Verdict:
    """Returns the verdict as the ledger leaves it, by the entries that touch any metric it rests on.

    It is noise when nothing but the machine's other work voided it.
    """
    touching = [entry for entry in entries if rests_on & set(entry.threat.touches)]
    verdict = replace(verdict, ledger=tuple(entry.threat.id for entry in touching))
    voiding = [entry for entry in touching if entry.voids(verdict.verdict)]
    if not voiding:
        return verdict
    because = "; ".join(f"{entry.threat.threat}: {entry.detail}" for entry in voiding)
    return undecided(verdict, because, noise=all(entry.threat.kind == "noise" for entry in voiding))
