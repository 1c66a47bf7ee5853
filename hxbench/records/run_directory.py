"""A run's folder: made once, filled while recording, and opened again as plain values."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hxbench.errors import DirectoryError, EvidenceError
from hxbench.plan.layers import Resolved, resolve, written_sha256
from hxbench.plan.profile import Profile
from hxbench.records import tables
from hxbench.records.schemas import JUDGED_READS, KEYS, ONCE, READS, TABLES

if TYPE_CHECKING:
    import pandas as pd

# Keys that YAML reads as text without quotes; words such as yes and null it would not.
_PLAIN_KEY = re.compile(r"(?!(?:yes|no|on|off|true|false|null)$)[a-z][a-z0-9_]+")
# Signs that YAML takes for a line's end, or does not take at all.
_NO_YAML = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
OWN_NAMES = ("journal", "profile.yaml", "facts.json", "log.txt", "server.log")  # beside records
MEMORY_NOTE = "memory.json"  # in the folder of a memory check, which is no run
ALERTS_NOTE = "alerts.json"  # in the folder of an alert drill, which is no run either
SWEEP_NOTE = "sweep.json"  # in the folder of a sweep, around those of its runs: which loads it is to have
NO_RUNS = (MEMORY_NOTE, ALERTS_NOTE)  # in a folder with records and a profile, which are not those of a run
HASH_LINE = "# SHA-256 of the resolved profile: "  # the first of profile.yaml
KILLED = {"state": "killed", "reason": "the recording was killed before it could end"}


@dataclass(frozen=True, repr=False)
class Records:
    """Everything one run wrote down; the frames have the columns of `schemas`, with nullable types.

    Of the reads, which may be tens of millions, an opened run has `JUDGED_READS` alone, see `read_lean`.
    """

    path: Path
    profile: Profile
    document: Mapping[str, Any]
    profile_sha256: str
    schedule: "pd.DataFrame"
    requests: "pd.DataFrame"
    reads: "pd.DataFrame"
    series: "pd.DataFrame"
    clock: "pd.DataFrame"
    phases: "pd.DataFrame"
    exchanges: Sequence[Mapping[str, Any]]
    ending: Mapping[str, Any]
    facts: Mapping[str, Any]
    calibration: Mapping[str, Any] = field(default_factory=dict)  # empty when the run was not calibrated
    watched: Sequence[Mapping[str, Any]] = ()  # what Prometheus was asked, one a trial and query
    schedule_sha256: str | None = None  # of the file; None for records that were never stored

    @cached_property
    def windows(self) -> "pd.DataFrame":
        """Returns trial, start_ns, end_ns of the measured windows, over all their stages.

        A trial that never came to the end of the last one it began has none.
        """
        measured = self.phases[self.phases["phase"] == "measure"]
        begun = measured.groupby("trial", as_index=False).agg({"start_ns": "min", "end_ns": "max"})
        ended = ~begun["trial"].isin(measured.loc[measured["end_ns"].isna(), "trial"])
        return begun[ended & (begun["end_ns"] > begun["start_ns"])].reset_index(drop=True)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(getattr(self, name))}" for name in TABLES)
        return f"records of {self.path.name}, {self.ending['state']}: rows of {rows}"


def create(outputs: Path, resolved: Resolved, now: datetime) -> Path:
    """Returns a new folder below `outputs`.

    Raises:
        DirectoryError: it cannot be made or written.
    """
    return prepare(outputs / fresh_name(resolved, resolved.profile.name, now), resolved)


def fresh_name(resolved: Resolved, what: str, now: datetime) -> str:
    """Returns a name that no folder has yet: `<UTC>-<model>-<what>-<id>`."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    parts = (stamp, resolved.profile.target.model or "model", what, secrets.token_hex(3))
    return "-".join(re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in parts)


def prepare(run_dir: Path, resolved: Resolved) -> Path:
    """Makes `run_dir` ready to record into, and returns it resolved.

    Raises:
        DirectoryError: it holds a run already, or cannot be made or written.
    """
    if (run_dir / "records").exists():
        raise DirectoryError(f"{run_dir}: holds a run already; choose another folder, or `hxbench judge` it")
    for name in OWN_NAMES:
        if (run_dir / name).exists():
            raise DirectoryError(f"{run_dir}: holds {name} already; choose another folder, or move it away")
    try:
        for folder in ("records", "journal"):
            (run_dir / folder).mkdir(parents=True)
        (run_dir / "profile.yaml").write_text(annotated(resolved), encoding="utf-8")
    except OSError as error:
        raise DirectoryError(f"{run_dir}: cannot be written: {error.strerror}") from None
    return run_dir.resolve()


def earlier_runs(run_dir: Path, sha256: str) -> int:
    """Returns how many other runs of the same resolved profile lie beside this one."""
    others = (path for path in run_dir.parent.glob("*/profile.yaml") if path.parent.name != run_dir.name)
    runs = (path for path in others if not any((path.parent / note).exists() for note in NO_RUNS))
    return sum(not path.parent.is_symlink() and _names(path, sha256) for path in runs)


def _names(profile: Path, sha256: str) -> bool:
    try:
        with profile.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n") == f"{HASH_LINE}{sha256}"
    except (OSError, ValueError):
        return False


def annotated(resolved: Resolved) -> str:
    """Returns the resolved profile as YAML, each value with a comment that says where it came from."""
    lines = [
        f"{HASH_LINE}{resolved.sha256}",
        *yaml_lines(resolved.document, resolved.origins),
    ]
    return "\n".join(lines) + "\n"


def yaml_lines(
    document: Mapping[str, Any], origins: Mapping[str, str], path: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yields a document of mappings as YAML, one leaf a line, with what `origins` says of its key."""
    for key, value in document.items():
        here = ".".join((*path, key))
        line = "  " * len(path) + (key if _PLAIN_KEY.fullmatch(key) else _flow(key))
        if isinstance(value, Mapping) and value and here not in origins:
            yield f"{line}:"
            yield from yaml_lines(value, origins, (*path, key))
        else:
            origin = f"  # {_unbroken(origins[here])}" if here in origins else ""
            yield f"{line}: {_flow(value)}{origin}"


def _flow(value: Any) -> str:
    """JSON that a YAML reader takes for the same value."""
    return _unbroken(json.dumps(value, ensure_ascii=False))


def _unbroken(text: str) -> str:
    """Escapes the signs at which YAML would break a line, or stop reading."""
    return _NO_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON durably and replaces `path` at once."""
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    partial.write_text(text, encoding="utf-8")
    tables.sync(partial)
    partial.replace(path)


def is_recorded(run_dir: Path) -> bool:
    """Whether the folder holds every table of a run that came to an end, of whatever kind."""
    return all((run_dir / "records" / f"{name}.parquet").exists() for name in TABLES)


def ending(run_dir: Path) -> Mapping[str, Any]:
    """Returns how the recording of a run ended: its state, why, and the signal that stopped it if one did."""
    noted: Mapping[str, Any] = _json(run_dir / "records" / "ending.json", missing=KILLED)
    return noted


def facts(run_dir: Path) -> Mapping[str, Any]:
    """Returns what is known of machine, packages, server and model; nothing of a folder without."""
    known: Mapping[str, Any] = _json(run_dir / "facts.json", missing={})
    return known


def open_records(run_dir: Path) -> Records:
    """Returns what a run wrote down.

    Raises:
        EvidenceError: the folder holds no run, or one whose records are damaged.
    """
    if not (run_dir / "records").is_dir():
        raise EvidenceError(f"{run_dir}: not a run: it has no folder records/")
    resolved = resolve(run_dir / "profile.yaml")
    paths = {name: run_dir / "records" / f"{name}.parquet" for name in TABLES}
    frames = {name: tables.read(paths[name], schema) for name, schema in TABLES.items() if name != "reads"}
    frames["reads"] = tables.read_lean(paths["reads"], READS, JUDGED_READS)
    for name, frame in frames.items():
        _require_keys(paths[name], frame, KEYS[name])
    return Records(
        path=run_dir.resolve(),
        profile=resolved.profile,
        document=resolved.document,
        profile_sha256=written_sha256(run_dir / "profile.yaml"),
        exchanges=_json(run_dir / "records" / "exchanges.json", missing=[]),
        ending=ending(run_dir),
        facts=facts(run_dir),
        calibration=_json(run_dir / "records" / "calibration.json", missing={}),
        watched=_json(run_dir / "records" / "prometheus.json", missing=[]),
        schedule_sha256=hashlib.sha256(paths["schedule"].read_bytes()).hexdigest(),
        **frames,
    )


def _require_keys(path: Path, frame: "pd.DataFrame", keys: Sequence[str]) -> None:
    """Raises EvidenceError for a row that no other can refer to, or that two could be."""
    for key in keys:
        if frame[key].isna().any():
            raise EvidenceError(f"{path}: column {key}: a row has none")
    twice = frame.duplicated("request_id") if path.stem in ONCE else None
    if twice is not None and twice.any():
        raise EvidenceError(f"{path}: request {frame.loc[twice, 'request_id'].iloc[0]} stands there twice")


def _json(path: Path, missing: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return missing
    except (OSError, ValueError, RecursionError) as error:
        raise EvidenceError(f"{path}: not readable: {error}") from None


def point_latest(run_dir: Path) -> None:
    """Makes `latest` beside the run name it, in one step; what is there and no link is not ours."""
    link, fresh = run_dir.parent / "latest", run_dir.parent / f".latest-{os.getpid()}"
    if link.exists() and not link.is_symlink():
        return
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(run_dir.name)
    fresh.replace(link)
