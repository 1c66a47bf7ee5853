"""One non-blocking connection whose reads carry the kernel's receive stamp, also under TLS."""

import errno
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from hxbench.record.loop import BOTH

READ_BYTES = 65_536
_ANCILLARY_BYTES = 64
_LINUX = sys.platform == "linux"
_SO_TIMESTAMPNS = 35  # not named in the socket module
_TIMESPEC = struct.Struct("qq")
# tcpi_bytes_received and tcpi_data_segs_in of Linux's struct tcp_info
_RECEIVED = struct.Struct("=128xQ16xI")


@dataclass(frozen=True)
class Address:
    """Where to connect, resolved once: looking a name up is not part of what is timed."""

    family: int
    sockaddr: tuple[Any, ...]
    server_name: str
    tls: ssl.SSLContext | None


def trust(url: str, ca_file: str | None) -> ssl.SSLContext:
    """Returns what is trusted of whoever answers at `url`.

    That is nothing where nothing is encrypted: the system's authorities take 20 ms to read.

    Raises:
        OSError: the CA file cannot be used.
    """
    if ca_file is None and not url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context(cafile=ca_file)


class Read(NamedTuple):
    data: bytes  # decrypted
    time_ns: int  # monotonic, stamped by this process after the read
    kernel_ns: int  # realtime, stamped by the kernel, 0 where it does not
    segments: int  # TCP segments that came in since the last read, 0 if unknown
    closed: bool


def ask_for_stamps(asking: socket.socket) -> None:
    """Lets the kernel stamp what this socket receives, where it can.

    The kernel begins to stamp some milliseconds after the first socket asks, and ends with the last one
    that did: whoever wants each stamp keeps one such socket open all the time.
    """
    if _LINUX:
        asking.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def kernel_stamp(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    """Returns the realtime ns at which the kernel received what came with this, 0 where it does not say."""
    for _, kind, stamp in ancillary:
        if kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(stamp)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return 0


class User(Protocol):
    """Whom a connection serves: an exchange, or whoever keeps it until the next one."""

    def ready(self, connection: "Connection", mask: int) -> None: ...


class Connection:
    """Connects at once; `connected` turns true when it (and TLS) is ready to send.

    It is watched with its own `ready` for all its life and tells `user`, who may change, so that changing
    hands costs nothing.
    """

    __slots__ = (
        "_bytes", "_ended", "_out", "_received", "_segments", "_socket", "_tcp", "_tls", "_to_send",
        "connected", "descriptor", "used", "user", "watched",
    )  # fmt: skip

    def __init__(self, address: Address, user: User) -> None:
        self.user = user
        self.connected = False
        self.used = 0  # exchanges it has carried
        self.watched = BOTH  # for what the loop has been asked
        self._out = b""
        self._segments = 0  # that all reads so far have brought
        self._bytes = 0  # likewise, before decryption
        self._ended = False
        self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        self.descriptor = self._socket.fileno()
        try:
            self._open(address)
        except OSError:
            self._socket.close()
            raise

    def _open(self, address: Address) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask_for_stamps(self._socket)
        code = self._socket.connect_ex(address.sockaddr)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._tls: ssl.SSLObject | None = None
        if address.tls is not None:
            self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = address.tls.wrap_bio(
                self._received, self._to_send, server_hostname=address.server_name
            )
        self._tcp = False

    def ready(self, mask: int) -> None:
        """Hands on what the loop says of the socket."""
        self.user.ready(self, mask)

    def close(self) -> None:
        self._socket.close()

    @property
    def wants_write(self) -> bool:
        return not self._tcp or bool(self._out)

    def send(self, data: bytes) -> None:
        """Sends as much as the system takes; the rest goes with `writable`."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._to_send.read()
        self._out = self._out + data if self._out else data
        self._push()

    def writable(self) -> None:
        """Goes on with connecting or sending.

        Raises:
            OSError: connecting, the TLS handshake or sending failed.
        """
        if not self._tcp:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._tcp = True
            self._advance()
        self._push()

    def _advance(self) -> None:
        """Goes on with the TLS handshake, if there is one."""
        if self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._out += self._to_send.read()
                return
            self._out += self._to_send.read()
        self.connected = True

    def _push(self) -> None:
        while self._out:
            try:
                self._out = self._out[self._socket.send(self._out) :]
            except BlockingIOError:
                return

    def read(self) -> Read:
        """Returns what one read of the socket brought; empty data with `closed` unset is no news.

        Raises:
            OSError: the connection broke.
        """
        try:
            data, ancillary, _, _ = self._socket.recvmsg(READ_BYTES, _ANCILLARY_BYTES if _LINUX else 0)
        except BlockingIOError:
            return Read(b"", time.monotonic_ns(), 0, 0, False)
        now = time.monotonic_ns()
        kernel = kernel_stamp(ancillary)
        self._bytes += len(data)
        segments = self._new_segments()
        closed = not data
        if self._tls is not None:
            data = self._decrypt(data)
        return Read(data, now, kernel, segments, closed or self._ended)

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None  # noqa: S101 - only called under TLS
        if data:
            self._received.write(data)
        if not self.connected:
            self._advance()
            self._push()
            if not self.connected:
                return b""
        plain = []
        try:
            while piece := self._tls.read(READ_BYTES):
                plain.append(piece)
            self._ended = True  # the peer said that nothing more comes
        except ssl.SSLWantReadError:
            pass
        return b"".join(plain)

    def _new_segments(self) -> int:
        if not _LINUX:
            return 0
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
        if len(info) < _RECEIVED.size:
            return 0
        received, segments = _RECEIVED.unpack(info)
        new = int(segments - self._segments)
        if new > 1 and received - self._bytes > 1:  # the last one came behind this read (a FIN counts 1)
            new -= 1
        self._segments += new
        return new
