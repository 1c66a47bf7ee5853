"""manifest.json: what every file of a run directory contains, by hash."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hxbench import canonical_json
from hxbench.errors import DirectoryError, EvidenceError
from hxbench.render.files import read_json, write_whole

NAME = "manifest.json"
STATEMENTS = ("statement.json", "statement-verdicts.json")  # what is said of the manifest, see `statement`
ATTESTATION = (
    f"{NAME}.intoto.jsonl"  # the statements signed, see `signing`; in-toto's own name for such a file
)
# What stands beside the files of the manifest, because it is made from it.
OUTSIDE = frozenset({NAME, *STATEMENTS, ATTESTATION})


def write(run_dir: Path) -> Path:
    """Writes the manifest of a run directory, in canonical JSON, and returns its path.

    Raises: DirectoryError when a file cannot be read or the manifest not be written.
    """
    path = run_dir / NAME
    write_whole(path, canonical_json.encode({"schema": 1, "files": entries(run_dir)}))
    return path


def entries(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Returns SHA-256 and size of each regular file but those outside, by its path in the directory."""
    names = (name for name, path in _everything(run_dir) if path.is_file() and not path.is_symlink())
    return {name: _entry(run_dir / name) for name in names if name not in OUTSIDE}


def _everything(run_dir: Path) -> list[tuple[str, Path]]:
    """Returns each file and link below a directory by its path there; no link is followed."""
    found = []
    for folder, folders, files in os.walk(run_dir):
        links = (name for name in folders if os.path.islink(os.path.join(folder, name)))
        found += [Path(folder, name) for name in (*files, *links)]
    return sorted((path.relative_to(run_dir).as_posix(), path) for path in found)


def _entry(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": file.tell()}
    except OSError as error:
        raise DirectoryError(f"{path}: cannot be read: {error.strerror}") from None


def faults(run_dir: Path) -> list[str]:
    """Returns one sentence for each file that is not as the manifest has it, is missing, or is not in it."""
    links = [
        f"{name}: is no regular file, and what it leads to is not vouched for"
        for name, path in _everything(run_dir)
        if path.is_symlink() or not path.is_file()
    ]
    try:
        listed = _listed(run_dir / NAME)
    except EvidenceError as error:
        return [*links, str(error)]
    return [*links, *_unlike(listed, entries(run_dir))]


def _listed(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict):
        raise EvidenceError(f"{NAME}: lists no files")
    if canonical_json.encode(document) != path.read_bytes():
        raise EvidenceError(f"{NAME}: is not as hxbench writes it (canonical JSON)")
    return dict(document["files"])


def _unlike(listed: dict[str, Any], there: dict[str, Any]) -> Iterator[str]:
    for name in sorted(listed.keys() | there.keys()):
        if name not in there:
            yield f"{name}: is missing, {NAME} lists it"
        elif name not in listed:
            yield f"{name}: is not in {NAME}"
        elif listed[name] != there[name]:
            yield f"{name}: is not the file whose SHA-256 stands in {NAME}"
