"""A load worker: `python -m hxbench.record.worker PLAN`. One thread; it stamps, frames and journals.

It decodes nothing: another busy thread, or decoding in this one, would let reads coalesce and move
the stamps. It says `ready` on stdout, begins at the time that the line `start NS` on stdin names, and
stops at end of file. Only the standard library is imported, so that it starts in some 50 ms.
"""

import json
import os
import resource
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from hxbench.plan import workload
from hxbench.record import exchange, shapes
from hxbench.record.connection import Address
from hxbench.record.loop import READ, Loop
from hxbench.records.journal import STOPPED, Kind, Writer
from hxbench.wire import http, openai

FLUSH_NS = 1_000_000_000
CLOCK_NS = 100_000_000


class Worker:
    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._loop = Loop()
        self._journal = Writer(Path(plan["journal"]))
        self._wire = exchange.Wire(
            loop=self._loop,
            journal=self._journal,
            address=resolve(plan["host"], plan["port"], tls=plan["tls"], ca_file=plan["ca_file"]),
            limits=exchange.Limits(**plan["limits"]),
            token_hint=openai.TOKEN_HINT,
        )
        self._prompts = {prompt.id: prompt for prompt in workload.load_prompts(plan["prompts"])}
        self._headers = exchange.headers(*_credentials(plan))
        self._host = f"{plan['host']}:{plan['port']}"
        self._running = True
        self._shape = self._make_shape([shapes.Row(*row) for row in plan["rows"]])

    def _make_shape(self, rows: list[shapes.Row]) -> shapes.Shape:
        common = (self._loop, self._begin, self._note_phase, self._finish, rows)
        warmup, measure = self._plan["warmup_ns"], self._plan["measure_ns"]
        if self._plan["users"] is None:
            return shapes.Arrivals(*common, warmup, measure)
        return shapes.Users(*common, self._plan["users"], warmup, measure)

    def run(self) -> None:
        self._loop.watch(sys.stdin.fileno(), READ, lambda _: self._command())
        self._stamp_clock()
        self._flush()
        _say("ready")
        while self._running:
            self._loop.turn()
        self._wire.close()
        self._journal.add(Kind.FINISHED, 0, time.monotonic_ns())
        self._journal.close()
        _say("finished")

    def _command(self) -> None:
        line = os.read(sys.stdin.fileno(), 4096)
        if line.startswith(b"start "):
            self._shape.start(int(line.split()[1]))
        elif not line:
            self._loop.unwatch(sys.stdin.fileno())
            self._shape.stop(STOPPED)
            self._running = False

    def _finish(self) -> None:
        self._running = False

    def _begin(self, row: shapes.Row, done: Any) -> exchange.Exchange:
        plan = self._plan
        salt = workload.salt(plan["seed"], row.request_id) if plan["salt"] else None
        body = openai.body(
            workload.request_messages(self._prompts[row.prompt_id], salt),
            model=plan["model"],
            max_tokens=row.max_tokens,
            temperature=plan["temperature"],
            seed=row.seed,
            extra=plan["extra_body"],
        )
        head = {**self._headers, "X-Request-Id": row.request_id}
        request = http.request("POST", plan["path"], self._host, head, body)
        return exchange.Exchange(self._wire, row.number, request, done)

    def _note_phase(self, phase: str, begins: bool) -> None:
        self._journal.add(Kind.PHASE, int(begins), time.monotonic_ns(), phase.encode())

    def _stamp_clock(self) -> None:
        before = time.monotonic_ns()
        realtime = time.time_ns()
        bracket = time.monotonic_ns() - before
        self._journal.add(Kind.CLOCK, min(bracket, 0xFFFFFFFF), before + bracket // 2, kernel_ns=realtime)
        self._loop.at(before + CLOCK_NS, self._stamp_clock)

    def _flush(self) -> None:
        self._journal.flush()
        self._loop.at(time.monotonic_ns() + FLUSH_NS, self._flush)


def resolve(host: str, port: int, *, tls: bool, ca_file: str | None) -> Address:
    """Returns the first address of `host`.

    Raises:
        OSError: the name is unknown or the CA file cannot be read.
    """
    family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    context = ssl.create_default_context(cafile=ca_file) if tls else None
    return Address(family, sockaddr, host, context)


def _credentials(plan: dict[str, Any]) -> tuple[str | None, dict[str, str]]:
    """The key and header values, read here from the environment and written nowhere."""
    key = os.environ[plan["api_key_env"]] if plan["api_key_env"] else None
    return key, {header: os.environ[name] for header, name in plan["headers_env"].items()}


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - stdout is the channel


def main() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    plan = json.loads(Path(sys.argv[1]).read_text())
    try:
        Worker(plan).run()
    except OSError as error:
        _say("failed", reason=f"load worker: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
