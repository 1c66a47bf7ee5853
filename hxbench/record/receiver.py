"""Listens for what Alertmanager's webhook sends. Whatever else comes is refused, and harms nothing."""

import json
import os
import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import Any

from hxbench.errors import InputError
from hxbench.plan.alerts import Alerts

LARGEST = 4 * 1024 * 1024  # of a notification; a group of a thousand alerts has about one
REQUEST_S = 10.0  # until a request has come whole
_MOST_OPEN = 64  # connections
_MOST_HEARD = 1000  # notifications that nobody has taken yet
_MOST_KEPT = 20  # alerts of one notification
_MOST_LABELS, _LABEL = 50, 1000  # of an alert; characters of a value
_HEAD, _PIECE = 16_384, 65_536
_TICK_S = 0.1
_WORDS = {200: "OK", 400: "Bad Request", 405: "Method Not Allowed", 408: "Request Timeout",
          411: "Length Required", 413: "Content Too Large", 503: "Service Unavailable"}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """One request: when it had come whole, by the monotonic clock, and what there is to keep of it."""

    at_ns: int
    alerts: tuple[dict[str, Any], ...]  # those that matter
    refused: str | None = None


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class _Connection:
    """One request on its way; what still comes once it is answered is thrown away."""

    until: float
    data: bytearray = field(default_factory=bytearray)
    answered: bool = False


class Receiver:
    """Listens while the context lasts, in a thread of its own."""

    def __init__(self, section: Alerts) -> None:
        """Raises: InputError when the port is not to be had."""
        self._section = section
        host, port = section.listens_at
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise InputError(
                f"alerts.receiver: {section.receiver}: {why}; end who listens there, or choose another port"
            ) from None
        self._heard: Queue[Heard] = Queue(_MOST_HEARD)
        self._open: dict[socket.socket, _Connection] = {}
        self._ended, self._end = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()
        self._thread.join()

    def heard(self) -> list[Heard]:
        """Returns what came since the last call."""
        taken: list[Heard] = []
        with suppress(Empty):
            while len(taken) < _MOST_HEARD:
                taken.append(self._heard.get_nowait())
        return taken

    def _run(self) -> None:
        with self._listener, self._ended, self._selector:
            for each in (self._listener, self._ended):
                each.setblocking(False)
                self._selector.register(each, selectors.EVENT_READ)
            ready: set[Any] = set()
            while self._ended not in ready:
                ready = {key.fileobj for key, _ in self._selector.select(_TICK_S)}
                if self._listener in ready:
                    self._accept()
                for each in ready & self._open.keys():
                    self._read(each, self._open[each])
                self._cut_off()
            for each in list(self._open):
                self._close(each)

    def _accept(self) -> None:
        with suppress(OSError):  # whoever is gone again
            connection, _ = self._listener.accept()
            if len(self._open) >= _MOST_OPEN:
                connection.close()
                return
            connection.setblocking(False)
            self._open[connection] = _Connection(time.monotonic() + REQUEST_S)
            self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket, state: _Connection) -> None:
        try:
            piece = connection.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not state.answered:
            state.data += piece
            self._take(connection, state, ended=not piece)
        if not piece:
            self._close(connection)

    def _take(self, connection: socket.socket, state: _Connection, *, ended: bool) -> None:
        """Answers a request that is whole, or that cannot be one."""
        try:
            body = _body(state.data, ended=ended)
            if body is None:
                return
            heard, status = self._kept(body), 200
        except (_Refused, ValueError, RecursionError) as error:
            heard, status = Heard(time.monotonic_ns(), (), _why(error)), getattr(error, "status", 400)
        self._answer(connection, state, heard, status)

    def _answer(self, connection: socket.socket, state: _Connection, heard: Heard, status: int) -> None:
        try:
            self._heard.put_nowait(heard)
        except Full:
            status = 503
        head = f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with suppress(OSError):  # a peer that is gone needs no answer
            connection.send(head.encode())
            connection.shutdown(socket.SHUT_WR)
        state.answered, state.data = True, bytearray()

    def _cut_off(self) -> None:
        now = time.monotonic()
        for connection, state in [each for each in self._open.items() if each[1].until < now]:
            if not state.answered:
                why = f"it was not there within {REQUEST_S:g} s"
                self._answer(connection, state, Heard(time.monotonic_ns(), (), why), 408)
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._open[connection]
        connection.close()

    def _kept(self, body: bytes) -> Heard:
        """Returns what matters of a notification. Raises: ValueError when it is none."""
        at_ns, notification = time.monotonic_ns(), json.loads(body)
        alerts = notification.get("alerts") if isinstance(notification, dict) else None
        if not isinstance(alerts, list):
            raise ValueError("no notification of Alertmanager")
        mine = [
            each for each in alerts if isinstance(each, dict) and self._section.concerns(each.get("labels"))
        ]
        return Heard(at_ns, tuple(map(self._alert, mine[:_MOST_KEPT])))

    def _alert(self, alert: dict[str, Any]) -> dict[str, Any]:
        kept = {key: str(alert.get(key, ""))[:100] for key in ("status", "startsAt", "endsAt", "fingerprint")}
        labels = list((self._section.wanted | alert["labels"]).items())[:_MOST_LABELS]
        return {"labels": {name[:200]: str(value)[:_LABEL] for name, value in labels}, **kept}


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return "it is no JSON"
    return str(error)[:200]


def _body(data: bytearray, *, ended: bool) -> bytes | None:
    """Returns the body of the one request that a connection may bring; None while it is not whole."""
    end = data.find(b"\r\n\r\n", 0, _HEAD)
    if end < 0 and len(data) >= _HEAD:
        raise _Refused("its head is too long")
    if end >= 0:
        first, length = end + 4, _length(data[:end].decode("latin-1"))
        if len(data) >= first + length:
            return bytes(data[first : first + length])
    if ended:
        raise _Refused("it broke off")
    return None


def _length(head: str) -> int:
    request, *lines = head.split("\r\n")
    if not request.startswith("POST "):
        raise _Refused("it is no POST", 405)
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
    }
    length = fields.get("content-length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 19):
        raise _Refused("it does not say its length", 411)
    if int(length) > LARGEST:
        raise _Refused(f"it has {length} bytes", 413)
    return int(length)
