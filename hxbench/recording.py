"""One run being recorded: the server started, the trials measured, everything stored."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from hxbench import __version__, units
from hxbench.errors import HxbenchError, IncompleteError, InputError, StoppedError
from hxbench.plan.asking import prompts_of
from hxbench.plan.layers import Resolved
from hxbench.plan.outline import outline
from hxbench.plan.profile import EMBEDDED, REFERENCE, Profile
from hxbench.plan.schedule import Planned, build
from hxbench.plan.workload import load_prompts
from hxbench.record import (
    decoder,
    facts,
    journals,
    lock,
    preflight,
    priority,
    sampler,
    texts,
    tokenizer,
)
from hxbench.record.children import Child
from hxbench.record.supervisor import (
    DECODER_END_S,
    Interrupted,
    Served,
    StopRequest,
    Trial,
    await_caught_up,
    start_decoder,
    stop_signals,
)
from hxbench.records import run_directory
from hxbench.records.run_directory import write_json
from hxbench.render.progress import View
from hxbench.servers import embedded, reference
from hxbench.servers.model import MODELS, model_file
from hxbench.servers.pacing import Pace
from hxbench.wire.dialects import answers

DECODED = ("requests", "reads", "clock", "phases", "series")  # what the journals are made into
PROBE = "journal-probe"  # of the calibration: apart from the measured load
FREE_TOKENS = 10_000  # more than this from a server elsewhere asks for --yes


def outputs() -> Path:
    """Returns the folder of runs: $HXBENCH_OUTPUTS, else outputs/ here."""
    return Path(os.environ.get("HXBENCH_OUTPUTS") or "outputs")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def require_consent(profile: Profile, plans: Sequence[Sequence[Planned]], *, yes: bool) -> None:
    """Raises InputError when a server elsewhere, whose tokens somebody pays for, may be asked for many."""
    host = urlsplit(str(profile.target.server)).hostname or "localhost"
    tokens = sum(row.max_tokens for planned in plans for row in planned)
    if tokens > FREE_TOKENS and not yes and not _is_loopback(host):
        raise InputError(
            f"{host} is not this machine and may be asked for {units.count(tokens)} output tokens: "
            "pass --yes, or lower limits.tokens"
        )


class Recording:
    """One run being recorded."""

    def __init__(
        self,
        resolved: Resolved,
        run_dir: Path | None,
        show: View,
        *,
        yes: bool = False,
        calibrated: bool = False,
    ) -> None:
        self._resolved, self._profile, self._show = resolved, resolved.profile, show
        self._wanted_dir, self._yes, self._calibrated = run_dir, yes, calibrated
        self._before: dict[str, Any] = {}
        self._beside: list[dict[str, Any]] = []
        self._started = datetime.now(UTC)
        self._host_facts = {**facts.of_software(), "host": facts.of_host()}
        self._exchanges: list[dict[str, Any]] = []
        self._watched: list[dict[str, Any]] = []
        self._schedule: list[tuple[Any, ...]] = []
        self._schedule_hashes: list[str] = []
        self._measuring = False
        self._trials: list[Trial] = []
        self._written: dict[str, Any] = {}

    def check(self) -> None:
        """Looks at all that can be known before anything starts; fetches the model where one is needed.

        Raises: InputError at the first that cannot work.
        """
        profile = self._profile
        if profile.target.server is None:
            raise InputError(f"{profile.name}: target.server: not set: give the server's address with --url")
        preflight.secret_names(profile)
        priority.require(profile.instrument.priority)
        prompts = prompts_of(profile)
        self._questions = load_prompts(profile.answers) if profile.answers else ()
        preflight.require_sendable(profile, (*prompts, *self._questions))
        self._plans = [build(profile, prompts, trial) for trial in range(1, profile.load.trials + 1)]
        self._texts = texts.planned(profile, prompts, self._plans)
        require_consent(profile, self._plans, yes=self._yes)
        self._model = self._find_model()

    def record(self) -> Path:
        self.check()
        target = self._wanted_dir or outputs()
        with lock.measuring(target), stop_signals() as asked:
            self._dir = self._make_dir()
            try:
                ending = self._measure(asked)
                self._say_if_stopped(ending)
            except (InputError, StoppedError):
                self._remove()
                raise
            except OSError as error:
                raise IncompleteError(
                    f"{self._dir}: {error.strerror or error}: the run could not be written to its end"
                ) from error
            finally:
                self._show.close()
        if self._wanted_dir is None:  # beside a folder of the user's own `latest` has no business
            run_directory.point_latest(self._dir)
        self._raise_if_broken(ending)
        return self._dir

    def _find_model(self) -> Path | None:
        if self._profile.target.server != EMBEDDED:
            return None
        return model_file(self._profile.target.model, self._show.say)

    def _make_dir(self) -> Path:
        if self._wanted_dir is None:
            return run_directory.create(outputs(), self._resolved, self._started)
        return run_directory.prepare(self._wanted_dir, self._resolved)

    def _remove(self) -> None:
        """Takes back the folder of a run that never began; a folder the user made stays."""
        for name in ("records", "journal", PROBE):
            shutil.rmtree(self._dir / name, ignore_errors=True)
        for name in ("profile.yaml", "facts.json", "server.log", "log.txt"):
            (self._dir / name).unlink(missing_ok=True)
        if not any(self._dir.iterdir()):
            self._dir.rmdir()

    def _measure(self, asked: StopRequest) -> dict[str, Any]:
        self._show.say(f"profile {self._profile.name} {self._resolved.sha256}")
        self._show.say(f"run {self._dir}")
        self._show.begin(outline(self._profile, self._plans))
        with (self._dir / "log.txt").open("ab") as log:
            try:
                ending: dict[str, Any] = {"state": "complete", "reason": self._until_decided(asked, log)}
            except Interrupted as stop:
                ending = {
                    "state": "interrupted",
                    "reason": f"stopped by signal {stop.args[0]}",
                    "signal": stop.args[0],
                }
            except HxbenchError as error:
                if isinstance(error, InputError) and not self._measuring:
                    raise
                ending = {"state": "failed", "reason": str(error)}
        self._store(ending)
        return ending

    def _until_decided(self, asked: StopRequest, log: IO[bytes]) -> str | None:
        """Records trials up to the look that decides every limit; returns why that is not after the last."""
        begin, planned = 0, self._profile.looks_after
        for look, end in enumerate(planned, start=1):
            with self._decoding(log) as child:
                if begin:
                    await_caught_up(child, asked)
                for trial in range(begin + 1, end + 1):
                    self._one_trial(trial, self._plans[trial - 1], child, asked, log)
            if look < len(planned) and self._is_decided(f"look {look} of {len(planned)}"):
                return f"decided at look {look} of {len(planned)}"
            begin = end
        return None

    @contextmanager
    def _decoding(self, log: IO[bytes]) -> Iterator[Child]:
        child = start_decoder(self._profile, self._dir, log)
        try:
            yield child
        finally:
            child.stop(timeout=DECODER_END_S)
            self._show_end(child)

    def _is_decided(self, look: str) -> bool:
        """Judges what is recorded so far; when it decides not every limit, it is made a run in progress."""
        from hxbench.judge import looks  # brings in pandas and scipy: not on the way to the first request

        self._write_records()
        decided = looks.is_decided(self._dir)
        self._show.say(f"{look}: {'every limit is decided' if decided else 'not every limit is decided yet'}")
        if not decided:
            for name in DECODED:  # as long as they are there a run counts as recorded, its journal as read
                (self._dir / "records" / f"{name}.parquet").unlink()
        return decided

    def _show_end(self, child: Child) -> None:
        """Shows the decoder's last word, which has counted everything."""
        while (news := child.event(0)) is not None:
            if news["event"] == "finished" and self._schedule_hashes:
                self._show.update(news)

    def _one_trial(
        self, trial: int, planned: Sequence[Planned], child: Child, asked: StopRequest, log: IO[bytes]
    ) -> None:
        with self._serve() as served:
            client = preflight.Client(served.url, self._profile, trial, asked.raise_if_asked)
            try:
                preflight.await_ready(client, self._profile)
                preflight.require_model(client, self._profile)
                asked.raise_if_asked()
                load = self._write_texts(client) if self._texts else self._profile
                self._measuring = True
                recording = Trial(load, served, self._dir, trial, log)
                self._trials.append(recording)
                with self._watching(trial, asked), self._calibrating(trial, asked):
                    self._schedule = recording.record(
                        planned, self._schedule, child, asked, self._show.update, self._note_schedule
                    )
                if trial in self._profile.looks_after and self._profile.checks:
                    preflight.functional_checks(client, self._profile, self._questions)
            finally:
                self._exchanges += client.exchanges
                client.close()

    def _write_texts(self, client: preflight.Client) -> Profile:
        """Writes what requests say, once a tokenizer can be asked; returns what the worker follows."""
        if not self._written:
            self._show.say(f"writing {units.count(len(self._texts))} prompts")
            count = tokenizer.counter(client, self._profile.target.model)
            self._written = texts.write(self._dir, self._profile, self._texts, count)
        return texts.read_from(self._dir, self._profile)

    def _note_schedule(self) -> None:
        """Writes down, before the first request, what is known by then: a killed run keeps it."""
        digest = hashlib.sha256((self._dir / "records" / "schedule.parquet").read_bytes())
        self._schedule_hashes.append(digest.hexdigest())
        write_json(self._dir / "facts.json", self._facts(finished=None))

    @contextmanager
    def _calibrating(self, trial: int, asked: StopRequest) -> Iterator[None]:
        """Holds the instrument against the reference server: before the first trial, and beside each."""
        if not self._calibrated:
            yield
            return
        from hxbench.record import calibration  # brings in pandas: not on the way of each run to its load

        folder, wanted = self._dir / PROBE, self._profile.instrument.priority
        if trial == 1:
            length = units.duration(calibration.load_s(calibration.SHORT))
            self._show.say(f"calibrating the instrument: {length} of load, before that of the plan")
            self._before = calibration.before(reference.serving, folder, asked, wanted)
        with calibration.beside(reference.serving, folder / f"t{trial}", self._beside, wanted):
            yield

    @contextmanager
    def _watching(self, trial: int, asked: StopRequest) -> Iterator[None]:
        """Asks Prometheus about a trial, where the profile does: before its load and after it."""
        section = self._profile.watched
        if section is None:
            yield
            return
        from hxbench.record import watching  # brings in requests: not on the way of each run to its load

        token = os.environ[section.token_env] if section.token_env else None
        with closing(watching.Watch(section, token, trial, self._dir, asked.raise_if_asked)) as watch:
            self._show.say(f"waiting for {section.url}")
            watch.begin()
            if watch.failed is not None:
                self._show.say(f"{watch.failed}; the run goes on without it")
            for each in watch.without_data() if trial == 1 else ():
                self._show.say(each)
            yield
            self._watched += watch.end()

    @contextmanager
    def _serve(self) -> Iterator[Served]:
        target = self._profile.target
        if target.server == REFERENCE:
            mock = reference.start(Pace(), model=target.model)
            try:
                yield Served(mock.url, (mock.pid,))
            finally:
                mock.stop()
            return
        if self._model is None:
            yield Served(str(target.server), ())
            return
        server = embedded.start(self._model, target.model, target.embedded, self._dir / "server.log")
        try:
            yield Served(server.url, (server.pid,))
        finally:
            server.stop()

    def _store(self, ending: Mapping[str, Any]) -> None:
        self._write_records()
        shutil.rmtree(self._dir / PROBE, ignore_errors=True)
        write_json(self._dir / "records" / "ending.json", ending)
        journals.settle(self._dir, self._profile.keep.text, preflight.secrets(self._profile))

    def _write_records(self) -> None:
        records = self._dir / "records"
        sampler.finish(self._dir)
        if not run_directory.is_recorded(self._dir) and (records / "schedule.parquet").exists():
            secrets = preflight.secrets(self._profile)
            target, stream = self._profile.target, self._profile.workload.stream
            hash_text = self._profile.keep.text != "none"
            answer = answers(target.protocol, stream=stream)
            decoder.finish(self._dir, answer, hash_text=hash_text, secrets=secrets)
        if self._before:
            write_json(records / "calibration.json", {"before": self._before, "beside": self._beside})
        write_json(records / "exchanges.json", self._exchanges)
        if self._watched:
            write_json(records / "prometheus.json", self._watched)
        write_json(self._dir / "facts.json", self._facts(finished=datetime.now(UTC)))

    def _facts(self, finished: datetime | None) -> dict[str, Any]:
        target = self._profile.target
        model: dict[str, Any] = {"name": target.model}
        if self._model is not None:
            model |= {"file": self._model.name, "sha256": MODELS[target.model].sha256}
        return {
            "hxbench": __version__,
            **self._host_facts,
            "server": {
                "kind": target.server if target.server in (EMBEDDED, REFERENCE) else "url",
                "url": None if self._model else target.server,
                "build": facts.of_embedded() if self._model else preflight.build(self._exchanges),
            },
            "model": model,
            "instrument": self._instrument(),
            "started_utc": self._started.isoformat(timespec="seconds"),
            "finished_utc": finished and finished.isoformat(timespec="seconds"),
            "schedule_sha256": self._schedule_hashes,
            "earlier_runs": run_directory.earlier_runs(self._dir, self._resolved.sha256),
            "prompts": self._written or None,
        }

    def _instrument(self) -> dict[str, Any]:
        asked = self._profile.instrument
        lost = any(trial.priority != asked.priority for trial in self._trials)
        obtained = priority.NORMAL if lost else asked.priority
        return {"workers": asked.workers, "priority": asked.priority, "priority_obtained": obtained}

    def _say_if_stopped(self, ending: Mapping[str, Any]) -> None:
        if ending["state"] != "interrupted":
            return
        if not self._schedule_hashes:
            raise StoppedError("stopped before the first request: nothing was measured", ending["signal"])
        self._show.say(f"stopped: what was measured is kept: hx.open({str(self._dir)!r})")

    def _raise_if_broken(self, ending: Mapping[str, Any]) -> None:
        if ending["state"] == "failed":
            raise IncompleteError(f"{self._dir}: {ending['reason']}; what was measured is kept")
