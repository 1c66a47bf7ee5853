"""A load worker: `python -m hxbench.record.worker PLAN`. One thread; it stamps, frames and journals.

It decodes nothing: another busy thread, or decoding in this one, would let reads coalesce and move
the stamps. It says `ready` on stdout, begins at the time that the line `start NS` on stdin names, and
stops at end of file. Only the standard library is imported, so that it starts in some 50 ms.
"""

import gc
import json
import os
import resource
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from hxbench.errors import HxbenchError
from hxbench.plan import workload
from hxbench.record import exchange, priority, redaction, shapes
from hxbench.record.connection import Address, ask_for_stamps
from hxbench.record.loop import READ, Loop
from hxbench.records.journal import STOPPED, Kind, Writer
from hxbench.wire import http
from hxbench.wire.dialect import content_type
from hxbench.wire.dialects import DIALECTS
from hxbench.wire.prepared import Make, prepared

PROBE_S = 2.0
MACOS_DESCRIPTORS = 10_240  # OPEN_MAX: what it takes where its own limit says "unlimited"
FLUSH_NS = 1_000_000_000
CLOCK_NS = 100_000_000
CLOCK_TRIES = 3  # the system may take the processor away between two readings, but not each time


class Worker:
    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._dialect = DIALECTS[plan["protocol"]]
        self._loop = Loop()
        self._journal = Writer(Path(plan["journal"]))
        key, headers = _credentials(plan)
        self._wire = exchange.Wire(
            loop=self._loop,
            journal=self._journal,
            address=resolve(plan["host"], plan["port"], tls=plan["tls"], ca_file=plan["ca_file"]),
            limits=exchange.Limits(**plan["limits"]),
            token_hint=self._dialect.token_hint if plan["stream"] else None,
            connections_kept=plan["connections_kept"],
            mask=redaction.masking([*headers.values(), *([key] if key else [])]),
        )
        self._prompts = {prompt.id: prompt for prompt in workload.load_prompts(plan["prompts"])}
        self._bodies: dict[tuple[str, int], Make] = {}  # of the prompts and turns used so far
        self._salted, self._seed = plan["salt"], plan["seed"]
        accept = content_type(stream=plan["stream"])
        self._head = http.head(
            "POST",
            plan["path"],
            host_header(plan["host"], plan["port"], tls=plan["tls"]),
            exchange.headers(accept, self._dialect.headers(key), headers),
        )
        self._running = True
        self._shape = self._make_shape([shapes.Row(*row) for row in plan.pop("rows")])

    def _make_shape(self, rows: list[shapes.Row]) -> shapes.Shape:
        common = (self._loop, self._begin, self._note_phase, self._finish, rows)
        plan = self._plan
        warmup, measure = plan["warmup_ns"], plan["measure_ns"]
        if plan["users"] is None:
            patience, stages = plan["limits"]["total"], plan["stages"]
            return shapes.Arrivals(*common, warmup, measure, plan["max_in_flight"], patience, stages)
        return shapes.Users(*common, plan["users"], warmup, measure, plan["ramp_up_ns"])

    def run(self) -> None:
        """Puts on the load that stdin asks for, to its end."""
        with socket.socket() as stamping:
            ask_for_stamps(stamping)
            self._put_on_load()

    def _put_on_load(self) -> None:
        self._loop.watch(sys.stdin.fileno(), READ, lambda _: self._command())
        self._stamp_clock()
        self._flush()
        priority.take(self._plan["priority"], lambda: _say("priority", obtained=priority.NORMAL))
        gc.freeze()
        gc.enable()
        _say("ready")
        try:
            while self._running:
                self._loop.turn()
            self._wire.close()
            self._journal.add(Kind.FINISHED, 0, time.monotonic_ns())
        finally:
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
        make = self._bodies.get((row.prompt_id, row.turn)) or self._prepare(row.prompt_id, row.turn)
        salt = workload.salt(self._seed, row.conversation) if self._salted else ""
        request = http.request(self._head, row.request_id, make(salt, row.max_tokens, row.seed))
        return exchange.Exchange(self._wire, row.number, request, done)

    def _prepare(self, prompt_id: str, turn: int) -> Make:
        prompt, plan, body = self._prompts[prompt_id], self._plan, self._dialect.body

        def make(salt: str, max_tokens: int, seed: int) -> bytes:
            return body(
                workload.request_messages(prompt, salt if self._salted else None, turn),
                model=plan["model"],
                max_tokens=max_tokens,
                temperature=plan["temperature"],
                seed=seed,
                extra=plan["extra_body"],
                stream=plan["stream"],
            )

        self._bodies[prompt_id, turn] = prepared(make)
        return self._bodies[prompt_id, turn]

    def _note_phase(self, phase: str, begins: bool) -> None:
        self._journal.add(Kind.PHASE, int(begins), time.monotonic_ns(), phase.encode())

    def _stamp_clock(self) -> None:
        bracket, before, realtime = min(_both_clocks() for _ in range(CLOCK_TRIES))
        self._journal.add(Kind.CLOCK, min(bracket, 0xFFFFFFFF), before + bracket // 2, kernel_ns=realtime)
        self._loop.at(before + CLOCK_NS, self._stamp_clock)

    def _flush(self) -> None:
        self._journal.flush()
        self._loop.at(time.monotonic_ns() + FLUSH_NS, self._flush)


def _both_clocks() -> tuple[int, int, int]:
    """Returns how long the reading took, when it began, and the realtime read in between, in ns."""
    before = time.monotonic_ns()
    realtime = time.time_ns()
    return time.monotonic_ns() - before, before, realtime


def resolve(host: str, port: int, *, tls: bool, ca_file: str | None) -> Address:
    """Returns the first address of `host` that takes a connection, or the first when none does.

    `localhost` is often ::1 before it is 127.0.0.1, and few servers listen on both.

    Raises:
        OSError: the name is unknown or the CA file cannot be read.
    """
    found = [(info[0], info[4]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    family, sockaddr = next((each for each in found if len(found) > 1 and _answers(*each)), found[0])
    context = ssl.create_default_context(cafile=ca_file) if tls else None
    return Address(family, sockaddr, host, context)


def _answers(family: int, sockaddr: Any) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_S)
            probe.connect(sockaddr)
    except OSError:
        return False
    return True


def host_header(host: str, port: int, *, tls: bool) -> str:
    """Returns the Host header: an IPv6 address in brackets, the scheme's own port left out."""
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if tls else 80) else f"{name}:{port}"


def _credentials(plan: dict[str, Any]) -> tuple[str | None, dict[str, str]]:
    """The key and header values, read here from the environment and written nowhere."""
    key = os.environ[plan["api_key_env"]] if plan["api_key_env"] else None
    return key, {header: os.environ[name] for header, name in plan["headers_env"].items()}


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - stdout is the channel


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = MACOS_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main() -> int:
    _raise_descriptor_limit()
    gc.disable()  # the schedule's rows stay: looking for garbage among them only delays the start
    plan = json.loads(Path(sys.argv[1]).read_text())
    try:
        Worker(plan).run()
    except (OSError, HxbenchError) as error:
        _say("failed", reason=f"load worker: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
