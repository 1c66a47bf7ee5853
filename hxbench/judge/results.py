"""What a folder that is no run came to: one JSON value made from its records alone.

It has the keys of a certificate that reports, statements and the index read, `kind` for `level`, and the
`numbers` that its table and figures show.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from hxbench.judge.certificate import INCOMPLETE, MEASURED, counts, listed, target
from hxbench.judge.verdicts import PASS, Verdict, worst
from hxbench.plan.profile import Profile
from hxbench.records.kinds import Kind

SCHEMA = 1
INFINITE = "infinite"  # JSON has no such number


class Checked(Protocol):
    """What is opened from such a folder; everything comes from its records."""

    @property
    def path(self) -> Path: ...
    @property
    def profile(self) -> Profile: ...
    @property
    def profile_sha256(self) -> str | None:
        """That of profile.yaml; None where each of its runs has one."""

    @property
    def facts(self) -> Mapping[str, Any]: ...
    @property
    def ending(self) -> Mapping[str, Any]:
        """How the recording ended: state, reason, signal."""

    @property
    def found(self) -> Sequence[Verdict]: ...
    @property
    def frame(self) -> pd.DataFrame:
        """Its numbers in base units, a row a step."""

    @property
    def contradictions(self) -> Sequence[str]:
        """One sentence for each thing that what was measured cannot hold."""


def document(of: Checked, kind: Kind) -> dict[str, Any]:
    """Returns what it came to; every number is finite, `infinite` or None."""
    status, reason = _status(of, kind)
    return {
        "schema": SCHEMA,
        "hxbench": of.facts.get("hxbench"),
        "kind": kind.called,
        "run": of.path.name,
        "created": of.facts.get("finished_utc"),
        "status": status,
        "status_reason": reason,
        "score": None,
        "target": target(of.profile, of.facts),
        "profile": {"name": of.profile.name, "sha256": of.profile_sha256},
        "counts": counts(of.found),
        "verdicts": [each.as_dict() for each in of.found],
        "catalogue": [],
        "numbers": list(_rows(of.frame)),
        "notes": [],
    }


def _status(of: Checked, kind: Kind) -> tuple[str, str]:
    """Returns the worst verdict, or why there is none, and one sentence on it."""
    state, why = of.ending["state"], of.ending["reason"]
    if state != "complete":
        return INCOMPLETE, f"The {kind.called} did not come to its end: {why or 'no reason is recorded'}."
    if of.contradictions:
        return INCOMPLETE, f"The records contradict themselves: {listed(of.contradictions)}."
    open_ = [f"{each.id}: {each.verdict}" for each in of.found if each.verdict != PASS]
    status = worst([each.verdict for each in of.found])
    if status is None:
        return MEASURED, str(why)
    return status, "; ".join(open_) or f"{len(of.found)} verdicts, all PASS"


def _rows(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for row in frame.astype(object).to_dict("records"):
        yield {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    return INFINITE if isinstance(value, float) and math.isinf(value) else value
