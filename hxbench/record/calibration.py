"""The instrument against the truth: the real load worker and decoder on a server that logs what left when."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import psutil

from hxbench import units
from hxbench.errors import HxbenchError, IncompleteError
from hxbench.judge import calibration as judged
from hxbench.plan import schedule as schedules
from hxbench.plan.asking import prompts_of
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Profile
from hxbench.record.children import Child
from hxbench.record.decoding import Decoder, Planned
from hxbench.record.priority import NORMAL
from hxbench.record.supervisor import StopRequest, worker_plan
from hxbench.records import departures
from hxbench.records.journal import Reader
from hxbench.records.schemas import READS, REQUESTS, TARGET
from hxbench.wire.dialects import answers

READY_S = 30.0
END_S = 60.0
MARGIN_NS = 200_000_000
STREAM = {"ttft": 0.05, "itl": 0.01}  # as in the comparison of load generators that the targets come from
AT_ONCE = {"ttft": 0.0, "itl": 0.0}


class Reference(Protocol):
    """A running reference server."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...


# Starts a reference server with that pace, which writes its log there; it ends with the context.
Serve = Callable[[Mapping[str, Any], Path], AbstractContextManager[Reference]]


@dataclass(frozen=True)
class Experiment:
    """A load with a known truth."""

    name: str
    measures: str  # streams, arrivals, tokens or requests
    load: Mapping[str, Any]  # keys of the profile's section
    pace: Mapping[str, float] = field(default_factory=lambda: STREAM)
    tokens: int = 64
    most_requests: int = 5_000
    priority: str = NORMAL  # of the load worker
    stream: bool = True


def _streams(users: int) -> Experiment:
    return Experiment(f"{users} streams", "streams", {"users": users, "warmup": "1 s", "measure": "3 s"})


def _arrivals(kind: str) -> Experiment:
    load = {"rate": 500, "arrivals": kind, "warmup": "0.5 s", "measure": "2 s"}
    return Experiment(
        f"{kind} arrivals at 500 req/s", "arrivals", load, {"ttft": 0.001, "itl": 0.0}, tokens=1
    )


_CAPACITY = {"users": 64, "warmup": "0.5 s", "measure": "1.5 s"}
_PIECES = {"users": 16, "warmup": "0.5 s", "measure": "2 s"}
FULL = (
    *(_streams(users) for users in (16, 64, 256)),
    Experiment("16 users, answers in one piece", "streams", _PIECES, tokens=8, stream=False),
    *(_arrivals(kind) for kind in ("constant", "poisson")),
    Experiment("streamed tokens, as fast as they go", "tokens", _CAPACITY, AT_ONCE, 256, 20_000),
    Experiment("tiny answers, as fast as they go", "requests", _CAPACITY, AT_ONCE, 1, 30_000),
)
# Eighteen streams at once on average, each of which shows an error of ttft, of seven itl and of its arrival.
_ARRIVING = {"rate": 150, "arrivals": "poisson", "warmup": "0.2 s", "measure": "0.7 s"}
# The number of tries is fixed: all are made and kept whatever they show, and the median one is judged.
SHORT = (Experiment("150 short streams a second", "streams", _ARRIVING, tokens=8),) * 3
# One stream so slow that it costs the measured load nothing; its worker ends when it is told to.
_FOREVER = {"users": 1, "warmup": "0 s", "measure": "24 h"}
SLOW = Experiment("one slow stream", "streams", _FOREVER, {"ttft": 0.1, "itl": 0.05}, 16)


def calibrate(
    experiments: Sequence[Experiment],
    serve: Serve,
    folder: Path,
    asked: StopRequest,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Returns what each experiment shows of the instrument; `folder` takes journals and logs.

    Raises:
        Interrupted: a stop was asked for.
        IncompleteError: the load worker ended early.
    """
    rows = []
    for number, experiment in enumerate(experiments):
        say(f"calibrating: {experiment.name}")
        rows.append(_one(experiment, serve, folder / str(number), asked))
    return {"experiments": rows}


def load_s(experiments: Sequence[Experiment]) -> float:
    """Returns how long the loads of experiments take together, what lies between them not counted."""
    parts = (each.load[part] for each in experiments for part in ("warmup", "measure"))
    return sum((units.parse(part, "duration") for part in parts), 0.0)


def before(serve: Serve, folder: Path, asked: StopRequest, priority: str = NORMAL) -> dict[str, Any]:
    """Returns the `tries` of the short calibration, and the `error` that kept one from its end.

    Nobody can stop at a try that pleases: their number is fixed, and the judge takes the median one, so
    that one hiccup of the machine neither spoils a run nor goes unseen.
    """
    tries: list[dict[str, Any]] = []
    try:
        for number, experiment in enumerate(SHORT, start=1):
            tried = replace(experiment, priority=priority)
            tries.append(_one(tried, serve, folder / f"before-{number}", asked))
    except HxbenchError as error:
        return {"tries": tries, "error": str(error)}
    return {"tries": tries}


@contextmanager
def beside(serve: Serve, folder: Path, found: list[dict[str, Any]], priority: str = NORMAL) -> Iterator[None]:
    """Keeps a slow stream to a reference server going, in a worker of its own; adds to `found` at the end.

    Whatever becomes of it, the measured load goes on.
    """
    (folder / "journal").mkdir(parents=True)
    log, schedule = folder / "departures.bin", None
    slow = replace(SLOW, priority=priority)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve(SLOW.pace, log))
            schedule = stack.enter_context(_slowly(slow, server, folder))
        except HxbenchError as error:
            found.append({"error": str(error)})
        yield
    if schedule is None:
        return
    try:
        found.append({"name": SLOW.name, **judged.errors(decode(folder, schedule), logged(log))})
    except HxbenchError as error:
        found.append({"error": str(error)})


@contextmanager
def _slowly(slow: Experiment, server: Reference, folder: Path) -> Iterator[Mapping[int, Planned]]:
    """Runs the slow stream's worker while the context lasts."""
    plan, planned = _planned(slow, server, folder)
    worker = _started(plan, folder)
    try:
        start_ns = time.monotonic_ns()
        worker.tell(f"start {start_ns}")
        yield {i: _row(each, start_ns) for i, each in enumerate(planned)}
    finally:
        worker.stop()


def _one(experiment: Experiment, serve: Serve, folder: Path, asked: StopRequest) -> dict[str, Any]:
    (folder / "journal").mkdir(parents=True)
    log = folder / "departures.bin"
    with serve(experiment.pace, log) as server:
        plan, planned = _planned(experiment, server, folder)
        start_ns, used = _drive(plan, server, folder, asked)
    schedule = {i: _row(each, start_ns) for i, each in enumerate(planned)}
    client = decode(folder, schedule, stream=experiment.stream)
    return {
        "name": experiment.name,
        "measures": experiment.measures,
        **judged.errors(client, logged(log)),
        **judged.rates(client),
        **used,
        "limited_by": _limited_by(used) if experiment.measures in ("tokens", "requests") else None,
    }


def _limited_by(used: Mapping[str, float]) -> str:
    return judged.limited_by(
        {"the load worker": used["worker_cpu_share"], "the reference server": used["server_cpu_share"]}
    )


def _planned(
    experiment: Experiment, server: Reference, folder: Path
) -> tuple[dict[str, Any], Sequence[schedules.Planned]]:
    profile = profile_of(experiment, server.url)
    planned = schedules.build(profile, prompts_of(profile), trial=1)
    return worker_plan(profile, server.url, folder, 1, planned, 0), planned


def profile_of(experiment: Experiment, url: str) -> Profile:
    """Returns the profile that puts this load on the server there."""
    given: dict[str, Any] = {
        "name": "calibration",
        "target.server": url,
        "target.model": "reference",
        "instrument.priority": experiment.priority,
        "workload.output_tokens": experiment.tokens,
        "workload.stream": experiment.stream,
        "limits.requests": experiment.most_requests,
        "limits.tokens": experiment.most_requests * experiment.tokens,
        **{f"load.{key}": value for key, value in experiment.load.items()},
    }
    return resolve(None, overrides={key: (value, "calibration") for key, value in given.items()}).profile


def _row(row: schedules.Planned, start_ns: int) -> Planned:
    due = None if row.due_offset_ns is None else start_ns + row.due_offset_ns
    return Planned(row.request_id, 1, TARGET, row.phase, due)


def _drive(
    plan: Mapping[str, Any], server: Reference, folder: Path, asked: StopRequest
) -> tuple[int, dict[str, float]]:
    """Lets a load worker work through a plan; returns its start and the share of a core each side used."""
    worker = _started(plan, folder)
    try:
        start_ns = time.monotonic_ns() + MARGIN_NS
        worker.tell(f"start {start_ns}")
        time.sleep(MARGIN_NS / 1e9)
        shares = _watch(worker, server, asked)
    finally:
        worker.stop()
    return start_ns, shares


def _started(plan: Mapping[str, Any], folder: Path) -> Child:
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    with (folder / "log.txt").open("wb") as errors:
        worker = Child("hxbench.record.worker", [str(path)], errors)
    try:
        _require(worker.event(READY_S), "ready")
    except IncompleteError:
        worker.stop()
        raise
    return worker


def _require(said: Mapping[str, Any] | None, event: str) -> None:
    if said is None or said["event"] != event:
        raise IncompleteError(str((said or {}).get("reason", "the load worker did not come to its end")))


def _watch(worker: Child, server: Reference, asked: StopRequest) -> dict[str, float]:
    names = {"worker_cpu_share": worker.pid, "server_cpu_share": server.pid}
    processes = {name: psutil.Process(pid) for name, pid in names.items()}
    began, last = time.monotonic(), {name: _cpu_s(each) for name, each in processes.items()}
    first, seen, deadline = dict(last), began, began + END_S
    while (said := worker.event(0.1)) is None or said["event"] == "priority":
        asked.raise_if_asked()
        if time.monotonic() > deadline:
            break
        seen, last = time.monotonic(), {name: _cpu_s(each) for name, each in processes.items()}
    _require(said, "finished")
    return {name: (last[name] - first[name]) / max(seen - began, 0.1) for name in names}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def decode(folder: Path, schedule: Mapping[int, Planned], *, stream: bool = True) -> judged.Client:
    """Returns what the instrument says, from the worker's journal, by the decoder of a run."""
    requests: list[Any] = []
    reads: list[Any] = []

    def emit(request: Any, its_reads: list[Any]) -> None:
        requests.append(request)
        reads.extend(its_reads)

    answer = answers("openai-chat", stream=stream)
    decoder = Decoder(0, lambda: schedule, emit, answer=answer, hash_text=False, redact=str)
    for entry in Reader(folder / "journal" / "t1-w0.journal").entries():
        decoder.feed(entry)
    decoder.finish()
    begin, end = decoder.phases.get("measure", (None, None))
    if begin is None or end is None:
        raise IncompleteError(f"{folder}: the load worker ended before its measured phase did")
    frame = pd.DataFrame(requests, columns=REQUESTS.names)
    phases = {each.request_id: each.phase for each in schedule.values()}
    frame["phase"] = frame["request_id"].map(phases)
    return judged.Client(frame, pd.DataFrame(reads, columns=READS.names), begin, end)


def logged(log: Path) -> judged.Truth:
    """Returns what the reference server's own log says."""
    entries = list(departures.read(log))
    return judged.Truth(
        pd.DataFrame(
            [each for each in entries if isinstance(each, departures.Arrival)],
            columns=departures.Arrival._fields,
        ),
        pd.DataFrame(
            [each for each in entries if isinstance(each, departures.Departure)],
            columns=departures.Departure._fields,
        ),
    )
