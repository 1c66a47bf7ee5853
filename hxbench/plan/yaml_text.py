"""Reads the strict subset of YAML that profiles are written in.

A value means what it looks like. What YAML 1.1 turns into something else (yes, 010, 1:30, 1e3, 2024-01-01)
is refused, and so is whatever hides a value: anchors, aliases, merge keys, tags, duplicate keys.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from hxbench.plan.messages import refusal

MAX_BYTES = 1 << 20
MAX_DEPTH = 20

# What an unquoted scalar may not look like, and what to write instead.
_TRAPS = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (r"y|n|yes|no|on|off|true|false", "write true or false in lower case, or quote the text"),
        (r"~|null", "write null in lower case"),
        (r"[-+]?\.(inf|nan)", "only finite numbers are allowed"),
        (r"[-+]?0[xob]?[0-9a-f_]+", "write a decimal number without a leading zero, or quote the text"),
        (r"[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?", "YAML reads it to base 60; quote the text"),
        (r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)e[-+]?[0-9]+", "write no exponent, or quote the text"),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([T ].*)?", "YAML reads a date; quote the text"),
        (r"[-+]?[0-9][0-9_,]*(\.[0-9_]*)?|[-+]?\.[0-9_]+", "write at most 18 digits, such as 1000 or 0.5"),
    )
)
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Document:
    """A value read from YAML, and the line of each of its keys (list items count as keys 0, 1, ...)."""

    value: Any
    lines: dict[tuple[str, ...], int]


def load(path: Path, source: str) -> Document:
    """Returns the mapping a file holds; messages call the file `source`.

    Raises: ProfileError when it cannot be read, is above 1 MiB, or is no mapping in strict YAML.
    """
    document = loads(_text(path, source), source)
    if not isinstance(document.value, dict):
        raise refusal(source, (), "expected a mapping of keys to values")
    return document


def loads(text: str, source: str) -> Document:
    """Returns the one value a text holds. Raises: ProfileError when it is not strict YAML."""
    return _Reader(text, source).document()


def setting(text: str, source: str) -> Any:
    """Returns the value of a variable or flag: a plain scalar, or a list, mapping or quoted text.

    Raises: ProfileError when it is not strict YAML.
    """
    if text.lstrip()[:1] in tuple("[{\"'"):
        return loads(text, source).value
    try:
        return _scalar(text.strip())
    except ValueError as error:
        raise refusal(source, (), str(error)) from None


def _text(path: Path, source: str) -> str:
    data = _bytes(path, source)
    if len(data) > MAX_BYTES:
        raise refusal(source, (), "is above 1 MiB, the most a profile may have")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refusal(f"{source}:{line}", (), "is not UTF-8") from None


def _bytes(path: Path, source: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise refusal(source, (), f"is {kind}, expected a YAML file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise refusal(source, (), f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise refusal(source, (), "is no file name") from None


def _scalar(text: str) -> Any:
    """Returns what an unquoted scalar means. Raises: ValueError with advice when that is open to doubt."""
    if not text:
        raise ValueError("has no value; write null or leave the key out")
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    for pattern, advice in _TRAPS:
        if pattern.fullmatch(text):
            raise ValueError(f"{text[:40]} is not allowed: {advice}")
    return text


class _Reader:
    """Builds the value from the parser's events as they come: nothing too deep is ever parsed whole."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._line = 1
        self._numbered = "\n" in text.strip()
        self._lines: dict[tuple[str, ...], int] = {}
        self._events = self._parse(text)

    def document(self) -> Document:
        start = self._next_document()
        if start is None:
            raise refusal(self._source, (), "is empty")
        if start.version or start.tags:
            self._refuse((), "directives (%YAML, %TAG) are not allowed")
        value = self._value(next(self._events), ())
        if self._next_document():
            self._refuse((), "holds several documents, expected one")
        return Document(value, self._lines)

    def _next_document(self) -> yaml.DocumentStartEvent | None:
        return next((event for event in self._events if isinstance(event, yaml.DocumentStartEvent)), None)

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if event.start_mark is not None:
                    self._line = event.start_mark.line + 1
                yield event
        except yaml.reader.ReaderError as error:
            self._line = text.count("\n", 0, error.position) + 1
            self._refuse((), f"character U+{ord(text[error.position]):04X} is not allowed")
        except yaml.MarkedYAMLError as error:
            self._refuse_syntax(error)
        except (ValueError, OverflowError):  # "\UFFFFFFFF" and a %YAML version of 5000 digits
            self._refuse((), "not YAML: no such character or version")

    def _value(self, event: yaml.Event, path: tuple[str, ...]) -> Any:
        self._refuse_hidden(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._leaf(event, path)
        if len(path) >= MAX_DEPTH:
            self._refuse((), f"is nested more than {MAX_DEPTH} deep")
        return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path)

    def _leaf(self, event: yaml.ScalarEvent, path: tuple[str, ...]) -> Any:
        if event.style is not None:
            return event.value
        try:
            return _scalar(event.value)
        except ValueError as error:
            self._refuse(path, str(error))

    def _list(self, path: tuple[str, ...]) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            inner = (*path, str(len(items)))
            self._lines[inner] = self._line
            items.append(self._value(event, inner))
        return items

    def _mapping(self, path: tuple[str, ...]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, path)
            inner = (*path, key)
            if key in mapping:
                self._refuse(inner, f"duplicate key, first on line {self._lines[inner]}")
            self._lines[inner] = self._line
            mapping[key] = self._value(next(self._events), inner)
        return mapping

    def _key(self, event: yaml.Event, path: tuple[str, ...]) -> str:
        if isinstance(event, yaml.ScalarEvent) and event.style is None and event.value == "<<":
            self._refuse(path, "merge keys (<<) are not allowed")
        key = self._value(event, path)
        if not isinstance(key, str):
            self._refuse(path, "a key must be text; quote it")
        return key

    def _refuse_hidden(self, event: yaml.Event, path: tuple[str, ...]) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(path, f"aliases are not allowed, got *{event.anchor}")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.anchor is not None:
                self._refuse(path, f"anchors are not allowed, got &{event.anchor}")
            if event.tag is not None:
                self._refuse(path, f"tags are not allowed, got {event.tag}")

    def _refuse_syntax(self, error: yaml.MarkedYAMLError) -> NoReturn:
        if error.problem_mark is not None:
            self._line = error.problem_mark.line + 1
        quote = "; quote text that begins with > or |" if "block scalar" in (error.context or "") else ""
        self._refuse((), f"not YAML: {error.problem or error.context}{quote}")

    def _refuse(self, path: tuple[str, ...], message: str) -> NoReturn:
        place = f"{self._source}:{self._line}" if self._numbered else self._source
        raise refusal(place, path, message) from None
