"""Server-sent events, WHATWG HTML section 9.2.6: bytes in, events out, at whatever split."""

import re
from typing import NamedTuple

LINE_LIMIT = 1024 * 1024
EVENT_LIMIT = 4 * 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")


class StreamError(Exception):
    """The stream passed a limit."""


class Event(NamedTuple):
    type: str
    data: str


class EventStream:
    """Collects events; `comments` and `replacements` (invalid UTF-8) are counted, never raised."""

    def __init__(self) -> None:
        self.comments = 0
        self.replacements = 0
        self._pieces: list[bytes] = []  # of the unfinished line
        self._length = 0
        self._skip_newline = False  # the last chunk ended in CR: a LF now belongs to it
        self._first = True
        self._type = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Returns the events that `chunk` completes.

        Raises:
            StreamError: a line above 1 MiB or an event above 4 MiB.
        """
        events: list[Event] = []
        if not self._skip_newline and b"\r" not in chunk and len(chunk) <= LINE_LIMIT:
            chunk = self._feed_usual(chunk, events)
        if chunk:
            self._feed_lines(chunk, events)
        return events

    def _feed_usual(self, chunk: bytes, events: list[Event]) -> bytes:
        """Takes whole events off a chunk whose lines end in LF alone; returns what is left of it.

        Nearly all events are one line of data, and then a line costs no step of its own.
        """
        if self._first or self._pieces or self._data or self._type:
            head, end, chunk = chunk.partition(b"\n\n")
            self._feed_lines(head + end, events)
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(Event("message", self._decode(block[6:])))
            else:
                self._feed_lines(block + b"\n\n", events)
        return rest

    def _feed_lines(self, chunk: bytes, events: list[Event]) -> None:
        if self._skip_newline and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._skip_newline = chunk.endswith(b"\r")
        lines = _LINE_END.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
        rest = lines.pop()
        for line in lines:
            if self._pieces:
                line = b"".join([*self._pieces, line])
                self._pieces.clear()
                self._length = 0
            event = self._line(line)
            if event is not None:
                events.append(event)
        if rest:
            self._pieces.append(rest)
            self._length += len(rest)
            if self._length > LINE_LIMIT:
                raise StreamError(f"event-stream line longer than {LINE_LIMIT} bytes")

    def _line(self, line: bytes) -> Event | None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        if len(line) > LINE_LIMIT:
            raise StreamError(f"event-stream line longer than {LINE_LIMIT} bytes")
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > EVENT_LIMIT:
                raise StreamError(f"event longer than {EVENT_LIMIT} bytes")
        elif field == b"event":
            self._type = value
        elif not field:
            self.comments += 1
        return None

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._type
        self._type, self._size = b"", 0
        if not data:
            return None
        self._data = []
        return Event(self._decode(kind) or "message", self._decode(b"\n".join(data)))

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.replacements += 1
            return raw.decode(errors="replace")
