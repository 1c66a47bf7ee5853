"""The reference server: streams that leave on time, and a log of when each byte left.

`python -m hxbench.servers.reference OPTIONS`: one thread, one loop. It says its address on stdout once
it listens, and ends when stdin does. Only the standard library is imported.
"""

import json
import math
import os
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.errors import InputError, TargetError
from hxbench.record.children import Child
from hxbench.record.connection import ask_for_stamps, kernel_stamp
from hxbench.record.loop import READ, WRITE, Loop
from hxbench.records.departures import Log
from hxbench.servers import answers
from hxbench.servers.pacing import Pace, Pacer
from hxbench.servers.started import StartedServer

READY_S = 60.0
READ_BYTES = 65_536
MOST_BYTES = 16 * 1024 * 1024  # of a request
BACKLOG = 4096
FLUSH_NS = 100_000_000
_METRICS = (
    ("requests_total", "counter", "Requests for an answer that came."),
    ("errors_total", "counter", "Requests for an answer that got an error."),
    ("tokens_total", "counter", "Tokens that left."),
    ("prompt_tokens_total", "counter", "Words of the prompts of answered requests."),
    ("streams_running", "gauge", "Answers that have not ended."),
)


class Server:
    """The state that all connections share."""

    def __init__(self, pace: Pace, log: Path | None, port: int, model: str) -> None:
        self.model = model
        self.loop, self.pace, self.pacer = Loop(), pace, Pacer(pace)
        self.log = Log(log or Path(os.devnull))
        self.counts = dict.fromkeys((name for name, _, _ in _METRICS), 0)
        self.pieces: dict[tuple[answers.Speech, int], bytes] = {}  # tokens a write to its bytes
        self._listening = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._listening.setblocking(False)
        self._running = True
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def run(self, say: Callable[..., None]) -> None:
        """Serves until stdin ends."""
        ask_for_stamps(self._listening)
        self.loop.watch(self._listening.fileno(), READ, lambda _: self._accept())
        self.loop.watch(sys.stdin.fileno(), READ, lambda _: self._command())
        self._flush()
        say(event="ready", url=self.url)
        while self._running:
            self.loop.turn()
        self.log.close()

    def _command(self) -> None:
        self._running = bool(os.read(sys.stdin.fileno(), 4096))

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            while True:
                accepted, _ = self._listening.accept()
                Caller(self, accepted)

    def _flush(self) -> None:
        self.log.flush()
        self.loop.at(time.monotonic_ns() + FLUSH_NS, self._flush)

    def piece(self, speech: answers.Speech, tokens: int) -> bytes:
        key = speech, tokens
        if key not in self.pieces:
            self.pieces[key] = speech.tokens(tokens)
        return self.pieces[key]

    def metrics(self) -> str:
        lines = []
        for name, kind, text in _METRICS:
            full = f"hxbench_reference_{name}"
            lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", f"{full} {self.counts[name]}"]
        return "\n".join(lines) + "\n"


class Caller:
    """One connection: requests in, one answer after the other out, kept open between."""

    def __init__(self, server: Server, accepted: socket.socket) -> None:
        self._server, self._socket = server, accepted
        self._in = self._out = b""
        self._number = 0
        self._answering = False
        self._closed = False
        self._streams = True
        self._due = self._left = self._sent = self._prompt = 0
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask_for_stamps(accepted)
        server.loop.watch(accepted.fileno(), READ, self._ready)

    def _ready(self, mask: int) -> None:
        try:
            if mask & WRITE:
                self._push(0, b"")
            if mask & READ:
                self._read()
        except OSError:
            self._close()

    def _read(self) -> None:
        data, ancillary, _, _ = self._socket.recvmsg(READ_BYTES, 64)
        now, realtime = time.monotonic_ns(), time.time_ns()
        if not data:
            self._close()
            return
        stamp = kernel_stamp(ancillary)
        self._arrived = min(now, stamp - realtime + now) if stamp else now
        self._in += data
        if len(self._in) > MOST_BYTES:
            self._close()
        elif not self._answering:
            self._take(now)

    def _take(self, now: int) -> None:
        """Begins the answer to the first request that is whole."""
        head, found, rest = self._in.partition(b"\r\n\r\n")
        if not found:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        named = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        length = named.get("content-length", "0")
        size = int(length) if length.isdecimal() else 0
        if len(rest) < size:
            return
        body, self._in = rest[:size], rest[size:]
        self._answer(line, named.get("x-request-id", ""), body, now)

    def _answer(self, line: str, request_id: str, body: bytes, now: int) -> None:
        self._number = 0
        method, _, path = line.rpartition(" ")[0].partition(" ")
        if method == "POST" and path in answers.SPEECHES:
            self._speech = answers.SPEECHES[path]
            self._begin(request_id, body, now)
            return
        self._push(0, self._told(path) if method == "GET" else answers.error(404, f"{path}: not served"))

    def _told(self, path: str) -> bytes:
        match path:
            case "/health":
                return answers.whole(200, '{"status":"ok"}')
            case "/v1/models":
                return answers.models(self._server.model)
            case "/metrics":
                return answers.whole(200, self._server.metrics(), "text/plain; version=0.0.4")
        return answers.error(404, f"{path}: not served")

    def _begin(self, request_id: str, body: bytes, now: int) -> None:
        server, counts = self._server, self._server.counts
        counts["requests_total"] += 1
        self._number = counts["requests_total"]
        server.log.arrival(self._number, request_id, self._arrived, now)
        try:
            asked = answers.asked(body)
        except answers.Refused as refused:
            self._refuse(400, str(refused))
            return
        if server.pacer.fails():
            self._refuse(500, "an error that was asked for")
            return
        self._prompt, self._streams, self._sent = asked.prompt_tokens, asked.stream, 0
        self._left = server.pace.tokens or asked.max_tokens
        counts["prompt_tokens_total"] += self._prompt
        counts["streams_running"] += 1
        self._answering = True
        self._due = server.pacer.first(self._arrived)
        self._open(now)

    def _open(self, now: int) -> None:
        """Sends what carries no token: at once, or with the first token where that is due already."""
        opening = self._speech.opening(self._prompt) if self._streams else b""
        if self._due <= now:
            self._step(opening)
            return
        if opening:
            self._push(0, opening)
        self._server.loop.at(self._due, self._step)

    def _refuse(self, status: int, text: str) -> None:
        self._server.counts["errors_total"] += 1
        self._push(0, answers.error(status, text))

    def _step(self, before: bytes = b"") -> None:
        """Lets the next tokens leave, and with the last of them the end."""
        if self._closed:
            return
        server = self._server
        tokens = min(server.pace.burst, self._left)
        self._left -= tokens
        self._sent += tokens
        server.counts["tokens_total"] += tokens
        if self._left:
            self._due = server.pacer.following(self._due, self._sent)
            server.loop.at(self._due, self._step)
        try:
            self._leave(tokens, before)
        except OSError:
            self._close()
            return
        if not self._left:
            self._end()

    def _leave(self, tokens: int, before: bytes) -> None:
        """Sends these tokens; those of an answer in one piece wait for the last one and count as one."""
        if self._streams:
            end = b"" if self._left else self._speech.closing(self._prompt, self._sent)
            self._push(tokens, before + self._server.piece(self._speech, tokens) + end)
        elif not self._left:
            self._push(1, self._speech.in_one_piece(self._prompt, self._sent))

    def _end(self) -> None:
        self._answering = False
        self._server.counts["streams_running"] -= 1
        if self._in:
            self._arrived = now = time.monotonic_ns()
            self._take(now)

    def _push(self, tokens: int, data: bytes) -> None:
        """Sends, and notes it once the last byte is the system's; what it does not take waits."""
        data = self._out + data
        before = time.monotonic_ns()
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            taken = 0
        self._server.log.departure(self._number, tokens, before, time.monotonic_ns(), taken)
        if taken < len(data) or self._out:
            self._out = data[taken:]
            wanted = READ | WRITE if self._out else READ
            self._server.loop.change(self._socket.fileno(), wanted, self._ready)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._answering:
            self._server.counts["streams_running"] -= 1
        self._server.loop.unwatch(self._socket.fileno())
        self._socket.close()


# How each text of a pace is read; the jitter is a bare number.
_KINDS = {
    "ttft": "duration", "itl": "duration", "stall_at": "duration", "stall_for": "duration",
    "tokens": "count", "burst": "count", "stall_token": "count", "errors": "share",
}  # fmt: skip
_LEAST = {"tokens": 1, "burst": 1, "stall_token": 1}


def pace(given: Mapping[str, Any]) -> Pace:
    """Returns the pace that texts with units ask for, such as ttft "50 ms".

    Raises:
        InputError: one is not as it should be.
    """
    return Pace(**{name: _quantity(name, value) for name, value in given.items()})


def _quantity(name: str, text: Any) -> Any:
    if name in ("service", "seed"):
        return text
    flag, least = f"--{name.replace('_', '-')}", _LEAST.get(name, 0)
    try:
        value = _jitter(text) if name == "jitter" else units.parse(text, _KINDS[name])
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None
    if not least <= value < math.inf:
        raise InputError(f"{flag}: expected {least} or more, got {text}")
    if name == "errors" and value > 1:
        raise InputError(f"{flag}: expected 0 % to 100 %, got {text}")
    return value


def _jitter(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number such as 0.2, got {text}") from None


class ReferenceServer(StartedServer):
    """A started reference server, and the file of its log."""

    def __init__(self, url: str, child: Child, log: Path | None) -> None:
        super().__init__(url, child)
        self.log = log


def start(pace: Pace, log: Path | None = None, port: int = 0, model: str = answers.MODEL) -> ReferenceServer:
    """Returns a reference server that listens and lists `model`; `log` is where it notes what left when.

    Raises:
        TargetError: it did not start.
    """
    options = {"pace": asdict(pace), "log": str(log) if log else None, "port": port, "model": model}
    child = Child("hxbench.servers.reference", [json.dumps(options)], 2)
    said = child.event(READY_S)
    if said is None or said["event"] != "ready":
        child.stop()
        reason = (said or {}).get("reason", "no sign of readiness")
        raise TargetError(f"reference server: did not start: {reason}")
    return ReferenceServer(said["url"], child, log)


@contextmanager
def serving(pace: Mapping[str, Any], log: Path) -> Iterator[ReferenceServer]:
    """Serves at that pace while the context lasts."""
    server = start(Pace(**pace), log)
    try:
        yield server
    finally:
        server.stop()


def _say(**event: Any) -> None:
    print(json.dumps(event), flush=True)  # noqa: T201 - stdout is the channel


def main() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = json.loads(sys.argv[1])
    log = Path(options["log"]) if options["log"] else None
    try:
        server = Server(Pace(**options["pace"]), log, options["port"], options["model"])
    except OSError as error:
        _say(event="failed", reason=error.strerror or str(error))
        return 1
    server.run(_say)
    return 0


if __name__ == "__main__":
    sys.exit(main())
