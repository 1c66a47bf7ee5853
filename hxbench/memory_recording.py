"""A memory check being recorded: each step with servers of its own, the sampler beside."""

import json
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from hxbench import __version__, units
from hxbench.errors import HxbenchError, IncompleteError
from hxbench.plan.memory import Step
from hxbench.plan.profile import EMBEDDED, Profile
from hxbench.plan.workload import load_prompts
from hxbench.record import facts, preflight, sampler
from hxbench.record.children import Child
from hxbench.record.sampler import json_lines
from hxbench.record.supervisor import READY_S, STOP_S, Interrupted, StopRequest
from hxbench.records import tables
from hxbench.records.run_directory import write_json
from hxbench.records.schemas import PHASES, TARGET
from hxbench.render import manifest
from hxbench.render.progress import View
from hxbench.servers import embedded
from hxbench.servers.model import MODELS
from hxbench.servers.started import StartedServer

REST_S = 2.0
SAY_EVERY_S = 60.0
_NOTES = "check.jsonl"
ANSWER_S = 600.0  # nothing is timed here, and sixteen answers at once take their time


class MemoryRecording:
    """One memory check being recorded."""

    def __init__(self, folder: Path, profile: Profile, model: Path, asked: StopRequest, show: View) -> None:
        self._folder, self._profile, self._model = folder, profile, model
        self._asked, self._show = asked, show
        self._prompts = load_prompts(str(profile.workload.prompts or "short"))
        self._known = {
            "hxbench": __version__,
            "started_utc": _now(),
            **facts.of_software(),
            "host": facts.of_host(),
            "server": {"kind": EMBEDDED, "url": None, "build": facts.of_embedded()},
            "model": {
                "name": profile.target.model,
                "file": model.name,
                "sha256": MODELS[profile.target.model].sha256,
            },
        }

    def record(self, planned: Sequence[Step]) -> None:
        """Records all steps; stores what there is, however that ends.

        Raises: IncompleteError when a server or the sampler ended early, or the disk is full.
        """
        self._show.say(f"memory check {self._folder}")
        try:
            write_json(self._folder / "facts.json", self._known)
            with _Notes(self._folder) as self._notes:
                ending = self._measure(planned)
            self._store(ending)
        except OSError as error:
            raise IncompleteError(
                f"{self._folder}: {error.strerror or error}: the check could not be written to its end"
            ) from error
        finally:
            self._show.close()
        if ending["state"] == "failed":
            raise IncompleteError(f"{self._folder}: {ending['reason']}; what was measured is kept")

    def _measure(self, planned: Sequence[Step]) -> dict[str, Any]:
        """Returns how it ended."""
        try:
            with (self._folder / "log.txt").open("ab") as log:
                for trial, step in enumerate(planned, start=1):
                    self._show.say(f"step {trial} of {len(planned)}: {said(step)}")
                    self._one_step(trial, step, log)
        except Interrupted as stop:
            number = stop.args[0]
            return {"state": "interrupted", "reason": f"stopped by signal {number}", "signal": number}
        except HxbenchError as error:
            return {"state": "failed", "reason": str(error)}
        return {"state": "complete", "reason": None}

    def _one_step(self, trial: int, step: Step, log: IO[bytes]) -> None:
        with ExitStack() as stack:
            servers = [self._server(stack) for _ in range(step.servers)]
            clients = [self._client(stack, server.url, trial) for server in servers]
            child = self._sampler(trial, [server.pid for server in servers], servers[0].url, log)
            stack.callback(child.stop, STOP_S)
            if (news := child.event(READY_S)) is None or news["event"] != "ready":
                raise IncompleteError("the sampler did not start; see log.txt")
            self._rest(trial, step)
            progress = Progress(step)
            while not progress.is_done:
                loaded_s = self._load(trial, step, clients, progress.cycles)
                self._rest(trial, step)
                if news_line := progress.after(loaded_s):
                    self._show.say(news_line)

    def _server(self, stack: ExitStack) -> StartedServer:
        target, log = self._profile.target, self._folder / "server.log"
        endless = target.extra_body.get("ignore_eos") is True
        server = embedded.start(self._model, target.model, target.embedded, log, ignore_eos=endless)
        stack.callback(server.stop)
        return server

    def _client(self, stack: ExitStack, url: str, trial: int) -> preflight.Client:
        """Returns a client of a server that is ready."""
        client = preflight.Client(url, self._profile, trial, self._asked.raise_if_asked)
        stack.callback(client.close)
        preflight.await_ready(client, self._profile)
        return client

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

    def _load(self, trial: int, step: Step, clients: Sequence[preflight.Client], cycle: int) -> float:
        """Returns how long it took, in seconds."""
        began = time.monotonic_ns()
        with ThreadPoolExecutor(step.users) as users:
            numbers = range(cycle * step.requests, (cycle + 1) * step.requests)
            list(users.map(lambda number: self._ask(step, clients[number % len(clients)], number), numbers))
        return self._note_phase(trial, step, "load", began)

    def _ask(self, step: Step, client: preflight.Client, number: int) -> None:
        """Sends one request whose text differs from all others from its first word on."""
        prompt = self._prompts[number % len(self._prompts)]
        text = f"Request {number + 1}. {' '.join(str(each['content']) for each in prompt.messages)}"
        body = preflight.request_body(self._profile, text, step.tokens, stream=False)
        path = preflight.dialect(self._profile).path
        self._notes.add("exchange", client.ask(step.name, "POST", path, body, within=ANSWER_S))

    def _note_phase(self, trial: int, step: Step, name: str, began: int) -> float:
        """Returns how long it lasted, in seconds."""
        ended = time.monotonic_ns()
        self._notes.add("phase", [trial, TARGET, step.name, name, began, ended])
        return (ended - began) / 1e9

    def _store(self, ending: Mapping[str, Any]) -> None:
        write_json(self._folder / "records" / "ending.json", ending)
        write_json(self._folder / "facts.json", self._known | {"finished_utc": _now()})
        finish(self._folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def finish(folder: Path) -> None:
    """Makes the records of a check from its journal, which goes: at its end, or of one that was killed."""
    records, journal = folder / "records", folder / "journal"
    noted = list(json_lines(journal / _NOTES)) if (journal / _NOTES).exists() else []
    sampler.finish(folder)
    tables.write(records / "phases.parquet", PHASES, [each for what, each in noted if what == "phase"])
    write_json(records / "exchanges.json", [each for what, each in noted if what == "exchange"])
    shutil.rmtree(journal)
    manifest.write(folder)


class _Notes:
    """What a check notes while it goes on, a line each: a kill takes the last of them at most."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "journal" / _NOTES).open("x")
        self._lock = threading.Lock()

    def add(self, what: str, each: Any) -> None:
        with self._lock:
            self._file.write(f"{json.dumps([what, each])}\n")
            self._file.flush()

    def __enter__(self) -> "_Notes":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Progress:
    """How far a step has come, cycle by cycle."""

    def __init__(self, step: Step) -> None:
        self.cycles = 0
        self._step, self._loaded_s, self._began, self._said = step, 0.0, time.monotonic(), -SAY_EVERY_S

    @property
    def is_done(self) -> bool:
        return self.cycles >= self._step.cycles and self._loaded_s >= self._step.under_load_s

    def after(self, loaded_s: float) -> str | None:
        """Takes one more cycle; returns what to say of a step that goes by time, once a minute."""
        self.cycles, self._loaded_s = self.cycles + 1, self._loaded_s + loaded_s
        spent, asked = time.monotonic() - self._began, self._step.under_load_s
        if not asked or self.is_done or spent - self._said < SAY_EVERY_S:
            return None
        self._said = spent
        more = max(asked / self._loaded_s, self._step.cycles / self.cycles) - 1
        done = f"{units.duration(self._loaded_s)} of {units.duration(asked)} under load"
        return f"{self._step.name}: cycles: {self.cycles}; {done}, about {units.duration(more * spent)} to go"


def said(step: Step) -> str:
    """Returns a step in words: `at once: 16 answers of 200 tokens, 16 at a time`."""
    parts = [f"{units.count(step.requests)} answers of {units.count(step.tokens)} tokens"]
    parts.append(f"{units.count(step.users)} at a time")
    parts += [f"by {step.servers} servers"] if step.servers > 1 else []
    least = "at least " if step.under_load_s else ""
    parts += [f"{least}{units.count(step.cycles)} times"] if step.cycles > 1 else []
    if step.under_load_s:
        parts.append(f"until {units.duration(step.under_load_s)} under load have passed, rests apart")
    return f"{step.name}: {', '.join(parts)}"
