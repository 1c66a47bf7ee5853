"""One request's life on the wire, written to the journal as it happens."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hxbench.record.connection import Address, Connection
from hxbench.record.loop import READ, WRITE, Loop
from hxbench.records.journal import Kind, Writer
from hxbench.wire import http

IDLE_CONNECTIONS = 8  # the embedded server answers seconds late when more are held open
PROMPT_CLOSE_NS = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """How long an exchange may take, in ns: in all, to the first token, between tokens."""

    total: int
    first_token: int
    stall: int


@dataclass
class Wire:
    """What all exchanges of a worker share."""

    loop: Loop
    journal: Writer
    address: Address
    limits: Limits
    token_hint: re.Pattern[bytes]
    idle: dict[Connection, int] = field(default_factory=dict)  # to the time since when
    reserved: int = 0  # opened ahead of a due time
    keeps_alive: bool = True  # until the server is seen to close what it promised to keep

    def take_idle(self) -> Connection | None:
        if not self.idle:
            return None
        connection, _ = self.idle.popitem()
        self.loop.unwatch(connection.fileno())
        return connection

    def keep(self, connection: Connection) -> None:
        if not self.keeps_alive or len(self.idle) + self.reserved >= IDLE_CONNECTIONS:
            connection.close()
            return
        self.idle[connection] = time.monotonic_ns()
        self.loop.watch(connection.fileno(), READ, lambda _: self._drop(connection))

    def _drop(self, connection: Connection) -> None:
        """An idle connection has news: the server closed it, or sent what nobody asked for."""
        if time.monotonic_ns() - self.idle.pop(connection) < PROMPT_CLOSE_NS:
            self.keeps_alive = False
        self.loop.unwatch(connection.fileno())
        connection.close()

    def close(self) -> None:
        for connection in self.idle:
            self.loop.unwatch(connection.fileno())
            connection.close()
        self.idle.clear()


class Exchange:
    """Prepared (body built, connection open) before it is due, then sent, read and judged whole or not."""

    def __init__(self, wire: Wire, number: int, request: bytes, done: Callable[["Exchange"], None]) -> None:
        self.number = number
        self._wire = wire
        self._request = request
        self._done = done
        self._connection: Connection | None = None
        self._response = http.Response()
        self._dispatched = 0
        self._last_token = 0
        self._sent = False
        self._received = False
        self.failed = False
        self._reserved = False
        self._finished = False

    def prepare(self) -> None:
        """Opens a connection ahead of the due time, unless enough are open."""
        if self._wire.idle or len(self._wire.idle) + self._wire.reserved >= IDLE_CONNECTIONS:
            return
        self._wire.reserved += 1
        self._reserved = True
        self._connect()

    def dispatch(self) -> None:
        """Sends the request now; whatever must still happen first counts as the request's time."""
        self._release_reservation()
        self._dispatched = time.monotonic_ns()
        self._note(Kind.DISPATCH, self._dispatched)
        self._arm()
        if self._connection is None:
            self._obtain()
        elif self._connection.connected:
            self._send()

    def stop(self, reason: str) -> None:
        """Ends the exchange early; nothing more is sent or read."""
        if self._finished:
            return
        self._release_reservation()
        self._drop_connection()
        self._end(reason)

    def _release_reservation(self) -> None:
        if self._reserved:
            self._reserved = False
            self._wire.reserved -= 1

    def _note(self, kind: Kind, time_ns: int, body: bytes = b"") -> None:
        self._wire.journal.add(kind, self.number, time_ns, body)

    def _obtain(self) -> None:
        idle = self._wire.take_idle()
        if idle is None:
            self._connect()
            return
        self._connection = idle
        self._wire.loop.watch(idle.fileno(), READ, self._ready)
        self._send()

    def _connect(self) -> None:
        self._note(Kind.CONNECT_START, time.monotonic_ns())
        try:
            self._connection = Connection(self._wire.address)
        except OSError as error:
            self._fail(f"connect: {error.strerror or error}")
            return
        self._wire.loop.watch(self._connection.fileno(), READ | WRITE, self._ready)

    def _ready(self, mask: int) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if mask & WRITE:
                self._write(connection)
            if mask & READ and self._connection is connection:
                self._read(connection)
        except OSError as error:
            self._broken(str(error.strerror or error))

    def _write(self, connection: Connection) -> None:
        was_connected = connection.connected
        connection.writable()
        self._after_progress(connection, was_connected)

    def _after_progress(self, connection: Connection, was_connected: bool) -> None:
        if connection.connected and not was_connected:
            self._note(Kind.CONNECTED, time.monotonic_ns())
            if self._dispatched:
                self._send()
        self._follow(connection)

    def _follow(self, connection: Connection) -> None:
        """Watches for what comes next and notes when the whole request has left."""
        if self._connection is not connection:
            return
        if connection.wants_write:
            self._wire.loop.change(connection.fileno(), READ | WRITE, self._ready)
            return
        self._wire.loop.change(connection.fileno(), READ, self._ready)
        if connection.used and not self._sent and self._dispatched:
            self._sent = True
            self._note(Kind.SENT, time.monotonic_ns())

    def _send(self) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 - callers have just obtained it
        connection.used += 1
        try:
            connection.send(self._request)
        except OSError as error:
            self._broken(str(error.strerror or error))
            return
        self._follow(connection)

    def _read(self, connection: Connection) -> None:
        was_connected = connection.connected
        read = connection.read()
        if not was_connected:
            self._after_progress(connection, was_connected)
        if read.data:
            self._take(connection, read.data, read.time_ns, read.kernel_ns, read.segments)
        if read.closed and self._connection is connection:
            if self._response.close():
                self._complete(connection)
            else:
                self._broken("the server closed the connection")

    def _take(self, connection: Connection, data: bytes, time_ns: int, kernel_ns: int, segments: int) -> None:
        self._received = True
        self._wire.journal.add(Kind.READ, self.number, time_ns, data, kernel_ns, segments)
        if self._wire.token_hint.search(data):
            self._last_token = time_ns
        try:
            self._response.feed(data)
        except http.FramingError as error:
            self._fail(str(error))
            return
        if self._response.complete:
            self._complete(connection)

    def _complete(self, connection: Connection) -> None:
        self._wire.loop.unwatch(connection.fileno())
        self._connection = None
        if self._response.keep_alive:
            self._wire.keep(connection)
        else:
            connection.close()
        self._end("")

    def _broken(self, reason: str) -> None:
        """The connection is gone: once more if it was a reused one and nothing came, else a failure."""
        connection = self._connection
        reused = connection is not None and connection.used > 1
        self._drop_connection()
        if not self._dispatched:  # opened ahead and lost again: connect when due
            return
        if reused and not self._received:
            self._wire.keeps_alive = False
            self._sent = False
            self._note(Kind.RETRY, time.monotonic_ns())
            self._connect()
            return
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self._drop_connection()
        if self._dispatched:
            self.failed = True
            self._end(reason)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._wire.loop.unwatch(self._connection.fileno())
            self._connection.close()
            self._connection = None

    def _end(self, reason: str) -> None:
        self._finished = True
        self._request = b""  # a deadline's timer may hold this object for a minute
        self._note(Kind.END, time.monotonic_ns(), reason.encode())
        self._done(self)

    def _deadline(self) -> tuple[int, str]:
        limits = self._wire.limits
        total = self._dispatched + limits.total
        if self._last_token:
            quiet, text = self._last_token + limits.stall, f"no token for {limits.stall / 1e9:g} s"
        else:
            quiet, text = (
                self._dispatched + limits.first_token,
                f"no first token within {limits.first_token / 1e9:g} s",
            )
        return (quiet, text) if quiet < total else (total, f"not done within {limits.total / 1e9:g} s")

    def _arm(self) -> None:
        self._wire.loop.at(self._deadline()[0], self._check_deadline)

    def _check_deadline(self) -> None:
        if self._finished:
            return
        when, text = self._deadline()
        if time.monotonic_ns() < when:
            self._arm()
        else:
            self._fail(f"time limit: {text}")


def headers(key: str | None, extra: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers every request carries beside its id."""
    sent = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    return {**sent, **extra}
