"""Which past runs may be deleted, and their deletion; what is not certainly such a run stays."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hxbench.errors import DirectoryError, EvidenceError, IncompleteError, InputError
from hxbench.judge.certificate import CERTIFIED
from hxbench.judge.verdicts import PASS
from hxbench.record import lock
from hxbench.records.kinds import kind_of
from hxbench.render import index_page, manifest
from hxbench.render.files import read_json
from hxbench.render.past_runs import RUN, Found, find

IDLE_S = 3600.0  # a recording writes each second; one that has not for an hour was killed
_HIDDEN = ".gc-"  # begins the name of a folder on its way out: a deletion cut short leaves no half run


@dataclass(frozen=True)
class Fate:
    """What becomes of one folder: why it stays, empty when it may go."""

    found: Found
    size_bytes: int
    why: str
    asked_for: bool  # as old as the user asked for: it goes unless something protects it


def fates(outputs: Path, keep: int | None, older_than_s: float | None, now: datetime) -> list[Fate]:
    """Returns what becomes of each folder among the runs, the newest first.

    May go what is beyond the newest `keep` of its model and profile and older than `older_than_s`, where
    given. Stays: what is no run, what `latest` names, what may be being recorded, what holds a file that is
    not of the run, and the newest certified run of each model and profile.
    Raises: InputError when the folder is itself a run, or holds folders of which none is one.
    """
    kind = kind_of(outputs)
    if kind is not None or (outputs / "records").exists():
        what = "run" if kind is None else kind.called
        raise InputError(f"{outputs}: is a {what}, not a folder of runs: give the folder it lies in")
    found = find(outputs)
    if found and not any(each.is_run for each in found):
        raise InputError(f"{outputs}: not a folder of runs: none of its {len(found)} folders is a run")
    old = [each for each in _beyond(found, keep) if _is_older(each, older_than_s, now)]
    asked_for = {each.path for each in old if each.is_run}
    special = _special(outputs, found)

    def why(each: Found) -> str:
        if each.path not in asked_for:
            return "newer than asked for" if each.is_run else "is no run of hxbench"
        return special.get(each.path) or _in_use(each, now)

    return [Fate(each, _size(each.path), why(each), each.path in asked_for) for each in found]


def _history(found: Found) -> tuple[str, str, str]:
    """Returns model, profile and kind; runs without a certificate that can be read are one history."""
    return ("", "", "") if found.judged is None else found.judged.history


def _beyond(found: Sequence[Found], keep: int | None) -> Iterator[Found]:
    """Yields what is not among the newest `keep` of its history; all without `keep`."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for each in found:
        seen[_history(each)] += 1
        if keep is None or seen[_history(each)] > keep:
            yield each


def _is_older(found: Found, age_s: float | None, now: datetime) -> bool:
    return age_s is None or (now - found.when).total_seconds() > age_s


def _special(outputs: Path, found: Sequence[Found]) -> dict[Path, str]:
    """Returns the runs that stay for what they are, each with why."""
    good = [each for each in found if each.judged is not None and each.judged.status in (CERTIFIED, PASS)]
    newest = {_history(each): each for each in reversed(good)}
    latest = os.path.realpath(outputs / "latest")
    return {each.path: _newest(kind) for (*_, kind), each in newest.items()} | {
        each.path: "`latest` points to it" for each in found if os.path.realpath(each.path) == latest
    }


def _newest(kind: str) -> str:
    return f"the newest {'certified' if kind == RUN else 'passed'} {kind} of its model and profile"


def _in_use(found: Found, now: datetime) -> str:
    """Returns why a run may not be touched, or nothing."""
    if not found.ended and now.timestamp() - _changed(found.path) < IDLE_S:
        return "may be being recorded"
    foreign = next(_foreign(found.path), None)
    return f"holds {foreign}, which is not in its {manifest.NAME}" if foreign else ""


def _changed(run: Path) -> float:
    return max((path.lstat().st_mtime for path in _files(run)), default=run.stat().st_mtime)


def _foreign(run: Path) -> Iterator[str]:
    """Yields each file that was put into a run after its manifest; nothing of a run without one."""
    try:
        listed = set(read_json(run / manifest.NAME)["files"])
    except (EvidenceError, KeyError, TypeError):
        return
    names = (path.relative_to(run).as_posix() for path in _files(run))
    yield from (name for name in names if name not in listed | manifest.OUTSIDE)


def _files(run: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(run):
        yield from (Path(folder, name) for name in names)


def _size(run: Path) -> int:
    return 0 if run.is_symlink() else sum(path.lstat().st_size for path in _files(run))


def delete(outputs: Path, going: Sequence[Fate]) -> None:
    """Deletes these runs and writes the index anew; no run is measured meanwhile, which it would disturb.

    Raises:
        BusyError: a run measures on this machine; nothing was deleted.
        IncompleteError: some could not be deleted, and the others are; or the index could not be written.
    """
    with lock.measuring(outputs):
        left = [path for path in outputs.glob(f"{_HIDDEN}*") if path.is_dir() and not path.is_symlink()]
        failed = [
            *filter(None, map(_remove, left)),
            *filter(None, (_hide_and_remove(each) for each in going)),
        ]
    try:
        index_page.write(outputs)
    except DirectoryError as error:
        raise IncompleteError(f"{error}; the runs are deleted") from None
    if failed:
        raise IncompleteError(f"{outputs}: {len(failed)} could not be deleted: {failed[0]}")


def _hide_and_remove(fate: Fate) -> str | None:
    path = fate.found.path
    hidden = path.with_name(f"{_HIDDEN}{path.name}")
    try:
        path.rename(hidden)
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return _remove(hidden)


def _remove(path: Path) -> str | None:
    """Removes a folder; returns what stood in the way, or None."""
    try:
        shutil.rmtree(path)
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return None
