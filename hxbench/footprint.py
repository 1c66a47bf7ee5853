"""A memory check: the embedded server asked step by step, its memory sampled beside (R3.5 to R3.7, R3.9)."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pandas as pd

from hxbench import __version__, units
from hxbench.errors import DirectoryError, EvidenceError, HxbenchError, IncompleteError, InputError
from hxbench.judge.memory import Footprint, footprint, verdicts
from hxbench.judge.verdicts import Verdict
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.memory import DEFAULT_CHECKS, Step, steps
from hxbench.plan.profile import EMBEDDED, Profile
from hxbench.plan.workload import load_prompts
from hxbench.record import facts, lock, preflight, sampler
from hxbench.record.children import Child
from hxbench.record.supervisor import READY_S, STOP_S, Interrupted, StopRequest, stop_signals
from hxbench.recording import outputs
from hxbench.records import run_directory, tables
from hxbench.records.run_directory import write_json
from hxbench.records.schemas import PHASES, SERIES, TARGET
from hxbench.render import manifest
from hxbench.render.files import read_json
from hxbench.render.memory_view import MemoryFigures, MemoryResult, footprint_table, memory_table
from hxbench.render.progress import View, view
from hxbench.render.tables import Table, aligned
from hxbench.servers import embedded
from hxbench.servers.model import MODELS, model_file

NOTE = run_directory.MEMORY_NOTE  # the steps of a check, and what R3.9 allows before the first request
REST_S = 2.0
ANSWER_S = 600.0  # nothing is timed here, and sixteen answers at once take their time


class Memory:
    """A recorded memory check. Nothing here needs the server; every number comes anew from the records."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def profile(self) -> Profile:
        return resolve(self.path / "profile.yaml").profile

    @cached_property
    def _note(self) -> Mapping[str, Any]:
        try:
            note = read_json(self.path / NOTE)
            return {"steps": [Step(**each) for each in note["steps"]], "loaded_bytes": note["loaded_bytes"]}
        except (TypeError, KeyError) as error:
            raise EvidenceError(f"{self.path / NOTE}: not readable: {error}") from None

    @cached_property
    def series(self) -> pd.DataFrame:
        """The samples, ten a second; `trial` is the step's number, from 1."""
        return tables.read(self.path / "records" / "series.parquet", SERIES)

    @cached_property
    def phases(self) -> pd.DataFrame:
        """When each step's rests and loads began and ended."""
        return tables.read(self.path / "records" / "phases.parquet", PHASES)

    @cached_property
    def footprints(self) -> list[Footprint]:
        """What each step shows, in order; of one that was never reached that it is missing."""
        exchanges = read_json(self.path / "records" / "exchanges.json")
        return [
            footprint(
                step,
                self.series[self.series["trial"] == trial],
                self.phases[self.phases["trial"] == trial],
                [each for each in exchanges if each["trial"] == trial],
                self.profile.target.protocol,
            )
            for trial, step in enumerate(self._note["steps"], start=1)
        ]

    @cached_property
    def found(self) -> list[Verdict]:
        return verdicts(self.footprints, self._note["loaded_bytes"], self.profile.objectives)

    @property
    def verdicts(self) -> Table:
        return memory_table(self.found)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a step: users, requests, samples, and bytes at rest, at the peak, grown."""
        names = ("samples", "idle", "peak", "pss_peak", "growth", "growth_warm", "problem")
        rows = [asdict(each.step) | {name: getattr(each, name) for name in names} for each in self.footprints]
        return pd.DataFrame(rows).rename(columns={name: f"{name}_bytes" for name in names[1:-1]})

    @property
    def table(self) -> Table:
        """`frame` as ready text."""
        return footprint_table(self.footprints)

    @property
    def faults(self) -> list[str]:
        """Which files are not those whose hashes were written when the check ended."""
        return manifest.faults(self.path)

    @cached_property
    def figures(self) -> MemoryFigures:
        return MemoryFigures(self.series, self.phases, self._note["steps"])

    @property
    def signal(self) -> int | None:
        """The signal that stopped the check; None when it went on to its end."""
        number = run_directory.ending(self.path).get("signal")
        return None if number is None else int(number)

    def result(self) -> MemoryResult:
        """Returns the last output of a notebook: what it came to, for whoever runs it headless."""
        return MemoryResult(self.path.name, self.profile, self.found)

    def __repr__(self) -> str:
        rows = self.verdicts.drop(columns=["Interval", "n"])
        return "\n".join([*aligned([list(rows.columns), *rows.to_numpy().tolist()]), f"memory {self.path}"])

    def _repr_html_(self) -> str:
        return self.verdicts._repr_html_()


def open_memory(path: str | Path) -> Memory:
    """Opens a recorded memory check, also one that was interrupted.

    Raises: DirectoryError when the folder holds none.
    """
    if not (Path(path) / NOTE).exists():
        raise DirectoryError(f"{path}: not a memory check: it has no file {NOTE}")
    return Memory(Path(path).resolve())


def memory(
    profile: str | Path | Resolved | None = "smollm2-135m",
    run_dir: str | Path | None = None,
    *,
    checks: str = DEFAULT_CHECKS,
    at_once: Iterable[object] | str = "1, 2, 4, 8, 16",
    tokens: int = 200,
    cycles: int = 8,
    loaded: str | None = None,
    show: View | None = None,
    **overrides: Any,
) -> Memory:
    """Measures the embedded server's memory step by step, or opens `run_dir` when it holds a check.

    `checks` are some of `at once` (that many requests of `tokens` tokens, R3.5), `growth` (20 answers, R3.6),
    `servers` (four against one, R3.7) and `leak` (ten answers and a rest, `cycles` times). `loaded`, such as
    "2 GB", is what a server may hold before its first request (R3.9);
    what it may ever hold is the profile's objective `memory`. An interrupt ends it after the answers that are
    on their way; what was measured is kept.

    Raises:
        InputError: the numbers, the profile or the folder are not as they should be; nothing was started.
        BusyError: a run measures on this machine.
        IncompleteError: a server or the sampler ended early; what was measured is kept.
    """
    if run_dir and (Path(run_dir) / NOTE).exists():
        return open_memory(run_dir)
    given = {key.replace("__", "."): (value, "hx.memory") for key, value in overrides.items()}
    resolved = (
        profile if isinstance(profile, Resolved) else resolve(profile, overrides=given, environ=os.environ)
    )
    planned = steps(checks, at_once, tokens, cycles)
    note = {"schema": 1, "steps": [asdict(step) for step in planned], "loaded_bytes": _size(loaded)}
    target = resolved.profile.target
    if target.server != EMBEDDED:
        raise InputError(
            f"memory: target.server: expected embedded, whose servers it starts and ends, got {target.server}"
        )
    shown = show or view()
    model = model_file(target.model, shown.say)
    folder = (
        Path(run_dir)
        if run_dir
        else outputs() / run_directory.fresh_name(resolved, "memory", datetime.now(UTC))
    )
    with lock.measuring(folder), stop_signals() as asked:
        folder = run_directory.prepare(folder, resolved)
        write_json(folder / NOTE, note)
        _Check(folder, resolved.profile, model, asked, shown).record(planned)
    return Memory(folder)


def _size(loaded: str | None) -> int | None:
    if not loaded:
        return None
    try:
        return int(units.parse(loaded, "size"))
    except ValueError as error:
        raise InputError(f"memory: loaded: {error}") from None


class _Check:
    """One memory check being recorded."""

    def __init__(self, folder: Path, profile: Profile, model: Path, asked: StopRequest, show: View) -> None:
        self._folder, self._profile, self._model = folder, profile, model
        self._asked, self._show = asked, show
        self._prompts = load_prompts(str(profile.workload.prompts or "short"))
        self._phases: list[tuple[Any, ...]] = []
        self._exchanges: list[dict[str, Any]] = []

    def record(self, planned: Sequence[Step]) -> None:
        """Records all steps; stores what there is, however that ends."""
        self._show.say(f"memory check {self._folder}")
        ending: dict[str, Any] = {"state": "failed", "reason": "a part of it ended early"}
        try:
            with (self._folder / "log.txt").open("ab") as log:
                for trial, step in enumerate(planned, start=1):
                    self._show.say(f"step {trial} of {len(planned)}: {said(step)}")
                    self._one_step(trial, step, log)
            ending = {"state": "complete", "reason": None}
        except Interrupted as stop:
            number = stop.args[0]
            ending = {"state": "interrupted", "reason": f"stopped by signal {number}", "signal": number}
        except (HxbenchError, OSError) as error:
            raise IncompleteError(f"{self._folder}: {error}; what was measured is kept") from error
        finally:
            self._store(ending)
            self._show.close()

    def _one_step(self, trial: int, step: Step, log: IO[bytes]) -> None:
        with ExitStack() as stack:
            servers = []
            for _ in range(step.servers):
                servers.append(
                    embedded.start(
                        self._model,
                        self._profile.target.model,
                        self._profile.target.embedded,
                        self._folder / "server.log",
                    )
                )
                stack.callback(servers[-1].stop)
            clients = [
                preflight.Client(server.url, self._profile, trial, self._asked.raise_if_asked)
                for server in servers
            ]
            for client in clients:
                stack.callback(client.close)
                preflight.await_ready(client, self._profile)
                client.exchanges = self._exchanges
            child = self._sampler(trial, [server.pid for server in servers], servers[0].url, log)
            stack.callback(child.stop, STOP_S)
            if (news := child.event(READY_S)) is None or news["event"] != "ready":
                raise IncompleteError(f"{self._folder}: the sampler did not start; see log.txt")
            self._rest(trial, step)
            for cycle in range(step.cycles):
                self._load(trial, step, clients, cycle)
                self._rest(trial, step)

    def _sampler(self, trial: int, pids: list[int], url: str, log: IO[bytes]) -> Child:
        options = {
            "trial": trial,
            "server_pids": pids,
            "client_pids": [os.getpid()],
            "metrics_url": f"{url}/metrics",
            "api_key_env": self._profile.target.api_key_env,
            "headers_env": dict(self._profile.target.headers_env),
            "ca_file": self._profile.target.ca_file,
        }
        return Child("hxbench.record.sampler", [str(self._folder), json.dumps(options)], log)

    def _rest(self, trial: int, step: Step) -> None:
        began, until = time.monotonic_ns(), time.monotonic() + REST_S
        while (left := until - time.monotonic()) > 0:
            self._asked.raise_if_asked()
            time.sleep(min(left, 0.1))
        self._note_phase(trial, step, "rest", began)

    def _load(self, trial: int, step: Step, clients: Sequence[preflight.Client], cycle: int) -> None:
        began = time.monotonic_ns()
        with ThreadPoolExecutor(step.users) as users:
            numbers = range(cycle * step.requests, (cycle + 1) * step.requests)
            list(users.map(lambda number: self._ask(step, clients[number % len(clients)], number), numbers))
        self._note_phase(trial, step, "load", began)

    def _ask(self, step: Step, client: preflight.Client, number: int) -> None:
        """Sends one request whose text differs from all others from its first word on."""
        prompt = self._prompts[number % len(self._prompts)]
        text = f"Request {number + 1}. {' '.join(str(each['content']) for each in prompt.messages)}"
        body = preflight.request_body(self._profile, text, step.tokens, stream=False)
        client.ask(step.name, "POST", preflight.dialect(self._profile).path, body, within=ANSWER_S)

    def _note_phase(self, trial: int, step: Step, name: str, began: int) -> None:
        self._phases.append((trial, TARGET, step.name, name, began, time.monotonic_ns()))

    def _store(self, ending: Mapping[str, Any]) -> None:
        records = self._folder / "records"
        sampler.finish(self._folder)
        tables.write(records / "phases.parquet", PHASES, self._phases)
        write_json(records / "exchanges.json", self._exchanges)
        write_json(records / "ending.json", ending)
        target = self._profile.target
        known = {
            "hxbench": __version__,
            **facts.of_software(),
            "host": facts.of_host(),
            "server": {"kind": target.server, "url": None, "build": facts.of_embedded()},
            "model": {"name": target.model, "file": self._model.name, "sha256": MODELS[target.model].sha256},
            "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(self._folder / "facts.json", known)
        shutil.rmtree(self._folder / "journal")
        manifest.write(self._folder)


def said(step: Step) -> str:
    """Returns a step in words: `at once: 16 answers of 200 tokens, 16 at a time`."""
    parts = [f"{units.count(step.requests)} answers of {units.count(step.tokens)} tokens"]
    parts.append(f"{units.count(step.users)} at a time")
    parts += [f"by {step.servers} servers"] if step.servers > 1 else []
    parts += [f"{units.count(step.cycles)} times"] if step.cycles > 1 else []
    return f"{step.name}: {', '.join(parts)}"
