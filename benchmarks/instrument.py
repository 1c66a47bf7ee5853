"""hxbench's own load worker and decoder, as a run starts them, without the rest of a run."""

import json
import re
import resource
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import psutil

from benchmarks.opponents import Opponent, pinned
from hxbench.errors import IncompleteError
from hxbench.judge.calibration import Client, limited_by
from hxbench.plan import schedule as schedules
from hxbench.plan.asking import prompts_of
from hxbench.plan.profile import Profile
from hxbench.record import calibration, decoder
from hxbench.record.calibration import Experiment
from hxbench.record.children import Child
from hxbench.record.supervisor import start_decoder, worker_plan, write_schedule
from hxbench.wire.dialects import answers

WORKER = "hxbench.record.worker"
LOAD_S = 120.0
CATCH_UP_S = 300.0


class Seen(NamedTuple):
    """What a client recorded, and what it took: `used` holds figures by the names of the results."""

    client: Client
    used: Mapping[str, Any]


class Watched:
    """A child's processor time since it was ready, and its memory then and at its most."""

    def __init__(self, child: Child) -> None:
        self._child, self._process = child, psutil.Process(child.pid)
        self._before_s = _cpu_s(self._process)
        self.peak_bytes = 0
        self.look()
        self.ready_bytes = self.peak_bytes

    def look(self) -> float:
        """Notes the peak of memory; returns the processor time in seconds."""
        with suppress(OSError):
            status = Path(f"/proc/{self._child.pid}/status").read_text()
            found = re.search(r"VmHWM:\s*(\d+) kB", status)  # a process that has ended has none
            self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024 if found else 0)
        return _cpu_s(self._process) - self._before_s

    def end(self, timeout: float = CATCH_UP_S) -> float:
        """Ends the child; returns its processor time since it was ready, all that it still does included."""
        before_s = _of_children_s()
        self._child.stop(timeout)
        return _of_children_s() - before_s - self._before_s


def _of_children_s() -> float:
    """Returns the processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def load(experiment: Experiment, opponent: Opponent, folder: Path, core: Set[int], *, follow: bool) -> Seen:
    """Puts the load on; with `follow` the decoder works beside the worker, on the same core, as in a run."""
    profile, planned, plan = _planned(experiment, opponent, folder)
    with (folder / "log.txt").open("wb") as log, pinned(core):
        following = start_decoder(profile, folder, log) if follow else None
        worker = Child(WORKER, [str(plan)], log)
    try:
        used = _watch(worker, following, opponent, lambda: write_schedule(folder, [], planned)[0])
    finally:
        worker.stop()
        if following is not None:
            following.stop(CATCH_UP_S)
    if following is None:
        answer = answers(profile.target.protocol, stream=profile.workload.stream)
        decoder.finish(folder, answer, hash_text=False, secrets=())
    return Seen(_recorded(folder), used)


def start(experiment: Experiment, opponent: Opponent, folder: Path, core: Set[int]) -> int:
    """Lets a load worker begin as soon as it can, and end; returns when it was started."""
    _, _, plan = _planned(experiment, opponent, folder)
    began_ns = time.monotonic_ns()
    with (folder / "log.txt").open("wb") as log, pinned(core):
        worker = Child(WORKER, [str(plan)], log)
    try:
        _require(worker.event(calibration.READY_S), "ready")
        worker.tell(f"start {time.monotonic_ns()}")
        _require(worker.event(LOAD_S), "finished")
    finally:
        worker.stop()
    return began_ns


def _require(said: Mapping[str, Any] | None, event: str) -> None:
    if said != {"event": event}:
        raise IncompleteError(f"the load worker is not {event}: {said}")


def _planned(
    experiment: Experiment, opponent: Opponent, folder: Path
) -> tuple[Profile, Sequence[schedules.Planned], Path]:
    for name in ("records", "journal"):
        (folder / name).mkdir()
    profile = calibration.profile_of(experiment, opponent.url)
    planned = schedules.build(profile, prompts_of(profile), trial=1)
    path = folder / "plan.json"
    path.write_text(json.dumps(worker_plan(profile, opponent.url, folder, 1, planned, 0)))
    return profile, planned, path


def _watch(
    worker: Child, following: Child | None, opponent: Opponent, begin: Callable[[], int]
) -> dict[str, Any]:
    _require(worker.event(calibration.READY_S), "ready")
    if following is not None:
        following.event(calibration.READY_S)
    watched = [Watched(child) for child in (worker, following) if child is not None]
    server = psutil.Process(opponent.pid)
    start_ns = begin()
    worker.tell(f"start {start_ns}")
    time.sleep(max(start_ns - time.monotonic_ns(), 0) / 1e9)
    began, before_s = time.monotonic(), _cpu_s(server)
    deadline = began + LOAD_S
    client_s = 0.0
    while (said := worker.event(0.1)) is None and time.monotonic() < deadline:
        client_s = sum(each.look() for each in watched)
    wall_s = time.monotonic() - began
    shares = {
        "the client's core": client_s / wall_s,
        "the server's core": (_cpu_s(server) - before_s) / wall_s,
    }
    _require(said, "finished")
    if following is not None:
        _catch_up(following, watched[1])
    cpu_s = [each.end() for each in watched]
    return {
        "cpu_s": sum(cpu_s),
        "worker_cpu_s": cpu_s[0],
        "peak_bytes": sum(each.peak_bytes for each in watched),
        "growth_bytes": sum(each.peak_bytes - each.ready_bytes for each in watched),
        "limited_by": limited_by(shares),
        "client_cpu_share": shares["the client's core"],
        "server_cpu_share": shares["the server's core"],
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _catch_up(following: Child, watched: Watched) -> None:
    """Waits until the decoder has read all: the second look at the journal that begins from now on."""
    while following.event(0) is not None:
        pass
    for _ in range(2):
        following.event(CATCH_UP_S)
        watched.look()


def _recorded(folder: Path) -> Client:
    records = folder / "records"
    requests, reads, schedule, phases = (
        pd.read_parquet(records / f"{name}.parquet") for name in ("requests", "reads", "schedule", "phases")
    )
    (window,) = phases[phases["phase"] == "measure"][["start_ns", "end_ns"]].to_numpy().tolist()
    requests = requests.merge(schedule[["request_id", "phase"]], on="request_id")
    return Client(requests, reads, *window)
