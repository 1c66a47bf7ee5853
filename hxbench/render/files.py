"""Files that are whole or not there, notebooks that are notebooks, and JSON that says one thing."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hxbench.errors import DirectoryError, EvidenceError, InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file under another name, makes it durable, and gives it its name.

    Raises: DirectoryError when the folder cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise DirectoryError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise DirectoryError(f"{path}: cannot be written: {error.strerror}") from None


def spare_the_grammar() -> None:
    """Keeps a library that nobody here asks from being imported; for a process that is hxbench's alone.

    nbformat imports jsonschema, which imports rfc3987_syntax where there is one, which builds a grammar of
    international addresses as it is imported: over a second of a core. Without it jsonschema checks no `iri`.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # how Python is told: no such module


def read_notebook(path: Path) -> Any:
    """Returns a notebook file as nbformat's node, version 4.

    Raises: InputError when it is not a notebook.
    """
    import nbformat  # its schemas take a second to import, which no manifest should wait for

    read: Any = nbformat.read
    try:
        return read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise InputError(f"{path}: not a notebook: {str(error).splitlines()[0]}") from None


def write_notebook(path: Path, notebook: Any) -> None:
    """Writes a notebook; it appears whole or not at all."""
    import nbformat

    text: Any = nbformat.writes
    write_whole(path, f"{text(notebook)}\n")


def read_json(path: Path) -> Any:
    """Returns the value of a JSON file that says one thing only: no NaN, no key twice.

    Raises: EvidenceError, naming the file without its folder, when it is missing or says less.
    """
    try:
        return strict_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvidenceError(f"{path.name}: is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise EvidenceError(f"{path.name}: not readable: {error}") from None


def strict_json(text: str) -> Any:
    """Returns the value of a JSON text that says one thing only: no NaN, no key twice.

    Raises: ValueError when it says less; RecursionError when it is nested too deep.
    """
    return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)


def _no_number(name: str) -> Any:
    raise ValueError(f"it holds {name}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("it holds a key twice")
    return made
