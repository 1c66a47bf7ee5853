"""The order of things: record, judge, render; and the object that a notebook holds in its hand."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hxbench.errors import DirectoryError, EvidenceError, IncompleteError, InputError, UnsoundError
from hxbench.judge import certificate as certificates
from hxbench.judge import forecast, gates, metrics
from hxbench.judge.verify import Verification
from hxbench.plan.asking import prompts_of
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.record import calibration, decoder, journals, lock, preflight, sampler, supervisor
from hxbench.record import priority as priorities
from hxbench.recording import Recording, outputs
from hxbench.records import run_directory
from hxbench.records import tables as records_tables
from hxbench.records.kinds import kind_of
from hxbench.records.run_directory import Records, write_json
from hxbench.records.schemas import READS
from hxbench.render import cards, gen_ai, manifest, run_view, statement, tables
from hxbench.render.frames import Frames
from hxbench.render.observed import Observed
from hxbench.render.progress import View, view
from hxbench.servers import reference
from hxbench.wire.dialects import answers


class Run(Observed):
    """A recorded run: its frames, its figures, its verdicts. Nothing here needs the server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """The folder of the run."""

    @cached_property
    def records(self) -> Records:
        """All that was written down while it ran, as plain values."""
        return run_directory.open_records(self.path)

    @property
    def requests(self) -> pd.DataFrame:
        """One row a request that was attempted; times in ns, see `per_request` for seconds."""
        every = self.records.requests
        return every[every["outcome"] != "cancelled"].reset_index(drop=True)

    @cached_property
    def reads(self) -> pd.DataFrame:
        """One row a socket read that carried a token."""
        return records_tables.read(self.path / "records" / "reads.parquet", READS)

    @property
    def series(self) -> pd.DataFrame:
        """Samples of server, host and load generator, and the server's own metrics."""
        return self.records.series

    @cached_property
    def certificate(self) -> cards.Certificate:
        """What certificate.json holds: status, verdicts, ledger, summary, and what they rest on."""
        return cards.Certificate(self.frames.certificate)

    @property
    def verdicts(self) -> pd.DataFrame:
        """What was decided on each limit, as ready text, what did not pass first."""
        return tables.verdict_table(self.certificate)

    @property
    def ledger(self) -> pd.DataFrame:
        """What may have falsified a number, each with its measured size and its limit, as ready text."""
        return tables.ledger_table(self.certificate)

    @property
    def calibration(self) -> pd.DataFrame | None:
        """The instrument's own errors; None of a run that was not calibrated."""
        return tables.calibration_table(self.certificate)

    @property
    def matrix(self) -> pd.DataFrame:
        """The catalogue's cases, their requirements and what became of each."""
        return tables.matrix_table(self.certificate)

    def claim(self, name: str | None = None) -> pd.DataFrame | None:
        """Returns all that a check, such as `ttft.p50`, rests on; by default the worst against its limit."""
        worst = self.frames.gates().nlargest(1, "estimate_share")["id"].tolist()
        return tables.claim_table(self.certificate, name or worst[0]) if name or worst else None

    @property
    def stages(self) -> pd.DataFrame | None:
        """The table by stage; None of a load without stages."""
        return tables.stage_table(self.frames.stages())

    @property
    def translation(self) -> pd.DataFrame:
        """What other tools' definitions make of the same records, as ready text."""
        return tables.translation_table(self.translated())

    @property
    def differences(self) -> pd.DataFrame:
        """Why other tools' figures are not ours."""
        return tables.difference_table(self.translated())

    @cached_property
    def figures(self) -> run_view.Figures:
        """The figures of the run: `run.figures.ttft()`."""
        return run_view.Figures(self.records, self.frames)

    @cached_property
    def frames(self) -> Frames:
        """The frames behind the figures, under the same names: `run.frames.ttft()`."""
        return Frames(self.records)

    def summary(self) -> dict[str, Any]:
        """Returns every metric's count, mean and quantiles as plain numbers in base units."""
        return metrics.summary(self.records)

    def waterfall(self) -> pd.DataFrame:
        """Returns where each good request's time went, part by part, the slowest first."""
        return self.frames.waterfall()

    def translated(self) -> pd.DataFrame:
        """Returns what other tools' definitions make of the same records, figure beside figure."""
        return self.frames.translated()

    def openmetrics(self, *, timestamps: bool = False) -> str:
        """Returns the run for a Prometheus, under OpenTelemetry's GenAI names; see `render.gen_ai`."""
        text = gen_ai.text(self.frames.measured, self.certificate)
        return gen_ai.stamped(text, self.records) if timestamps else text

    def result(self) -> run_view.Result:
        """Returns the last output of a notebook: what it came to, for whoever runs it headless."""
        return run_view.Result(self.certificate)

    def __repr__(self) -> str:
        return run_view.card_text(self.certificate)

    def _repr_html_(self) -> str:
        return run_view.card_html(self.certificate)


def open(path: str | Path) -> Run:
    """Opens a recorded run; one whose recording was killed is first put together from its journal.

    Raises:
        DirectoryError: the folder holds no run.
        EvidenceError: it holds a damaged one.
        IncompleteError: it cannot be put together where it lies, as on a full disk; nothing is lost.
    """
    run_dir = Path(path).resolve()
    kind = kind_of(run_dir)
    if kind is not None:
        raise DirectoryError(f"{path}: not a run but {kind.named}; {kind.opener} opens it")
    if not (run_dir / "records").is_dir():
        what = "it has no folder records/" if run_dir.is_dir() else "there is no such folder"
        hint = "runs are folders below outputs/, the last one outputs/latest"
        raise DirectoryError(f"{path}: not a run: {what}; {hint}")
    if not run_directory.is_recorded(run_dir) and (run_dir / "journal").is_dir():
        try:
            _recover(run_dir)
        except OSError as error:
            why = (error.strerror or str(error)).rpartition("] ")[2]  # Arrow puts it behind a number
            raise IncompleteError(
                f"{path}: could not be put together from its journal: {why}; make room, or copy it elsewhere"
            ) from None
    return Run(run_dir)


def _recover(run_dir: Path) -> None:
    """Makes the tables that a killed run could not: its journals are enough."""
    if not (run_dir / "records" / "schedule.parquet").exists():
        raise EvidenceError(f"{run_dir}: the run ended before its first request: there is nothing to judge")
    with lock.measuring(run_dir):  # a run that is still being recorded holds the lock
        profile = resolve(run_dir / "profile.yaml").profile
        if not (run_dir / "records" / "series.parquet").exists():
            sampler.finish(run_dir)
        secrets = tuple(os.environ.get(name, "") for name in preflight.secret_variables(profile))
        if not (run_dir / "records" / "requests.parquet").exists():
            answer = answers(profile.target.protocol, stream=profile.workload.stream)
            decoder.finish(run_dir, answer, hash_text=profile.keep.text != "none", secrets=secrets)
    journals.settle(run_dir, profile.keep.text, secrets)


def run(
    profile: str | Path | Resolved | None = "smollm2-135m",
    run_dir: str | Path | None = None,
    *,
    show: View | None = None,
    yes: bool = False,
    calibrated: bool = False,
    **overrides: Any,
) -> Run:
    """Measures by the profile, or opens `run_dir` when it holds finished records.

    Without a profile (None) the `overrides` say all: dotted keys of the profile with `__` for the dot, as
    `load__users=4`, or a section, as `target={"server": "http://127.0.0.1:8000"}`. `yes` agrees to more
    than 10 000 output tokens from a server that is not on this machine. `calibrated` also records the
    instrument's own error, before the load and beside it, as `certify` does.

    Raises:
        InputError: the profile or the target is not as it should be; nothing was left behind.
        BusyError: another run measures on this machine.
        IncompleteError: a part of the instrument ended early; what was measured is kept.
    """
    if run_dir and run_directory.is_recorded(Path(run_dir)):
        return Run(Path(run_dir).resolve())
    given = {key.replace("__", "."): (value, "hx.run") for key, value in overrides.items()}
    resolved = _resolved(profile, given)
    folder = Path(run_dir) if run_dir else None
    return Run(Recording(resolved, folder, show or view(), yes=yes, calibrated=calibrated).record())


def _resolved(
    profile: str | Path | Resolved | None, overrides: Mapping[str, tuple[Any, str]] | None = None
) -> Resolved:
    """Returns a profile after all its layers."""
    if isinstance(profile, Resolved):
        if overrides:
            raise InputError(
                f"{next(iter(overrides))}: has no place beside a profile that is resolved already"
            )
        return profile
    if not isinstance(profile, str | Path | None):
        raise InputError(f"profile: expected a shipped profile's name or a file's path, got {profile!r:.60}")
    return resolve(profile, overrides=overrides, environ=os.environ)


def judge(path: str | Path) -> Run:
    """Judges a recorded run and writes its certificate.json, the manifest and the statements with it."""
    judged = open(path)
    write_json(judged.path / "certificate.json", judged.certificate)
    statement.seal(judged.path, judged.certificate, judged.records.facts)
    return judged


def verify(path: str | Path, key: str | Path | None = None) -> Verification:
    """Returns which files and numbers of a run are not what its manifest and its records give.

    With the file of a public key the run must be signed by its holder. A killed run that nobody has opened
    yet is first put together from its journal, as by `open`.

    Raises:
        DirectoryError: the folder holds no run.
        InputError: the key is none to check with.
    """
    run_dir = Path(path)
    if (run_dir / "records").is_dir() and not (run_dir / manifest.NAME).exists():
        with suppress(EvidenceError):  # which is found again, as a fault
            open(run_dir)
    from hxbench.render import verification  # as publish below

    return cards.card(
        cards.VerificationCard, verification.verify(run_dir, None if key is None else Path(key))
    )


def sign(path: str | Path, key: str | Path, *, check: Callable[[str | Path], Verification] = verify) -> str:
    """Signs a run with the private key in a file, beside the signatures of others; returns the key's id.

    Raises:
        InputError: the key is none to sign with; the folder holds no run.
        UnsoundError: `check` finds a fault in the run.
    """
    from hxbench.render import signing

    run_dir = Path(path)
    signer = signing.signer(Path(key), run_dir)
    faults = check(run_dir).faults
    if faults:
        raise UnsoundError(
            f"{path}: not signed: faults found: {len(faults)}: {faults[0]}; `hxbench verify` lists them"
        )
    return signing.sign(run_dir, signer)


def render(path: str | Path) -> Run:
    """Judges a recorded run and writes its certificate, notebooks, pages, junit.xml, manifest, statements.

    A notebook that did not run to its end makes the run INCOMPLETE. Of a run among the others in the folder
    of runs index.html there is written anew.
    """
    from hxbench.render import publish  # nbconvert takes a second to import, which no load should wait for

    rendered = open(path)
    shortfalls = publish.notebook_pages(rendered.path, rendered.certificate)
    if shortfalls:
        rendered.certificate |= {"status": certificates.INCOMPLETE, "status_reason": "; ".join(shortfalls)}
    write_json(rendered.path / "certificate.json", rendered.certificate)
    publish.reports(rendered.path, rendered.certificate, rendered.records.facts)
    write_index(rendered.path)
    return rendered


def write_index(run_dir: Path) -> None:
    """Writes index.html beside a run in the folder of runs; that it cannot be is said and no more."""
    if run_dir.parent != outputs().resolve():
        return
    from hxbench.render import index_page  # as publish above

    try:
        index_page.write(run_dir.parent)
    except DirectoryError as error:
        view().say(f"{error}; the run itself is whole")


def certify(
    profile: str | Path | Resolved = "smollm2-135m",
    *,
    undecided_ok: bool = False,
    sign_key: str | Path | None = None,
    **more: Any,
) -> Run:
    """Records, judges and renders; with the file of a private key also signs, when all kernels are gone.

    Raises:
        InputError: a required gate could not pass even without a miss, unless `undecided_ok`; the key is
            none to sign with. Nothing was started.
    """
    if sign_key is not None:
        from hxbench.render import signing

        signing.signer(Path(sign_key))  # and let go of it: the key is read again when it is needed
    resolved = _resolved(profile)
    require_answerable(resolved.profile, undecided_ok=undecided_ok)
    certified = render(run(resolved, calibrated=True, **more).path)
    if sign_key is not None:
        sign(certified.path, sign_key)
    return certified


def calibrate(
    experiments: Sequence[calibration.Experiment] = calibration.FULL,
    say: Callable[[str], None] = print,
    priority: str = priorities.NORMAL,
) -> dict[str, Any]:
    """Returns how far this machine's instrument lies from the truth, and how much load it can put on.

    Raises:
        InputError: the system refuses the priority.
        BusyError: a run measures on this machine.
        IncompleteError: the load worker ended early.
    """
    priorities.require(priority)
    experiments = [replace(each, priority=priority) for each in experiments]
    with (
        tempfile.TemporaryDirectory(prefix="hxbench-") as folder,
        lock.measuring(Path(folder)),
        supervisor.stop_signals() as asked,
    ):
        return calibration.calibrate(experiments, reference.serving, Path(folder), asked, say)


def plan(profile: str | Path | Resolved = "smollm2-135m", inflation: float = 1.0) -> forecast.Forecast:
    """Returns what a run by this profile would ask for and what it could decide; starts nothing."""
    resolved = _resolved(profile)
    prompts = prompts_of(resolved.profile)
    trials = range(1, resolved.profile.load.trials + 1)
    plans = [build(resolved.profile, prompts, trial) for trial in trials]
    return cards.card(cards.ForecastCard, forecast.forecast(resolved.profile, plans, inflation))


def require_answerable(profile: Profile, *, undecided_ok: bool) -> None:
    """Raises InputError when the planned load cannot decide, or not even measure, every objective."""
    unseen = gates.unseen_in_one_piece(profile)
    if unseen:
        raise InputError(
            f"{profile.name}: workload.stream: false: answers come in one piece: {'; '.join(unseen)}; "
            "set these objectives to null, or stream"
        )
    hopeless = gates.unanswerable(profile)
    if hopeless and not undecided_ok:
        raise InputError("; ".join(hopeless) + "; plan more requests, or pass --undecided-ok")
    if not profile.all_objectives:
        raise InputError(
            f"{profile.name}: objectives: none: there is nothing to certify; measure with `hxbench run`, "
            "then `hxbench init --from-run DIR` proposes a profile"
        )
