"""manifest.json: what every file of a run directory contains, by hash."""

import hashlib
from pathlib import Path
from typing import Any

from hxbench import canonical_json
from hxbench.errors import DirectoryError
from hxbench.render.files import write_whole

NAME = "manifest.json"


def write(run_dir: Path) -> Path:
    """Writes the manifest of a run directory, in canonical JSON, and returns its path.

    Raises: DirectoryError when a file cannot be read or the manifest not be written.
    """
    path = run_dir / NAME
    write_whole(path, canonical_json.encode({"schema": 1, "files": entries(run_dir)}))
    return path


def entries(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Returns SHA-256 and size of each regular file but the manifest, by its path in the directory."""
    files = sorted(path for path in run_dir.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(run_dir).as_posix(): _entry(path) for path in files if path != run_dir / NAME}


def _entry(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": file.tell()}
    except OSError as error:
        raise DirectoryError(f"{path}: cannot be read: {error.strerror}") from None
