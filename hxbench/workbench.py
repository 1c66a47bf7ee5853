"""The order of things: record, judge, render; and the object that a notebook holds in its hand."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hxbench import __version__, units
from hxbench.errors import EvidenceError, HxbenchError, InputError
from hxbench.judge import certificate as certificates
from hxbench.judge import gates, metrics
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.plan.workload import load_prompts
from hxbench.record import decoder, facts, lock, preflight, sampler
from hxbench.record.supervisor import (
    DECODER_END_S,
    Interrupted,
    Served,
    StopRequest,
    Trial,
    start_decoder,
    stop_signals,
)
from hxbench.records import run_directory
from hxbench.records.run_directory import Records, write_json
from hxbench.render import publish, run_view
from hxbench.render.progress import View, view
from hxbench.servers import embedded
from hxbench.servers.model import MODELS, model_file


def outputs() -> Path:
    """Returns the folder of runs: $HXBENCH_OUTPUTS, else outputs/ here."""
    return Path(os.environ.get("HXBENCH_OUTPUTS") or "outputs")


class Run:
    """A recorded run: its frames, its figures, its verdicts. Nothing here needs the server."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def records(self) -> Records:
        return run_directory.open_records(self.path)

    @property
    def requests(self) -> pd.DataFrame:
        """One row a request that was attempted; times in ns, see `per_request` for seconds."""
        every = self.records.requests
        return every[every["outcome"] != "cancelled"].reset_index(drop=True)

    @property
    def reads(self) -> pd.DataFrame:
        """One row a socket read that carried a token."""
        return self.records.reads

    @property
    def series(self) -> pd.DataFrame:
        """Samples of server, host and load generator, and the server's own metrics."""
        return self.records.series

    @cached_property
    def certificate(self) -> dict[str, Any]:
        return certificates.build(self.records)

    @property
    def verdicts(self) -> pd.DataFrame:
        return run_view.verdict_table(self.certificate)

    @property
    def ledger(self) -> pd.DataFrame:
        return run_view.ledger_table(self.certificate)

    @property
    def figures(self) -> run_view.Figures:
        return run_view.Figures(self.records)

    @property
    def frames(self) -> run_view.Frames:
        return run_view.Frames(self.records)

    def summary(self) -> dict[str, Any]:
        """Returns every metric's count, mean and quantiles as plain numbers in base units."""
        return metrics.summary(self.records)

    def result(self) -> run_view.Result:
        """Returns the last output of a notebook: what it came to, for whoever runs it headless."""
        return run_view.Result(self.certificate)

    def __repr__(self) -> str:
        return run_view.card_text(self.certificate)

    def _repr_html_(self) -> str:
        return run_view.card_html(self.certificate)


def open(path: str | Path) -> Run:  # noqa: A001 - the public name is hx.open
    """Opens a recorded run; one whose recording was killed is first put together from its journal.

    Raises:
        EvidenceError: the folder holds no run, or a damaged one.
    """
    run_dir = Path(path).resolve()
    if not (run_dir / "records").is_dir():
        raise EvidenceError(f"{path}: not a run: it has no folder records/")
    if not run_directory.is_recorded(run_dir):
        _recover(run_dir)
    return Run(run_dir)


def _recover(run_dir: Path) -> None:
    if not (run_dir / "records" / "schedule.parquet").exists():
        raise EvidenceError(f"{run_dir}: the run ended before its first request: there is nothing to judge")
    with lock.measuring(run_dir):  # a run that is still being recorded holds the lock
        profile = resolve(run_dir / "profile.yaml").profile
        secrets = tuple(os.environ.get(name, "") for name in preflight.secret_variables(profile))
        sampler.finish(run_dir)
        decoder.finish(run_dir, hash_text=profile.keep.text != "none", secrets=secrets)


def run(
    profile: str | Path | Resolved = "smollm2-135m",
    run_dir: str | Path | None = None,
    *,
    show: View | None = None,
    **overrides: Any,
) -> Run:
    """Measures by the profile, or opens `run_dir` when it holds finished records.

    `overrides` are dotted keys of the profile with `__` for the dot: `load__users=4`.

    Raises:
        InputError: the profile or the target is not as it should be; nothing was left behind.
        BusyError: another run measures on this machine.
        IncompleteError: a part of the instrument ended early; what was measured is kept.
    """
    if run_dir and run_directory.is_recorded(Path(run_dir)):
        return Run(Path(run_dir).resolve())
    given = {key.replace("__", "."): (value, "hx.run") for key, value in overrides.items()}
    resolved = profile if isinstance(profile, Resolved) else resolve(profile, overrides=given, environ=os.environ)
    return _Recording(resolved, Path(run_dir) if run_dir else None, show or view()).record()


class _Recording:
    """One run being recorded."""

    def __init__(self, resolved: Resolved, run_dir: Path | None, show: View) -> None:
        self._resolved, self._profile, self._show = resolved, resolved.profile, show
        self._wanted_dir = run_dir
        self._started = datetime.now(UTC)
        self._exchanges: list[dict[str, Any]] = []
        self._schedule: list[tuple[Any, ...]] = []
        self._schedule_hashes: list[str] = []
        self._measuring = False

    def record(self) -> Run:
        profile = self._profile
        if profile.target.server is None:
            raise InputError(f"{profile.name}: target.server: not set: give the server's address with --url")
        preflight.secret_names(profile)
        self._prompts = load_prompts(profile.workload.prompts)
        self._questions = load_prompts(profile.answers) if profile.answers else ()
        self._plans = [build(profile, self._prompts, trial) for trial in range(1, profile.load.trials + 1)]
        self._model = self._find_model()
        target = self._wanted_dir or outputs()
        with lock.measuring(target), stop_signals() as asked:
            self._dir = self._make_dir()
            try:
                ending = self._measure(asked)
            except InputError:
                self._remove()
                raise
            finally:
                self._show.close()
        run_directory.point_latest(self._dir)
        self._raise_if_broken(ending)
        return Run(self._dir)

    def _find_model(self) -> Path | None:
        if self._profile.target.server != "embedded":
            return None
        return model_file(self._profile.target.model, self._show.say)

    def _make_dir(self) -> Path:
        if self._wanted_dir is None:
            return run_directory.create(outputs(), self._resolved, self._started)
        return run_directory.prepare(self._wanted_dir, self._resolved)

    def _remove(self) -> None:
        """Takes back the folder of a run that never began; a folder the user made stays."""
        for name in ("records", "journal"):
            shutil.rmtree(self._dir / name, ignore_errors=True)
        for name in ("profile.yaml", "server.log", "log.txt"):
            (self._dir / name).unlink(missing_ok=True)
        if not any(self._dir.iterdir()):
            self._dir.rmdir()

    def _measure(self, asked: StopRequest) -> dict[str, Any]:
        self._show.say(f"profile {self._profile.name} {self._resolved.sha256}")
        self._show.say(f"run {self._dir}")
        ending: dict[str, Any] = {"state": "complete", "reason": None}
        with (self._dir / "log.txt").open("ab") as log:
            child = start_decoder(self._profile, self._dir, log)
            try:
                for trial, planned in enumerate(self._plans, start=1):
                    self._one_trial(trial, planned, child, asked, log)
            except Interrupted as stop:
                ending = {"state": "interrupted", "reason": f"stopped by signal {stop.args[0]}", "signal": stop.args[0]}
            except HxbenchError as error:
                if isinstance(error, InputError) and not self._measuring:
                    raise
                ending = {"state": "failed", "reason": str(error)}
            finally:
                child.stop(timeout=DECODER_END_S)
        self._store(ending)
        return ending

    def _one_trial(self, trial: int, planned: Any, child: Any, asked: StopRequest, log: Any) -> None:
        with self._serve() as served:
            client = preflight.Client(served.url, self._profile, trial)
            try:
                preflight.await_ready(client, self._profile)
                preflight.require_model(client, self._profile)
                asked.raise_if_asked()
                self._measuring = True
                self._exchanges += client.exchanges
                recording = Trial(self._profile, served, self._dir, trial, log)
                self._schedule = recording.record(planned, self._schedule, child, asked, self._show.update)
                digest = hashlib.sha256((self._dir / "records" / "schedule.parquet").read_bytes())
                self._schedule_hashes.append(digest.hexdigest())
                if trial == len(self._plans) and self._profile.checks:
                    client.exchanges.clear()
                    preflight.functional_checks(client, self._profile, self._questions)
                    self._exchanges += client.exchanges
            finally:
                client.close()

    @contextmanager
    def _serve(self) -> Iterator[Served]:
        target = self._profile.target
        if self._model is None:
            yield Served(str(target.server), ())
            return
        server = embedded.start(self._model, target.model, target.embedded, self._dir / "server.log")
        try:
            yield Served(server.url, (server.pid,))
        finally:
            server.stop()

    def _store(self, ending: Mapping[str, Any]) -> None:
        if not run_directory.is_recorded(self._dir) and self._schedule:
            decoder.finish(self._dir, hash_text=self._profile.keep.text != "none", secrets=())
        sampler.finish(self._dir)
        records = self._dir / "records"
        write_json(records / "exchanges.json", self._exchanges)
        write_json(self._dir / "facts.json", self._facts())
        write_json(records / "ending.json", ending)
        if self._profile.keep.text != "full":
            shutil.rmtree(self._dir / "journal")

    def _facts(self) -> dict[str, Any]:
        target = self._profile.target
        model: dict[str, Any] = {"name": target.model}
        if self._model is not None:
            model |= {"file": self._model.name, "sha256": MODELS[target.model].sha256}
        return {
            "hxbench": __version__,
            **facts.of_software(),
            "host": facts.of_host(),
            "server": {
                "kind": "embedded" if self._model else "url",
                "url": None if self._model else target.server,
                "build": preflight.build(self._exchanges),
            },
            "model": model,
            "started_utc": self._started.isoformat(timespec="seconds"),
            "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "schedule_sha256": self._schedule_hashes,
            "origins": dict(self._resolved.origins),
        }

    def _raise_if_broken(self, ending: Mapping[str, Any]) -> None:
        if ending["state"] == "failed":
            from hxbench.errors import IncompleteError

            raise IncompleteError(f"{self._dir}: {ending['reason']}; what was measured is kept")


def judge(path: str | Path) -> Run:
    """Judges a recorded run and writes its certificate.json."""
    judged = open(path)
    write_json(judged.path / "certificate.json", judged.certificate)
    return judged


def render(path: str | Path) -> Run:
    """Writes a judged run's notebooks, pages, junit.xml, summary.md and manifest.json."""
    rendered = judge(path)
    complete = publish.publish(rendered.path, rendered.certificate, rendered.records.facts)
    if not complete:
        rendered.certificate["status"] = "INCOMPLETE"
    return rendered


def certify(profile: str | Path | Resolved = "smollm2-135m", *, undecided_ok: bool = False, **more: Any) -> Run:
    """Records, judges and renders.

    Raises:
        InputError: a required gate could not pass even without a miss, unless `undecided_ok`.
    """
    resolved = profile if isinstance(profile, Resolved) else resolve(profile, environ=os.environ)
    require_answerable(resolved.profile, undecided_ok=undecided_ok)
    return render(run(resolved, **more).path)


def require_answerable(profile: Profile, *, undecided_ok: bool) -> None:
    """Raises InputError when the planned load cannot decide every objective."""
    hopeless = gates.unanswerable(profile)
    if hopeless and not undecided_ok:
        raise InputError("; ".join(hopeless) + "; plan more requests, or pass --undecided-ok")
    if not profile.objectives:
        raise InputError(
            f"{profile.name}: objectives: none: there is nothing to certify; measure with `hxbench run`, "
            "then `hxbench init --from-run DIR` proposes a profile"
        )
