"""Runs the real load worker against a server and decodes its journal: what came back, as plain values."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hxbench.record.children import Child
from hxbench.record.decoding import Decoder, Planned
from hxbench.records.journal import Reader
from hxbench.records.schemas import READS, REQUESTS
from hxbench.wire.dialects import answers
from tests.servers import Server

SECOND = 1_000_000_000
PROMPTS = '{"id": "a", "prompt": "Say something."}\n'
PATIENCE_S = 120.0  # for what must come: on a machine that others keep busy seconds say nothing


@dataclass
class Outcome:
    requests: list[dict[str, Any]] = field(default_factory=list)
    reads: list[dict[str, Any]] = field(default_factory=list)
    decoder: Decoder | None = None
    start_ns: int = 0
    said: dict[str, Any] | None = None

    @property
    def only(self) -> dict[str, Any]:
        (request,) = self.requests
        return request


def wait_until(condition: Callable[[], object], missing: str, timeout: float = PATIENCE_S) -> None:
    """Waits until something is so; after the time-out the test fails and says what is missing."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout:.0f} s: {missing}"
        time.sleep(0.02)


def await_load(server: Server, requests: int, process: "subprocess.Popen[Any]") -> None:
    """Waits until so many requests of a program's load are asked; one that ended meanwhile said why."""

    def asked() -> bool:
        return sum("x-request-id" in each.headers for each in server.chats) >= requests

    wait_until(lambda: asked() or process.poll() is not None, f"no {requests} requests of the load")
    assert asked(), (process.returncode, process.stderr and process.stderr.read())


def await_gone(pid: int, timeout: float = PATIENCE_S) -> None:
    """Waits until a process that may not be ours to reap runs no more."""
    wait_until(lambda: not _runs(pid), f"process {pid} still runs", timeout)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def plan(folder: Path, url: str, rows: Sequence[Sequence[Any]], **changed: Any) -> dict[str, Any]:
    """Returns a worker's plan for rows of (phase, due offset in s or None)."""
    (folder / "prompts.jsonl").write_text(PROMPTS)
    scheme, _, address = url.partition("://")
    host, _, port = address.partition(":")
    return {
        "journal": str(folder / "t1-w0.journal"), "host": host, "port": int(port), "tls": scheme == "https",
        "protocol": "openai-chat", "stream": True,
        "ca_file": None, "path": "/v1/chat/completions", "api_key_env": None, "headers_env": {},
        "limits": dict.fromkeys(("total", "first_token", "stall"), 100 * SECOND),
        "prompts": str(folder / "prompts.jsonl"), "model": "m", "temperature": 0, "extra_body": {},
        "salt": True, "seed": 1, "users": 1, "ramp_up_ns": 0, "max_in_flight": None,
        "priority": "normal", "connections_kept": 8,
        "warmup_ns": 0, "measure_ns": None, "stages": [],
        "rows": [
            (
                number, f"r{number}", phase, None if due is None else round(due * SECOND), "a", 4, number,
                f"r{number}", 0, 0,
            )
            for number, (phase, due) in enumerate(rows)
        ],
        **changed,
    }  # fmt: skip


def closed(requests: int) -> list[tuple[str, None]]:
    return [("measure", None)] * requests


def start(folder: Path, made: dict[str, Any]) -> Child:
    """Starts a worker and waits until it is ready."""
    path = folder / "plan.json"
    path.write_text(json.dumps(made))
    with (folder / "log.txt").open("wb") as log:
        worker = Child("hxbench.record.worker", [str(path)], log)
    said = worker.event(PATIENCE_S)
    if said != {"event": "ready"}:
        worker.stop()
        raise AssertionError(said, (folder / "log.txt").read_text())
    return worker


def drive(folder: Path, made: dict[str, Any]) -> Outcome:
    """Runs the plan to its end."""
    worker = start(folder, made)
    start_ns = time.monotonic_ns() + SECOND // 10
    worker.tell(f"start {start_ns}")
    said = worker.event(PATIENCE_S)
    worker.stop()
    if said in (None, {"event": "ended"}):
        raise AssertionError(said, worker.status, (folder / "log.txt").read_text())
    outcome = decode(folder, made, start_ns)
    outcome.said = said
    return outcome


def decode(folder: Path, made: dict[str, Any], start_ns: int, **options: Any) -> Outcome:
    """Decodes the journal of a plan, however its worker ended."""
    outcome = Outcome(start_ns=start_ns)
    schedule = {
        number: Planned(name, 1, "main", phase, None if due is None else start_ns + due)
        for number, name, phase, due, *_ in made["rows"]
    }

    def emit(request: Any, reads: list[Any]) -> None:
        outcome.requests.append(dict(zip(REQUESTS.names, request, strict=True)))
        outcome.reads += [dict(zip(READS.names, read, strict=True)) for read in reads]

    answer = answers(made["protocol"], stream=made["stream"])
    given: dict[str, Any] = {"answer": answer, "hash_text": False, "redact": lambda text: text} | options
    outcome.decoder = Decoder(0, lambda: schedule, emit, **given)
    for entry in Reader(Path(made["journal"])).entries():
        outcome.decoder.feed(entry)
    outcome.decoder.finish()
    return outcome
