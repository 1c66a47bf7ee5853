"""JSON lines: the objects of a file, one at a time, each with its place. Standard library only."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hxbench.errors import InputError, ProfileError
from hxbench.shipped import shipped

MAX_LINE = 1 << 20  # characters; longer than any context a prompt could fill


class Line(NamedTuple):
    """An object, its line's number, and `file:line` for messages."""

    document: dict[str, Any]
    number: int
    place: str


def find(name_or_path: str, folder: str, key: str) -> tuple[Path, str]:
    """Returns the path of a JSONL file, or of the shipped one below data/ of that name, and what to call it.

    Raises: ProfileError, which names the profile's key, when no file of that name is shipped.
    """
    path = Path(name_or_path)
    if path.suffix == ".jsonl" or path.name != name_or_path:
        return path, name_or_path
    try:
        inner = f"{folder}/{name_or_path}.jsonl"
        return shipped("data", inner), f"data/{inner}"
    except InputError as error:
        raise ProfileError(f"{key}: {error}") from None


def read(path: Path, called: str, key: str) -> Iterator[Line]:
    """Yields the lines that are not blank, never holding more than one.

    Raises: ProfileError with file and line when the file cannot be read or a line is no object.
    """
    for number, line in _lines(path, called, key):
        place = f"{called}:{number}"
        yield Line(_object(line, place), number, place)


def _lines(path: Path, called: str, key: str) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank with their numbers, never holding more than one."""
    number = 0
    try:
        if path.exists() and not path.is_file():
            raise ProfileError(f"{called}: is no regular file, expected JSON lines")
        with path.open(encoding="utf-8-sig") as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise ProfileError(f"{called}:{number}: is above {MAX_LINE} characters")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ProfileError(f"{called}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{called}: is not UTF-8, in line {number + 1} or soon after") from None
    except ValueError:  # a NUL in the name
        raise ProfileError(f"{key}: is no file name") from None


def _object(line: str, place: str) -> dict[str, Any]:
    """Returns the JSON object of a line, refusing what Python's reader lets through."""
    try:
        value = json.loads(line, object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except json.JSONDecodeError as error:
        raise ProfileError(f"{place}: is not JSON: {error.msg}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{place}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProfileError(f'{place}: expected an object such as {{"prompt": "..."}}')
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")
