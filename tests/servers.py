"""Small real servers on loopback that behave, or misbehave, as told: one thread a connection.

A script gets a request and yields what happens on the wire: bytes to send, a float to wait, CLOSE, RESET.
"""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

CLOSE, RESET = object(), object()
ASKED = ("/completions", "/messages")  # where tokens are asked for, in whatever dialect
Script = Callable[["Request"], Iterable[Any]]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def plain(status: int, body: str | bytes, kind: str = "application/json", extra: str = "") -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{extra}\r\n"
    return head.encode() + raw


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(document: Any) -> bytes:
    return chunk(b"data: " + json.dumps(document).encode() + b"\n\n")


def delta(text: str | None, finish: str | None = None, role: str | None = None) -> dict[str, Any]:
    content = {"content": text} | ({"role": role} if role else {})
    return {"choices": [{"index": 0, "delta": content, "finish_reason": finish}]}


def usage(prompt: int, output: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output}}


DONE = chunk(b"data: [DONE]\n\n")
END = chunk(b"")


def stream(tokens: int = 4, first_s: float = 0.0, gap_s: float = 0.0) -> Iterator[Any]:
    """A well-behaved answer of so many tokens."""
    yield STREAM_HEAD + event(delta(None, role="assistant"))
    yield first_s
    for index in range(tokens):
        yield event(delta(f"w{index} "))
        if index + 1 < tokens:
            yield gap_s
    yield event(delta(None, finish="stop")) + event(usage(9, tokens)) + DONE + END


def conforming(request: Request) -> Iterable[Any]:
    """What level 1 wants of bad input, and an answer to everything else."""
    try:
        asked = request.document
    except ValueError:
        return [plain(400, '{"error": "the body is not JSON"}')]
    text = asked["messages"][0]["content"]
    if not text:
        return [plain(400, '{"error": "messages.0.content (the prompt): must not be empty"}')]
    if asked["max_tokens"] < 0:
        return [plain(400, '{"error": "max_tokens: must be positive"}')]
    if len(text) > 100_000:
        return [plain(400, '{"error": "messages: above the context"}')]
    return stream(asked["max_tokens"], 0.01, 0.002)


@dataclass
class Behaviour:
    """What a target does; each part can be replaced by a script."""

    chat: Script = field(default=lambda request: stream(request.document.get("max_tokens", 4)))
    health: Script = field(default=lambda _: [plain(200, '{"status": "ok"}')])
    models: Script = field(default=lambda _: [plain(200, '{"data": [{"id": "m"}]}')])
    metrics: Script = field(default=lambda _: [plain(404, "{}")])
    tokenize: Script = field(default=lambda _: [plain(404, "{}")])


class Server:
    """Serves a behaviour until the `with` block ends; `requests` are those it has seen."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.requests: list[Request] = []
        self._host, self._tls = host, tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []
        self._closing = False

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many have been taken."""
        return len(self._connections)

    @property
    def chats(self) -> list[Request]:
        return [request for request in self.requests if request.path.endswith(ASKED)]

    def __enter__(self) -> "Server":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._closing:
            return
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            with connection.makefile("rb") as file:
                while (request := _read_request(file)) is not None:
                    self.requests.append(request)
                    if not _play(connection, self._script(request)(request)):
                        return
        except (OSError, ValueError):
            return
        finally:
            connection.close()

    def _script(self, request: Request) -> Script:
        if request.path.endswith(ASKED):
            return self.behaviour.chat
        known = {
            "/health": self.behaviour.health,
            "/v1/models": self.behaviour.models,
            "/metrics": self.behaviour.metrics,
            "/tokenize": self.behaviour.tokenize,
        }
        return known.get(request.path, lambda _: [plain(404, '{"error": "not found"}')])


def _play(connection: socket.socket, steps: Iterable[Any]) -> bool:
    """Does what the script says; returns whether the connection is still open."""
    for step in steps:
        if step is CLOSE or step is RESET:
            if step is RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                _say_goodbye(connection)
            connection.close()
            return False
        if isinstance(step, float):
            time.sleep(step)
        else:
            connection.sendall(step)
    return True


def _say_goodbye(connection: socket.socket) -> None:
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(0)
        with suppress(OSError):  # the peer does not answer in no time
            connection.unwrap()
    else:
        connection.shutdown(socket.SHUT_RDWR)


def _read_request(file: Any) -> Request | None:
    line = file.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ")
    headers = {}
    while (line := file.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, file.read(int(headers.get("content-length", 0))))
