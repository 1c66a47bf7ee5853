"""The wire journal: what a load worker did and received, in order, appended and never changed.

A file is a run of entries, each a fixed head and `length` bytes. A torn last entry (the writer was
killed) is not returned. Times are CLOCK_MONOTONIC ns; `kernel_ns` is CLOCK_REALTIME ns, 0 if absent.
Standard library only: the load worker writes it.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hxbench.errors import IncompleteError

_HEAD = struct.Struct("<BxHIqqI")
_pack = _HEAD.pack
HEAD_BYTES = _HEAD.size
SEGMENTS_LIMIT = 0xFFFF  # more of them in one read are counted as that many
FLUSH_BYTES = 1 << 20
STOPPED = "stopped"  # the body of an END that came from a stop, not from the server


class Kind:
    """What an entry says: plain numbers, because looking up an enumeration's costs as much as packing one."""

    DISPATCH = 1
    CONNECT_START = 2
    CONNECTED = 3
    SENT = 4
    READ = 5  # body: the bytes of one socket read
    END = 6  # body: why the exchange ended early, empty when the response was whole
    RETRY = 7  # the reused connection was dead before anything came back: once more, on a new one
    CLOCK = 8  # kernel_ns: realtime at time_ns; number: bracket in ns
    PHASE = 9  # body: name; `number` 1 at its start, 0 at its end
    FINISHED = 10  # the worker came to its end; what it never dispatched, it was not asked to


class Entry(NamedTuple):
    kind: int
    segments: int
    number: int  # row of the schedule
    time_ns: int
    kernel_ns: int
    body: bytes


class Writer:
    """Appends to a journal through a buffer; `flush` hands it to the system.

    Raises:
        IncompleteError: the file cannot be made or written. Not an OSError, which a caller that
            also handles sockets would take for one of theirs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._named():
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._pending = bytearray()

    def add(
        self, kind: int, number: int, time_ns: int, body: bytes = b"", kernel_ns: int = 0, segments: int = 0
    ) -> None:
        if segments > SEGMENTS_LIMIT:
            segments = SEGMENTS_LIMIT
        pending = self._pending
        pending += _pack(kind, segments, number, time_ns, kernel_ns, len(body))
        if body:
            pending += body
        if len(pending) > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is pending; after a failure the next call goes on where this one got to."""
        with self._named():
            while self._pending:
                del self._pending[: os.write(self._file, self._pending)]

    def close(self) -> None:
        try:
            self.flush()
            with self._named():
                os.fsync(self._file)
        finally:
            os.close(self._file)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IncompleteError(f"{self._path}: cannot be written: {error.strerror}") from None


class Reader:
    """Follows a journal that may still grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def entries(self) -> Iterator[Entry]:
        """Yields the whole entries that have come since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while block := file.read(FLUSH_BYTES):
                self._offset += len(block)
                yield from self._split(self._rest + block)

    def _split(self, data: bytes) -> Iterator[Entry]:
        at, end = 0, len(data)
        while at + _HEAD.size <= end:
            kind, segments, number, time_ns, kernel_ns, length = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            if start + length > end:
                break
            at = start + length
            yield Entry(kind, segments, number, time_ns, kernel_ns, data[start:at])
        self._rest = data[at:]
