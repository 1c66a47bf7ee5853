"""HTTP/1.1 framing: one request out, one response in, fed with whatever a socket returned."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

HEAD_LIMIT = 65_536
HEADER_COUNT_LIMIT = 256
LINE_LIMIT = 1_024  # of a chunk's size line or one trailer line
RESPONSE_LIMIT = 64 * 1024 * 1024  # with head and framing: all of it is kept
INTERIM_LIMIT = 10  # answers of status 1xx before the real one
TEXT_KEPT = 1_000  # of what the peer sent, in a message; cut shorter once secrets are out of it
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_Read = Callable[["Response", bytes], bytes]


class FramingError(Exception):
    """The peer's bytes are not an HTTP/1.1 response that can be accepted."""


def head(method: str, path: str, host: str, headers: Mapping[str, str]) -> bytes:
    """Returns a request's lines up to its headers, to which `request` adds what is each request's own.

    Raises:
        ValueError: a header holds a line break.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def request(common: bytes, request_id: str, body: bytes) -> bytes:
    """Returns the bytes of one request: a common head, the request's id, length and body."""
    length = len(body)
    return b"%bX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (common, request_id.encode(), length, body)


class _Head(NamedTuple):
    """What a response's head says."""

    status: int
    headers: Mapping[str, str]
    keep_alive: bool
    read: "_Read"  # how its body is framed
    length: int
    error: str | None  # why its body cannot be read


class Response:
    """One response, built up read by read: `feed` returns the body bytes that a read carried."""

    __slots__ = (
        "_held", "_interim", "_left", "_read", "_seen", "complete", "headers", "keep_alive", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: Mapping[str, str] = _NO_HEADERS
        self.complete = False
        self.keep_alive = False
        self._held = b""  # an unfinished head, chunk-size or trailer line
        self._left = 0  # body bytes still due in this chunk or this body
        self._seen = 0
        self._interim = 0
        self._read: _Read = Response._read_head  # a method not yet bound: no cycle to collect

    def feed(self, data: bytes) -> bytes:
        """Returns the body bytes in `data`; `complete` tells whether the response has ended.

        Raises:
            FramingError: the bytes break HTTP, pass a limit, or come after the response's end.
        """
        self._seen += len(data)
        if self._seen > RESPONSE_LIMIT:
            raise FramingError(f"response longer than {RESPONSE_LIMIT} bytes")
        return self._read(self, data)

    def close(self) -> bool:
        """Says that the peer closed; returns whether the response was whole."""
        if self._read is Response._read_until_close:
            self.complete = True
        return self.complete

    def _read_head(self, data: bytes) -> bytes:
        data = self._held + data
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_LIMIT:
            if len(data) > HEAD_LIMIT:
                raise FramingError(f"response head longer than {HEAD_LIMIT} bytes")
            self._held = data
            return b""
        head, rest = _parse_head(data[:end]), data[end + 4 :]
        self._held = b""
        if 100 <= head.status < 200:
            return self._after_interim(rest)
        self.status, self.headers, self.keep_alive, self._read, self._left, error = head
        if error is not None:
            raise FramingError(error)
        if self._read is Response._read_surplus:
            self.complete = True
        return self._read(self, rest) if rest else b""

    def _after_interim(self, rest: bytes) -> bytes:
        self._interim += 1
        if self._interim > INTERIM_LIMIT:
            raise FramingError(f"more than {INTERIM_LIMIT} interim answers")
        return self._read_head(rest)

    def _end(self) -> None:
        self.complete = True
        self._read = Response._read_surplus

    def _read_surplus(self, data: bytes) -> bytes:
        if data:
            raise FramingError("bytes after the response's end")
        return b""

    def _read_until_close(self, data: bytes) -> bytes:
        return data

    def _read_length(self, data: bytes) -> bytes:
        if len(data) < self._left:
            self._left -= len(data)
            return data
        self._end()
        self._read_surplus(data[self._left :])
        return data

    def _read_size(self, data: bytes) -> bytes:
        """Reads chunks from a size line on; a read usually carries whole chunks, and up to some hundred."""
        parts, at = [], 0
        while at < len(data):
            end = data.find(b"\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            size = _chunk_size(self._held + data[at:end])
            self._held, at = b"", end + 1
            if size == 0:
                self._read = Response._read_trailer
                self._read_trailer(data[at:])
                break
            parts.append(data[at : at + size])
            at += size + 2  # the chunk and its closing CRLF
            if at > len(data):
                self._left = at - len(data)
                self._read = Response._read_chunk
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_chunk(self, data: bytes) -> bytes:
        left = self._left
        body = data[: max(left - 2, 0)]
        if len(data) < left:
            self._left -= len(data)
            return body
        self._read = Response._read_size
        rest = data[left:]
        return body + self._read_size(rest) if rest else body

    def _read_trailer(self, data: bytes) -> bytes:
        while data:
            line, found, data = data.partition(b"\n")
            if not found:
                self._hold(line)
                break
            line, self._held = self._held + line, b""
            if line in (b"\r", b""):
                self._end()
                self._read_surplus(data)
        return b""

    def _hold(self, line: bytes) -> None:
        self._held += line
        if len(self._held) > LINE_LIMIT:
            raise FramingError(f"chunk line longer than {LINE_LIMIT} bytes")


@lru_cache(maxsize=8)  # of one server's heads only the date differs, once a second
def _parse_head(raw: bytes) -> _Head:
    lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
        raise FramingError(f"not an HTTP/1.1 answer: {lines[0][:TEXT_KEPT]!r}")
    if len(lines) > HEADER_COUNT_LIMIT:
        raise FramingError(f"more than {HEADER_COUNT_LIMIT} headers")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise FramingError(f"not a header: {line[:TEXT_KEPT]!r}")
        headers[name.strip().lower()] = value.strip()
    read, length, error = _framing(int(code), headers)
    keep_alive = read is not Response._read_until_close and _keeps_alive(version, headers)
    return _Head(int(code), headers, keep_alive, read, length, error)


def _framing(status: int, headers: Mapping[str, str]) -> tuple[_Read, int, str | None]:
    """Returns how the body is read, its length where that is stated, and why it cannot be read."""
    encoding = headers.get("content-encoding", "identity")
    transfer, length = headers.get("transfer-encoding"), headers.get("content-length")
    error = None
    if encoding.lower() != "identity":
        error = f"content-encoding {encoding[:TEXT_KEPT]!r}: none was asked for"
    elif status in (204, 304):
        return Response._read_surplus, 0, None
    elif transfer is not None:
        if transfer.lower() == "chunked":
            return Response._read_size, 0, None
        error = f"transfer-encoding {transfer[:TEXT_KEPT]!r}"
    elif length is not None:
        if _LENGTH.fullmatch(length):
            return (Response._read_length if int(length) else Response._read_surplus), int(length), None
        error = f"content-length {length[:TEXT_KEPT]!r}"
    return Response._read_until_close, 0, error


def _keeps_alive(version: str, headers: Mapping[str, str]) -> bool:
    said = {word.strip() for word in headers.get("connection", "").lower().split(",")}
    return "close" not in said if version == "HTTP/1.1" else "keep-alive" in said


@lru_cache(maxsize=512)
def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not _CHUNK_SIZE.fullmatch(digits):
        raise FramingError(f"not a chunk size: {digits[:TEXT_KEPT]!r}")
    return int(digits, 16)
