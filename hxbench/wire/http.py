"""HTTP/1.1 framing: one request out, one response in, fed with whatever a socket returned."""

import re
from collections.abc import Mapping

HEAD_LIMIT = 65_536
HEADER_COUNT_LIMIT = 256
LINE_LIMIT = 1_024  # of a chunk's size line or one trailer line
RESPONSE_LIMIT = 64 * 1024 * 1024  # with head and framing: all of it is kept
INTERIM_LIMIT = 10  # answers of status 1xx before the real one
TEXT_KEPT = 1_000  # of what the peer sent, in a message; cut shorter once secrets are out of it
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_LENGTH = re.compile(r"[0-9]{1,18}")


class FramingError(Exception):
    """The peer's bytes are not an HTTP/1.1 response that can be accepted."""


def request(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Returns the bytes of one request.

    Raises:
        ValueError: a header holds a line break.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Response:
    """One response, built up read by read: `feed` returns the body bytes that a read carried."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.complete = False
        self.keep_alive = False
        self._head = bytearray()
        self._line = b""  # an unfinished chunk-size or trailer line
        self._left = 0  # body bytes still due in this chunk or this body
        self._seen = 0
        self._interim = 0
        self._read = self._read_head

    def feed(self, data: bytes) -> bytes:
        """Returns the body bytes in `data`; `complete` tells whether the response has ended.

        Raises:
            FramingError: the bytes break HTTP, pass a limit, or come after the response's end.
        """
        self._seen += len(data)
        if self._seen > RESPONSE_LIMIT:
            raise FramingError(f"response longer than {RESPONSE_LIMIT} bytes")
        return self._read(data)

    def close(self) -> bool:
        """Says that the peer closed; returns whether the response was whole."""
        if self.status is not None and self._read == self._read_until_close:
            self.complete = True
        return self.complete

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_LIMIT:
            if len(self._head) > HEAD_LIMIT:
                raise FramingError(f"response head longer than {HEAD_LIMIT} bytes")
            return b""
        rest = bytes(self._head[end + 4 :])
        status, version, headers = _parse_head(bytes(self._head[:end]))
        self._head.clear()
        if 100 <= status < 200:
            return self._after_interim(rest)
        self.status, self.headers = status, headers
        self.keep_alive = _keeps_alive(version, headers)
        self._choose_body()
        return self._read(rest) if rest or self.complete else b""

    def _after_interim(self, rest: bytes) -> bytes:
        self._interim += 1
        if self._interim > INTERIM_LIMIT:
            raise FramingError(f"more than {INTERIM_LIMIT} interim answers")
        return self._read_head(rest)

    def _choose_body(self) -> None:
        encoding = self.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise FramingError(f"content-encoding {encoding[:TEXT_KEPT]!r}: none was asked for")
        transfer = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._end()
        elif transfer is not None:
            if transfer.lower() != "chunked":
                raise FramingError(f"transfer-encoding {transfer[:TEXT_KEPT]!r}")
            self._read = self._read_size
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise FramingError(f"content-length {length[:TEXT_KEPT]!r}")
            self._left = int(length)
            self._read = self._read_length
            if self._left == 0:
                self._end()
        else:
            self.keep_alive = False
            self._read = self._read_until_close

    def _end(self) -> None:
        self.complete = True
        self._read = self._read_surplus

    def _read_surplus(self, data: bytes) -> bytes:
        if data:
            raise FramingError("bytes after the response's end")
        return b""

    def _read_until_close(self, data: bytes) -> bytes:
        return data

    def _read_length(self, data: bytes) -> bytes:
        body, rest = data[: self._left], data[self._left :]
        self._left -= len(body)
        if self._left == 0:
            self._end()
            self._read_surplus(rest)
        return body

    def _read_size(self, data: bytes) -> bytes:
        """Reads chunks from a size line on; a read usually carries whole chunks."""
        parts = []
        while data:
            line, found, rest = data.partition(b"\n")
            if not found:
                self._hold(line)
                break
            size = _chunk_size(self._line + line)
            self._line = b""
            if size == 0:
                self._read = self._read_trailer
                self._read(rest)
                break
            self._left = size + 2  # the chunk and its closing CRLF
            parts.append(self._take_chunk(rest))
            if self._left:
                self._read = self._read_chunk
                break
            data = rest[size + 2 :]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_chunk(self, data: bytes) -> bytes:
        left = self._left
        body = self._take_chunk(data)
        if self._left:
            return body
        self._read = self._read_size
        rest = data[left:]
        return body + self._read_size(rest) if rest else body

    def _take_chunk(self, data: bytes) -> bytes:
        body = data[: max(self._left - 2, 0)]
        self._left -= min(len(data), self._left)
        return body

    def _read_trailer(self, data: bytes) -> bytes:
        while data:
            line, found, data = data.partition(b"\n")
            if not found:
                self._hold(line)
                break
            line, self._line = self._line + line, b""
            if line in (b"\r", b""):
                self._end()
                self._read_surplus(data)
        return b""

    def _hold(self, line: bytes) -> None:
        self._line += line
        if len(self._line) > LINE_LIMIT:
            raise FramingError(f"chunk line longer than {LINE_LIMIT} bytes")


def _parse_head(head: bytes) -> tuple[int, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
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
    return int(code), version, headers


def _keeps_alive(version: str, headers: Mapping[str, str]) -> bool:
    said = {word.strip() for word in headers.get("connection", "").lower().split(",")}
    return "close" not in said if version == "HTTP/1.1" else "keep-alive" in said


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not _CHUNK_SIZE.fullmatch(digits):
        raise FramingError(f"not a chunk size: {digits[:TEXT_KEPT]!r}")
    return int(digits, 16)
