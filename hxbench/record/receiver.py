"""Listens for what Alertmanager's webhook sends. Whatever else comes is refused, and harms nothing."""

import asyncio
import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
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
_HEAD = 16_384
_WORDS = {200: "OK", 400: "Bad Request", 405: "Method Not Allowed", 408: "Request Timeout",
          411: "Length Required", 413: "Content Too Large", 503: "Service Unavailable"}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """One request: when it had come whole, by the monotonic clock, and what there is to keep of it."""

    at_ns: int
    alerts: tuple[dict[str, Any], ...]  # those that matter
    refused: str | None = None


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Receiver:
    """Listens while the context lasts, in a thread with an event loop of its own."""

    def __init__(self, section: Alerts) -> None:
        """Raises: InputError when the port is not to be had."""
        self._section = section
        host, port = section.listens_at
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise InputError(
                f"alerts.receiver: {section.receiver}: {why}; end who listens there, or choose another port"
            ) from None
        self._heard: Queue[Heard] = Queue(_MOST_HEARD)
        self._open = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def heard(self) -> list[Heard]:
        """Returns what came since the last call."""
        taken: list[Heard] = []
        with suppress(Empty):
            while len(taken) < _MOST_HEARD:
                taken.append(self._heard.get_nowait())
        return taken

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=_HEAD)
        await self._ended.wait()
        server.close()  # the connections end with the loop

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST_OPEN:
                await self._answer(reader, writer)
        except OSError:  # a peer that is gone needs no answer
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status = 200
        try:
            async with asyncio.timeout(REQUEST_S):
                self._heard.put_nowait(self._kept(await _body(reader)))
        except Full:
            status = 503
        except (_Refused, TimeoutError, ValueError, EOFError, RecursionError) as error:
            status = _status(error)
            with suppress(Full):
                self._heard.put_nowait(Heard(time.monotonic_ns(), (), refused=_why(error)))
        head = f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(REQUEST_S):
            await writer.drain()

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


def _status(error: Exception) -> int:
    if isinstance(error, _Refused):
        return error.status
    return 408 if isinstance(error, TimeoutError) else 400


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"it was not there within {REQUEST_S:g} s"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return "it is no JSON"
    return "it broke off" if isinstance(error, EOFError) else str(error)[:200]


async def _body(reader: asyncio.StreamReader) -> bytes:
    """Returns the body of the one request that a connection may bring."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _Refused(400, "its head is too long") from None
    request, *lines = head.decode("latin-1").split("\r\n")
    if not request.startswith("POST "):
        raise _Refused(405, "it is no POST")
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
    }
    length = fields.get("content-length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 19):
        raise _Refused(411, "it does not say its length")
    if int(length) > LARGEST:
        raise _Refused(413, f"it has {length} bytes")
    return await reader.readexactly(int(length))
