"""One request's life on the wire, written to the journal as it happens."""

import errno
import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hxbench import units
from hxbench.errors import IncompleteError
from hxbench.record.connection import Address, Connection
from hxbench.record.loop import BOTH, READ, WRITE, Loop, Timer
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

    @property
    def first(self) -> int:
        """The time after the dispatch before which none of them can be passed."""
        return min(self.total, self.first_token, self.stall)


@dataclass(slots=True)
class Wire:
    """What all exchanges of a worker share."""

    loop: Loop
    journal: Writer
    address: Address
    limits: Limits
    token_hint: re.Pattern[bytes] | None  # None where nothing is seen of an answer before its end
    mask: Callable[[bytes], bytes]  # takes secrets out of what a server echoes
    connections_kept: int = IDLE_CONNECTIONS
    idle: dict[Connection, int] = field(default_factory=dict)  # to the time since when
    reserved: int = 0  # opened ahead of a due time
    keeps_alive: bool = True  # until the server is seen to close what it promised to keep
    young: dict["Exchange", None] = field(default_factory=dict)  # in the order of their first deadlines
    sweeping: bool = False

    def take_idle(self) -> Connection | None:
        if not self.idle:
            return None
        connection, _ = self.idle.popitem()
        return connection

    def keep(self, connection: Connection, now_ns: int) -> None:
        """Takes over a connection that an exchange has done with."""
        if not self.keeps_alive or len(self.idle) + self.reserved >= self.connections_kept:
            self.discard(connection)
            return
        self.idle[connection] = now_ns
        connection.user = self

    def ready(self, connection: Connection, _: int) -> None:
        """An idle connection has news: the server closed it, or sent what nobody asked for."""
        if time.monotonic_ns() - self.idle.pop(connection) < PROMPT_CLOSE_NS:
            self.keeps_alive = False
        self.discard(connection)

    def discard(self, connection: Connection) -> None:
        self.loop.unwatch(connection.descriptor)
        connection.close()

    def close(self) -> None:
        for connection in self.idle:
            self.discard(connection)
        self.idle.clear()

    def limit(self, exchange: "Exchange") -> None:
        """Sees to the time limits of an exchange that has just been dispatched.

        All have the same limits, so that the first deadlines come in the order of the dispatches and one
        timer does for them: nearly all exchanges end before, and a timer each would cost more than they do.
        """
        self.young[exchange] = None
        if not self.sweeping:
            self.sweeping = True
            self.loop.at(exchange.dispatched + self.limits.first, self._sweep)

    def _sweep(self) -> None:
        """Lets the exchanges that have come to their first deadline look after themselves."""
        now, first = time.monotonic_ns(), self.limits.first
        due = list(itertools.takewhile(lambda each: each.dispatched + first <= now, self.young))
        for exchange in due:
            del self.young[exchange]
        oldest = next(iter(self.young), None)
        self.sweeping = oldest is not None
        if oldest is not None:
            self.loop.at(oldest.dispatched + first, self._sweep)
        for exchange in due:
            exchange.check_deadline()


class Exchange:
    """Prepared (body built, connection open) before it is due, then sent, read and judged whole or not."""

    __slots__ = (
        "_connection", "_deadline", "_done", "_last_token", "_received", "_request", "_reserved", "_response",
        "_sent", "_wire", "dispatched", "failed", "number",
    )  # fmt: skip

    def __init__(self, wire: Wire, number: int, request: bytes, done: Callable[["Exchange"], None]) -> None:
        self.number = number
        self.dispatched = 0
        self.failed = False
        self._wire = wire
        self._request = request
        self._done = done
        self._connection: Connection | None = None
        self._deadline: Timer | None = None
        self._response = http.Response()
        self._last_token = 0
        self._sent = False
        self._received = False
        self._reserved = False

    @property
    def refused(self) -> bool:
        """Tells whether it failed or was answered with a status other than 200, of what can be told here."""
        return self.failed or self._response.status != 200

    def prepare(self) -> None:
        """Opens a connection ahead of the due time, unless enough are open."""
        wire = self._wire
        if wire.idle or wire.reserved >= wire.connections_kept:
            return
        wire.reserved += 1
        self._reserved = True
        self._connect()

    def dispatch(self) -> None:
        """Sends the request now; whatever must still happen first counts as the request's time."""
        self._release_reservation()
        self.dispatched = time.monotonic_ns()
        self._note(Kind.DISPATCH, self.dispatched)
        self._wire.limit(self)
        if self._connection is None:
            self._obtain()
        elif self._connection.connected:
            self._send(self._connection)

    def stop(self, reason: str) -> None:
        """Ends the exchange early; nothing more is sent or read. One never dispatched leaves no trace."""
        self._release_reservation()
        self._drop_connection()
        if self.dispatched:
            self._end(reason, time.monotonic_ns())
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

    def _note(self, kind: int, time_ns: int, body: bytes = b"") -> None:
        self._wire.journal.add(kind, self.number, time_ns, body)

    def _obtain(self) -> None:
        idle = self._wire.take_idle()
        if idle is None:
            self._connect()
            return
        self._connection = idle
        idle.user = self
        self._send(idle)

    def _connect(self) -> None:
        self._note(Kind.CONNECT_START, time.monotonic_ns())
        try:
            connection = self._connection = Connection(self._wire.address, self)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise IncompleteError(f"no connection could be opened: {error.strerror}") from None
            self._fail(f"connect: {error.strerror or error}")
            return
        self._wire.loop.watch(connection.descriptor, connection.watched, connection.ready)

    def ready(self, connection: Connection, mask: int) -> None:
        """The loop's word that the connection can be read or written."""
        try:
            if mask != READ:
                self._write(connection)
            if mask != WRITE and self._connection is connection:
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
            if self.dispatched:
                self._send(connection)
                return
        self._follow(connection)

    def _follow(self, connection: Connection) -> None:
        """Watches for what comes next and notes when the whole request has left."""
        wanted = BOTH if connection.wants_write else READ
        if wanted != connection.watched:
            connection.watched = wanted
            self._wire.loop.change(connection.descriptor, wanted, connection.ready)
        if wanted == READ and connection.used and not self._sent and self.dispatched:
            self._sent = True
            self._note(Kind.SENT, time.monotonic_ns())

    def _send(self, connection: Connection) -> None:
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
        if not self.dispatched:
            if read.data or read.closed:
                self._broken("an answer before the request")
            return
        if read.data:
            self._take(connection, read.data, read.time_ns, read.kernel_ns, read.segments)
        if read.closed and self._connection is connection:
            if self._response.close():
                self._complete(connection, read.time_ns)
            else:
                self._broken("the server closed the connection")

    def _take(self, connection: Connection, data: bytes, time_ns: int, kernel_ns: int, segments: int) -> None:
        self._received = True
        wire = self._wire
        wire.journal.add(Kind.READ, self.number, time_ns, wire.mask(data), kernel_ns, segments)
        if wire.token_hint is not None and wire.token_hint.search(data):
            self._last_token = time_ns
        try:
            self._response.feed(data)
        except http.FramingError as error:
            self._fail(str(error))
            return
        if self._response.complete:
            self._complete(connection, time_ns)

    def _complete(self, connection: Connection, time_ns: int) -> None:
        if self._response.keep_alive and not connection.wants_write:
            self._connection = None
            self._wire.keep(connection, time_ns)
        else:
            self._drop_connection()
        self._end("", time_ns)

    def _broken(self, reason: str) -> None:
        """The connection is gone: once more if it was a reused one and nothing came, else a failure."""
        connection = self._connection
        reused = connection is not None and connection.used > 1
        self._drop_connection()
        if not self.dispatched:  # opened ahead and lost again: connect when due
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
        if self.dispatched:
            self.failed = True
            self._end(reason, time.monotonic_ns())

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._wire.discard(self._connection)
            self._connection = None

    def _end(self, reason: str, time_ns: int) -> None:
        if self._deadline is None:
            self._wire.young.pop(self, None)
        else:
            self._wire.loop.cancel(self._deadline)
        self._note(Kind.END, time_ns, self._wire.mask(reason.encode()) if reason else b"")
        self._done(self)

    def _limit(self) -> tuple[int, str, int]:
        """When the exchange has lasted too long as things stand, and the limit in words and ns."""
        limits = self._wire.limits
        total = self.dispatched + limits.total, "not done within", limits.total
        if self._last_token:
            return min((self._last_token + limits.stall, "no token for", limits.stall), total)
        first = self.dispatched + limits.first_token, "no first token within", limits.first_token
        return min(first, total)

    def check_deadline(self) -> None:
        """Ends an exchange that has passed a limit; of another comes back when it can have passed one."""
        when, text, limit = self._limit()
        if time.monotonic_ns() < when:
            self._deadline = self._wire.loop.at(when, self.check_deadline)
        else:
            self._fail(f"time limit: {text} {units.duration(limit / 1e9)}")


def headers(accept: str, own: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers every request carries beside its id; `own` are those of its dialect."""
    sent = {"Content-Type": "application/json", "Accept": accept, "Accept-Encoding": "identity"}
    return {**sent, **own, **extra}
