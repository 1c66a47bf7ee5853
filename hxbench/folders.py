"""One way for every folder of evidence: judge, render, verify, sign; a run as well as what is none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from hxbench import drill, footprint, sweeping, workbench
from hxbench.errors import EvidenceError
from hxbench.judge.certificate import INCOMPLETE
from hxbench.judge.results import Checked
from hxbench.judge.verify import Group, Verification
from hxbench.records.kinds import ALERTS, MEMORY, RESULT, SWEEP, Kind, kind_of
from hxbench.records.run_directory import write_json
from hxbench.render import cards, statement
from hxbench.sweeping import Sweep
from hxbench.workbench import Run


class Opened(Checked, Protocol):
    """A folder of evidence that is no run, opened; it shows itself as text."""

    @property
    def document(self) -> dict[str, Any]:
        """What result.json holds, made from the records."""


OPENERS: Mapping[Kind, Callable[[Path], Opened]] = {
    MEMORY: footprint.open_memory,
    SWEEP: sweeping.open_sweep,
    ALERTS: drill.open_alerts,
}


def opened(path: Path) -> Opened | None:
    """Opens what is no run but of a kind that is known; None of anything else."""
    kind = kind_of(path)
    return None if kind is None else OPENERS[kind](path)


def judge(path: str | Path) -> Run | Opened:
    """Judges what is recorded and writes certificate.json or result.json, manifest and statements with it."""
    found = opened(Path(path))
    if found is None:
        return workbench.judge(path)
    for run in _unjudged(found):
        workbench.judge(run.path)
    write_json(found.path / RESULT, found.document)
    statement.seal(found.path, found.document, found.facts)
    return found


def render(path: str | Path) -> Run | Opened:
    """Judges what is recorded and writes its notebooks, pages and reports, manifest and statements.

    A notebook that did not run to its end makes it INCOMPLETE. Of what lies among the runs index.html is
    written anew.
    """
    kind = kind_of(Path(path))
    if kind is None:
        return workbench.render(path)
    from hxbench.render import publish  # nbconvert takes a second to import, which no load should wait for

    found = OPENERS[kind](Path(path))
    result = found.document  # before a kernel starts
    for run in _unjudged(found):
        workbench.judge(run.path)
    shortfall = publish.notebook_page(found.path, kind.notebook, kind.parameters)
    if shortfall is not None:
        result |= {"status": INCOMPLETE, "status_reason": shortfall}
    write_json(found.path / RESULT, result)
    publish.reports(found.path, result, found.facts)
    workbench.write_index(found.path)
    return found


def verify(path: str | Path, key: str | Path | None = None) -> Verification:
    """Returns which files and numbers are not what manifest and records give; see `workbench.verify`.

    Raises:
        DirectoryError: the folder holds nothing that can be verified.
        InputError: the key is none to check with.
    """
    folder = Path(path)
    kind = kind_of(folder)
    if kind is None:
        return workbench.verify(path, key)
    from hxbench.render import verification  # as publish above

    way = verification.way_of(kind, OPENERS[kind])
    found = verification.verify(folder, None if key is None else Path(key), way)
    if kind is SWEEP:
        found = replace(found, groups=(*found.groups, *_each_run(folder)))
    return cards.card(cards.VerificationCard, found)


def sign(path: str | Path, key: str | Path) -> str:
    """Signs what verifies, with the private key in a file; see `workbench.sign`."""
    return workbench.sign(path, key, check=verify)


def _each_run(folder: Path) -> Iterator[Group]:
    """Verifies each run of a sweep by itself."""
    try:
        runs = sweeping.open_sweep(folder).runs.values()
    except EvidenceError:  # which is a fault of the sweep already
        return
    for run in runs:
        found, name = workbench.verify(run.path), run.path.name
        faults = tuple(f"{name}/{fault}" for fault in found.faults)
        yield Group(name, f"a run, verified by itself: {found.status}", faults)


def _unjudged(found: Opened) -> list[Run]:
    """Returns those runs of a sweep that nobody has judged: who did may have signed them too."""
    runs = found.runs.values() if isinstance(found, Sweep) else ()
    return [run for run in runs if not (run.path / "certificate.json").exists()]
