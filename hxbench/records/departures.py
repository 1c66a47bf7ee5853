"""A reference server's own log: when each request came and when each byte left, by CLOCK_MONOTONIC.

Standard library only: the server writes it while it paces. A torn last entry is not returned.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<B3xIIqqI")
_ARRIVAL, _DEPARTURE = 1, 2
FLUSH_BYTES = 1 << 15  # some ten microseconds of copying


class Arrival(NamedTuple):
    number: int  # of the request in this log
    request_id: str
    arrived_ns: int  # by the kernel's stamp where there is one
    read_ns: int


class Departure(NamedTuple):
    number: int
    tokens: int  # in this write, 1 for an answer in one piece; 0 for a head, an error, an end
    before_ns: int  # just before the send that took the last byte
    after_ns: int  # just after it
    bytes: int


class Log:
    """Collects entries in memory and hands them to the system in small pieces."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._pending = bytearray()

    def arrival(self, number: int, request_id: str, arrived_ns: int, read_ns: int) -> None:
        name = request_id.encode()
        self._pending += _HEAD.pack(_ARRIVAL, 0, number, arrived_ns, read_ns, len(name)) + name

    def departure(self, number: int, tokens: int, before_ns: int, after_ns: int, size: int) -> None:
        self._pending += _HEAD.pack(_DEPARTURE, tokens, number, before_ns, after_ns, size)
        if len(self._pending) > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        while self._pending:
            del self._pending[: os.write(self._file, self._pending)]

    def close(self) -> None:
        self.flush()
        os.close(self._file)


def read(path: Path) -> Iterator[Arrival | Departure]:
    """Yields the log's whole entries in the order in which they were written."""
    data, at = path.read_bytes(), 0
    while at + _HEAD.size <= len(data):
        kind, tokens, number, first_ns, second_ns, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if kind == _DEPARTURE:
            yield Departure(number, tokens, first_ns, second_ns, length)
        elif at + length <= len(data):
            yield Arrival(number, data[at : at + length].decode(errors="replace"), first_ns, second_ns)
            at += length
