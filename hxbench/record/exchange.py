"""One request's life on the wire, written to the journal as it happens."""

import errno
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hxbench import units
from hxbench.errors import IncompleteError
from hxbench.record.connection import Address, Connection
from hxbench.record.loop import READ, WRITE, Loop, Timer
from hxbench.records.journal import Kind, Writer
from hxbench.wire import http

# What this machine has run out of says nothing about the server.
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
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
    mask: Callable[[bytes], bytes]  # takes secrets out of what a server echoes
    idle: dict[Connection, int] = field(default_factory=dict)  # to the time since when
    reserved: int = 0  # opened ahead of a due time
    keeps_alive: bool = True  # until the server is seen to close what it promised to keep

    def take_idle(self) -> Connection | None:
        if not self.idle:
            return None
        connection, _ = self.idle.popitem()
        return connection

    def keep(self, connection: Connection) -> None:
        """Takes over a connection that is watched already: changing hands costs no system call."""
        if not self.keeps_alive or len(self.idle) + self.reserved >= IDLE_CONNECTIONS:
            self.loop.unwatch(connection.fileno())
            connection.close()
            return
        self.idle[connection] = time.monotonic_ns()
        self.loop.change(connection.fileno(), READ, lambda _: self._drop(connection))

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
        self._deadline: Timer | None = None
        self._response = http.Response()
        self._dispatched = 0
        self._last_token = 0
        self._sent = False
        self._received = False
        self.failed = False
        self._reserved = False

    @property
    def refused(self) -> bool:
        """Tells whether it failed or was answered with a status other than 200, of what can be told here."""
        return self.failed or self._response.status != 200

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
        """Ends the exchange early; nothing more is sent or read. One never dispatched leaves no trace."""
        self._release_reservation()
        self._drop_connection()
        if self._dispatched:
            self._end(reason)
        else:
            self._done(self)

    def give_up(self, reason: str) -> None:
        """Ends an exchange that is never sent as one that failed."""
        self.failed = True
        self._note(Kind.END, time.monotonic_ns(), reason.encode())
        self._done(self)

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
        self._wire.loop.change(idle.fileno(), READ, self._ready)
        self._send()

    def _connect(self) -> None:
        self._note(Kind.CONNECT_START, time.monotonic_ns())
        try:
            self._connection = Connection(self._wire.address)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise IncompleteError(f"no connection could be opened: {error.strerror}") from None
            self._fail(f"connect: {error.strerror or error}")
            return
        self._wire.loop.watch(self._connection.fileno(), READ | WRITE, self._ready)

    def _ready(self, mask: int) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 - only a connection that is watched gets here
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
                return
        self._follow(connection)

    def _follow(self, connection: Connection) -> None:
        """Watches for what comes next and notes when the whole request has left."""
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
            if self._connection is not connection:  # it broke while the request was being sent
                return
        if not self._dispatched:
            if read.data or read.closed:
                self._broken("an answer before the request")
            return
        if read.data:
            self._take(connection, read.data, read.time_ns, read.kernel_ns, read.segments)
        if read.closed and self._connection is connection:
            if self._response.close():
                self._complete(connection)
            else:
                self._broken("the server closed the connection")

    def _take(self, connection: Connection, data: bytes, time_ns: int, kernel_ns: int, segments: int) -> None:
        self._received = True
        kept = self._wire.mask(data)
        self._wire.journal.add(Kind.READ, self.number, time_ns, kept, kernel_ns, segments)
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
        if self._response.keep_alive:
            self._connection = None
            self._wire.keep(connection)
        else:
            self._drop_connection()
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
        assert self._deadline is not None  # noqa: S101 - what has been dispatched has one
        self._wire.loop.cancel(self._deadline)
        self._note(Kind.END, time.monotonic_ns(), self._wire.mask(reason.encode()))
        self._done(self)

    def _limit(self) -> tuple[int, str, int]:
        """When the exchange has lasted too long as things stand, and the limit in words and ns."""
        limits = self._wire.limits
        total = self._dispatched + limits.total, "not done within", limits.total
        if self._last_token:
            return min((self._last_token + limits.stall, "no token for", limits.stall), total)
        first = self._dispatched + limits.first_token, "no first token within", limits.first_token
        return min(first, total)

    def _arm(self) -> None:
        self._deadline = self._wire.loop.at(self._limit()[0], self._check_deadline)

    def _check_deadline(self) -> None:
        when, text, limit = self._limit()
        if time.monotonic_ns() < when:
            self._arm()
        else:
            self._fail(f"time limit: {text} {units.duration(limit / 1e9)}")


def headers(accept: str, own: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers every request carries beside its id; `own` are those of its dialect."""
    sent = {"Content-Type": "application/json", "Accept": accept, "Accept-Encoding": "identity"}
    return {**sent, **own, **extra}
