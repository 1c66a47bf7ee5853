"""What lies in the folder of runs: each run with what its certificate says, and whatever else is there.

Anything may lie there: nothing of it is trusted, followed or waited for, and nothing ends the search.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import DirectoryError, EvidenceError
from hxbench.records.kinds import RESULT, SWEEP, kind_of
from hxbench.records.run_directory import HASH_LINE
from hxbench.render import wording
from hxbench.render.files import read_json

RUN = "run"
_LONGEST = 200  # characters of a foreign text
_LONGEST_WORD = 16  # of a status or verdict; CONDITIONAL has 11
_LARGEST = 50_000_000  # bytes; a certificate has a hundred thousand


@dataclass(frozen=True)
class Number:
    """What one gate of a past run measured, in `unit`; what it lacks is None."""

    id: str
    name: str
    verdict: str
    unit: str
    comparator: str
    estimate: float
    low: float | None
    high: float | None
    limit: float | None


@dataclass(frozen=True)
class Judged:
    """What the certificate of a past run, or the result of a check or a sweep, says."""

    model: str
    profile: str
    sha256: str
    status: str
    level: str
    kind: str  # run, or what else it is
    counts: str
    numbers: tuple[Number, ...]

    @property
    def history(self) -> tuple[str, str, str]:
        """Returns what makes runs comparable: model, profile and kind."""
        return self.model, self.profile, self.kind


@dataclass(frozen=True)
class Found:
    """A folder among the runs; `why` says what it is when it holds no certificate and no result."""

    path: Path
    when: datetime  # the end of the recording, else its begin, else when the folder last changed
    is_run: bool = False  # recorded by hxbench
    ended: bool = False  # its recording came to an end, of whatever kind
    attempt: int | None = None
    page: str = "certificate.html"
    judged: Judged | None = None
    why: str = ""


def find(outputs: Path) -> list[Found]:
    """Returns every folder among the runs but hidden ones, the newest first; `latest` is no second run.

    Raises: DirectoryError when the folder cannot be read.
    """
    try:
        paths = [path for path in outputs.iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError as error:
        raise DirectoryError(f"{outputs}: cannot be read: {error.strerror}") from None
    found = [_found(path) for path in paths if not (path.name == "latest" and path.is_symlink())]
    return sorted(found, key=lambda each: (each.when, each.path.name), reverse=True)


def _found(path: Path) -> Found:
    try:
        changed = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        if path.is_symlink():
            return Found(path, changed, why="a link, which is not followed")
        return _opened(path, changed)
    except OSError as error:
        return Found(path, datetime.fromtimestamp(0, UTC), why=f"cannot be read: {error.strerror}")


def _opened(path: Path, changed: datetime) -> Found:
    facts = _facts(path / "facts.json")
    when = _time(facts.get("finished_utc")) or _time(facts.get("started_utc")) or changed
    earlier = facts.get("earlier_runs")
    found = Found(
        path,
        when,
        is_run=_is_run(path),
        ended=(path / "records" / "ending.json").is_file(),
        attempt=earlier + 1 if type(earlier) is int and 0 <= earlier < 10**6 else None,
    )
    kind = kind_of(path)
    if kind is not None:
        found = replace(found, page=kind.page)
    document = "certificate.json" if kind is None else RESULT
    if (path / document).exists():
        return _with_certificate(found, document)
    if not found.is_run:
        return replace(found, why="holds no run" if kind is None else f"{kind.named} without a run")
    called = "" if kind is None else f"{kind.named}, "
    ending = "not judged yet" if found.ended else "being recorded, or killed"
    return replace(found, why=f"{called}{ending}: `hxbench render` on it writes its {Path(document).stem}")


def _is_run(path: Path) -> bool:
    """Whether hxbench recorded here: records, and a profile that begins with its hash; a sweep has runs."""
    if kind_of(path) == SWEEP:
        return any(_is_run(each) for each in path.iterdir() if each.is_dir() and not each.is_symlink())
    records, profile = path / "records", path / "profile.yaml"
    if not records.is_dir() or records.is_symlink() or not profile.is_file():
        return False
    with profile.open("rb") as file:
        return file.read(len(HASH_LINE)) == HASH_LINE.encode()


def _facts(path: Path) -> Mapping[str, Any]:
    try:
        facts = _read(path)
    except EvidenceError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _read(path: Path) -> Any:
    """Returns what a JSON file holds; no pipe is waited for and no endless file read."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise EvidenceError(f"{path.name}: is no file, or too large a one")
    return read_json(path)


def _time(text: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _with_certificate(found: Found, document: str) -> Found:
    try:
        return replace(found, judged=_judged(_read(found.path / document)))
    except EvidenceError as error:
        return replace(found, why=f"unreadable: {_text(str(error))}")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return replace(found, why=f"unreadable: {document}: is not as hxbench writes it")


def _judged(certificate: Any) -> Judged:
    """Returns what the index shows of a certificate or a result; raises whatever a wrong shape leads to."""
    gates = [each for each in certificate["verdicts"] if each["metric"] is not None]
    return Judged(
        model=_text(certificate["target"]["model"]),
        profile=_text(certificate["profile"]["name"]),
        sha256=_text(certificate["profile"]["sha256"] or ""),
        status=_text(certificate["status"])[:_LONGEST_WORD],
        level=str(int(certificate["level"])) if "level" in certificate else units.ABSENT,
        kind=_text(certificate.get("kind", RUN)),
        counts=_counts(certificate["counts"]),
        numbers=tuple(_number(each) for each in gates if each["estimate"] is not None),
    )


def _counts(counts: Mapping[str, Any]) -> str:
    return wording.counts({"counts": {_text(name): int(number) for name, number in counts.items()}})


def _number(verdict: Mapping[str, Any]) -> Number:
    low, high = verdict["interval"]
    if verdict["comparator"] not in wording.COMPARATORS:
        raise ValueError("comparator")
    return Number(
        id=_text(verdict["id"]),
        name=wording.gate({key: _text(verdict[key]) for key in ("metric", "statistic")}, {}),
        verdict=_text(verdict["verdict"])[:_LONGEST_WORD],
        unit=_text(verdict["unit"]),
        comparator=verdict["comparator"],
        estimate=_finite(verdict["estimate"]),
        low=None if low is None else _finite(low),
        high=None if high is None else _finite(high),
        limit=None if verdict["limit"] is None else _finite(verdict["limit"]),
    )


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(float(value)):
        raise ValueError("no finite number")
    return float(value)


def _text(value: Any) -> str:
    """Returns a text that can be written down: half characters replaced, endless ones cut."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value[:_LONGEST].encode("utf-8", "replace").decode()
