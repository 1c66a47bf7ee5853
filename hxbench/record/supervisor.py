"""Records one trial: starts decoder, workers and sampler, lets the load run, and ends them in order."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from hxbench import units
from hxbench.errors import IncompleteError
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import Planned
from hxbench.record import priority
from hxbench.record.children import Child
from hxbench.record.exchange import IDLE_CONNECTIONS
from hxbench.record.preflight import secret_names
from hxbench.records import tables
from hxbench.records.schemas import SCHEDULE, TARGET
from hxbench.wire.dialects import DIALECTS

START_MARGIN_NS = 100_000_000  # to write the schedule, say which it is, and tell the workers
POLL_S = 0.1
READY_S = 30.0
STOP_S = 30.0  # a sampler waits for the server to be idle
DECODER_END_S = 600.0  # it may have much to write; it is never cut off while it works

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Served:
    """The target of one trial; `pids` are its processes when they run on this machine."""

    url: str
    pids: tuple[int, ...]


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked to stop
    """The user or the system asked the run to stop; its argument is the signal's number."""


@dataclass
class StopRequest:
    """The first signal that asked for an end, None as long as none did."""

    signal: int | None = None

    def raise_if_asked(self) -> None:
        if self.signal is not None:
            raise Interrupted(self.signal)


@contextmanager
def stop_signals(*, patient: bool = False) -> Iterator[StopRequest]:
    """Turns SIGINT, SIGTERM and SIGHUP into a request, so that they end a run instead of the program.

    Whoever asks a second time does not want to wait for things to end in order: KeyboardInterrupt, but with
    `patient`, where they must.
    Outside the main thread, where Python lets nobody set handlers, none ever comes.
    """
    asked = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _: object) -> None:
        if asked.signal is not None and not patient:
            raise KeyboardInterrupt
        asked.signal = number

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def append_schedule(
    run_dir: Path, earlier: list[tuple[Any, ...]], planned: Sequence[Planned], start_ns: int
) -> list[tuple[Any, ...]]:
    """Writes the schedule with this trial's rows added, durably, and returns all its rows.

    Due times are absolute, so a trial's rows can only be written once its start is set; they are
    written before its first request.
    """
    added = [
        (
            row.request_id, row.trial, TARGET, row.phase, row.stage, row.user, row.conversation, row.turn,
            None if row.due_offset_ns is None else start_ns + row.due_offset_ns,
            row.prompt_id, row.prompt_class, row.max_tokens, row.seed,
        )
        for row in planned
    ]  # fmt: skip
    rows = [*earlier, *added]
    tables.write(run_dir / "records" / "schedule.parquet", SCHEDULE, rows)
    return rows


def write_schedule(
    run_dir: Path, earlier: list[tuple[Any, ...]], planned: Sequence[Planned]
) -> tuple[int, list[tuple[Any, ...]]]:
    """Sets the trial's start and writes its schedule; later, where a slow disk let the start go by.

    Returns the start in monotonic ns and the schedule's rows.
    """
    margin = START_MARGIN_NS
    while True:
        start_ns = time.monotonic_ns() + margin
        rows = append_schedule(run_dir, earlier, planned, start_ns)
        if time.monotonic_ns() < start_ns - margin // 3:
            return start_ns, rows
        margin *= 10


def worker_plan(
    profile: Profile,
    url: str,
    run_dir: Path,
    trial: int,
    planned: Sequence[Planned],
    first: int,
    worker: int = 0,
) -> dict[str, Any]:
    """Returns everything a load worker needs, without any secret; `first` numbers the trial's first row."""
    address = urlsplit(url)
    tls = address.scheme == "https"
    load, workers = profile.load, profile.instrument.workers
    return {
        "journal": str(run_dir / "journal" / f"t{trial}-w{worker}.journal"),
        "host": address.hostname,
        "port": address.port or (443 if tls else 80),
        "tls": tls,
        "ca_file": profile.target.ca_file,
        "path": address.path.rstrip("/") + DIALECTS[profile.target.protocol].path,
        "protocol": profile.target.protocol,
        "stream": profile.workload.stream,
        "api_key_env": profile.target.api_key_env,
        "headers_env": dict(profile.target.headers_env),
        "limits": _limits_ns(profile),
        "prompts": str(profile.workload.prompts),
        "model": profile.target.model,
        "temperature": profile.workload.temperature,
        "extra_body": profile.target.extra_body,
        "salt": profile.workload.salt,
        "seed": profile.workload.seed,
        "users": profile.instrument.dealt(load.scaled_users, worker) if load.loop == "closed" else None,
        "ramp_up_ns": round(load.ramp_up_s * 1e9),
        "max_in_flight": load.max_in_flight,
        "priority": profile.instrument.priority,
        "connections_kept": max(1, IDLE_CONNECTIONS // workers),
        "warmup_ns": round(load.warmup * 1e9),
        "measure_ns": _measure_ns(profile, planned),
        "stages": _stages(profile),
        "rows": [
            (
                first + i, row.request_id, row.phase, row.due_offset_ns, row.prompt_id, row.max_tokens,
                row.seed, row.conversation, row.turn,
                round(load.thinking_s(profile.workload.seed, row.request_id) * 1e9),
            )
            for i, (row, dealer) in enumerate(zip(planned, _dealers(profile, planned), strict=True))
            if dealer == worker
        ],
    }  # fmt: skip


def _dealers(profile: Profile, planned: Sequence[Planned]) -> list[int]:
    """Returns which worker has each row. Arrivals are dealt one after the other, and keep their times.

    In a closed loop users are dealt so, and conversations go to the users in turn, so that a worker has as
    large a share of them as of the users. Where users come one by one, one comes to each worker at a time.
    """
    workers, load = profile.instrument.workers, profile.load
    conversations: dict[str, int] = {}
    numbers = [conversations.setdefault(row.conversation, len(conversations)) for row in planned]
    users = load.scaled_users if load.loop == "closed" else workers
    return [number % users % workers for number in numbers]


def _limits_ns(profile: Profile) -> dict[str, int]:
    """The limits of a request in ns; of an answer in one piece nothing is seen before its end."""
    total = round(profile.limits.total * 1e9)
    if not profile.workload.stream:
        return {"total": total, "first_token": total, "stall": total}
    tokens = {name: round(getattr(profile.limits, name) * 1e9) for name in ("first_token", "stall")}
    return {"total": total, **tokens}


def _measure_ns(profile: Profile, planned: Sequence[Planned]) -> int | None:
    """The measured window; an open loop bounded by a number of requests ends with the last one due."""
    measured_s = profile.load.measured_s
    if measured_s is not None:
        return round(measured_s * 1e9)
    if profile.load.loop == "closed":
        return None
    return max(row.due_offset_ns or 0 for row in planned) - round(profile.load.warmup * 1e9)


def _stages(profile: Profile) -> list[tuple[str, int]]:
    """The stages that have a name, with when each begins within the measured window."""
    slopes = profile.load.slopes
    begins = accumulate((seconds or 0.0 for *_, seconds in slopes[:-1]), initial=0.0)
    named = zip(slopes, begins, strict=False)  # without slopes there is a begin all the same
    return [(name, round(begin * 1e9)) for (name, *_), begin in named if name is not None]


class Trial:
    """The children of one trial."""

    def __init__(self, profile: Profile, served: Served, run_dir: Path, trial: int, log: IO[bytes]) -> None:
        self._profile, self._served, self._run_dir, self._trial = profile, served, run_dir, trial
        self._log = log
        self._children: list[Child] = []  # the workers first
        self.priority = profile.instrument.priority  # that all workers had to the end

    def record(
        self,
        planned: Sequence[Planned],
        earlier: list[tuple[Any, ...]],
        decoder: Child,
        asked: StopRequest,
        progress: Progress,
        planned_written: Callable[[], None],
    ) -> list[tuple[Any, ...]]:
        """Runs the load to its end and returns the schedule's rows.

        `planned_written` is called when the schedule stands on the disk, before the first request.

        Raises:
            Interrupted: a stop was asked for; what was measured is kept.
            IncompleteError: a child ended early.
        """
        try:
            workers, sampler = self._start(planned, len(earlier), decoder)
            start_ns, rows = write_schedule(self._run_dir, earlier, planned)
            planned_written()
            for worker in workers:
                worker.tell(f"start {start_ns}")
            self._watch(workers, sampler, decoder, asked, progress)
            return rows
        finally:
            for child in self._children[: self._profile.instrument.workers]:
                child.ask_to_end()  # all of them at once: the sampler goes on until they have ended
            for child in self._children:
                child.stop(timeout=STOP_S)

    def _start(self, planned: Sequence[Planned], first: int, decoder: Child) -> tuple[list[Child], Child]:
        """Starts workers and sampler side by side and waits until all are ready."""
        workers = [
            self._child("hxbench.record.worker", str(self._write_plan(planned, first, worker)))
            for worker in range(self._profile.instrument.workers)
        ]
        sampling = json.dumps(self._sampling(workers, decoder))
        sampler = self._child("hxbench.record.sampler", str(self._run_dir), sampling)
        for child in self._children:
            said = child.event(READY_S)
            if said is None or said["event"] != "ready":
                raise IncompleteError(_why(child, said))
        return workers, sampler

    def _child(self, module: str, *arguments: str) -> Child:
        self._children.append(Child(module, arguments, self._log))
        return self._children[-1]

    def _write_plan(self, planned: Sequence[Planned], first: int, worker: int) -> Path:
        plan = worker_plan(
            self._profile, self._served.url, self._run_dir, self._trial, planned, first, worker
        )
        path = self._run_dir / "journal" / f"t{self._trial}-w{worker}.json"
        path.write_text(json.dumps(plan))
        return path

    def _sampling(self, workers: Sequence[Child], decoder: Child) -> dict[str, Any]:
        return {
            "trial": self._trial,
            "server_pids": list(self._served.pids),
            "client_pids": [*(worker.pid for worker in workers), decoder.pid],
            "metrics_url": self._served.url.rstrip("/") + "/metrics",
            "api_key_env": self._profile.target.api_key_env,
            "headers_env": dict(self._profile.target.headers_env),
            "ca_file": self._profile.target.ca_file,
        }

    def _watch(
        self,
        workers: Sequence[Child],
        sampler: Child,
        decoder: Child,
        asked: StopRequest,
        progress: Progress,
    ) -> None:
        """Waits until all workers have finished."""
        running = list(workers)
        while running:
            asked.raise_if_asked()
            for child in (decoder, sampler):
                while (news := child.event(0)) is not None:
                    if news["event"] != "progress":
                        raise IncompleteError(_why(child, news))
                    progress(news)
            for worker in tuple(running):
                if self._has_finished(worker):
                    running.remove(worker)

    def _has_finished(self, worker: Child) -> bool:
        said = worker.event(POLL_S / self._profile.instrument.workers)
        if said is None:
            return False
        if said["event"] == "priority":
            self.priority = said["obtained"]
            return False
        if said["event"] != "finished":
            raise IncompleteError(_why(worker, said))
        return True


def _why(child: Child, said: Mapping[str, Any] | None) -> str:
    """Why a child ended early or did not start, in its own words if it had any."""
    if said is None:
        return f"{child.name}: no sign of readiness within {units.duration(READY_S)}; see log.txt"
    return str(said.get("reason") or f"{child.name}: ended early (status {child.wait(STOP_S)}); see log.txt")


def await_caught_up(decoder: Child, asked: StopRequest) -> None:
    """Waits until a decoder has been through what earlier trials left it: not beside the next one's load.

    Raises:
        Interrupted: a stop was asked for.
        IncompleteError: the decoder ended early.
    """
    while (news := decoder.event(POLL_S)) is None:
        asked.raise_if_asked()
    if news["event"] != "progress":
        raise IncompleteError(_why(decoder, news))


def start_decoder(profile: Profile, run_dir: Path, log: IO[bytes]) -> Child:
    """Starts the decoder behind everything else that this machine does: it can wait, a request cannot."""
    options = {
        "protocol": profile.target.protocol,
        "stream": profile.workload.stream,
        "hash_text": profile.keep.text != "none",
        "secret_names": secret_names(profile),
    }
    child = Child("hxbench.record.decoder", [str(run_dir), json.dumps(options)], log)
    priority.lower(child.pid)
    return child
