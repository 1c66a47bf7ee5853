"""An alert drill: a real service stopped, its alert awaited at a receiver, the service restored (R4.6)."""

import os
import shlex
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from hxbench.alert_recording import AlertRecording
from hxbench.errors import DirectoryError, EvidenceError, InputError
from hxbench.judge.alerts import Course, contradictions, course, verdicts
from hxbench.judge.verdicts import Verdict
from hxbench.plan.alerts import Alerts
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.profile import Profile
from hxbench.plan.prometheus import Prometheus
from hxbench.record import lock
from hxbench.record.alerting import Watched
from hxbench.record.receiver import Receiver
from hxbench.record.supervisor import stop_signals
from hxbench.recording import outputs
from hxbench.records import run_directory
from hxbench.records.kinds import ALERTS
from hxbench.records.run_directory import write_json
from hxbench.render.alerts_view import AlertFigures, timeline
from hxbench.render.check_view import Check
from hxbench.render.files import strict_json
from hxbench.render.progress import View, view

Read = TypeVar("Read")


class Drill(Check):
    """A recorded alert drill. Nothing here needs a server; every verdict comes anew from the events."""

    kind = ALERTS

    @cached_property
    def section(self) -> Alerts:
        """What was to be stopped, and which alert to come of it."""
        if self.profile.alerts is None:
            raise EvidenceError(f"{self.path / 'profile.yaml'}: has no section alerts")
        return self.profile.alerts

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """What happened, as it was written down; a last line that was cut off is no event."""
        path = self.path / "records" / "events.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
            return [strict_json(line) for line in lines[:-1]]
        except (OSError, ValueError, RecursionError) as error:
            raise EvidenceError(f"{path}: not readable: {error}") from None

    def _made(self, make: Callable[[], Read]) -> Read:
        try:
            return make()
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(f"{self.path / 'records' / 'events.jsonl'}: not readable: {error}") from None

    @cached_property
    def _course(self) -> Course:
        return self._made(lambda: course(self.events, self.section))

    @cached_property
    def found(self) -> list[Verdict]:
        return verdicts(self._course, self.ending["reason"], self.section)

    @property
    def contradictions(self) -> list[str]:
        """One sentence for each thing in the events that no drill can have seen."""
        is_whole = self.ending["state"] == "complete"
        return self._made(lambda: list(contradictions(self.events, is_whole=is_whole)))

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """One row an event: `event`, `since_stop_s`, `said`."""
        return self._made(lambda: timeline(self.events))

    @property
    def frame(self) -> pd.DataFrame:
        """`timeline`, under the name that every check has."""
        return self.timeline

    @cached_property
    def figures(self) -> AlertFigures:
        return AlertFigures(self.timeline, self._course, self.section.within)


def open_alerts(path: str | Path) -> Drill:
    """Opens a recorded alert drill, also one that was interrupted or killed.

    Raises: DirectoryError when the folder holds none.
    """
    if not (Path(path) / ALERTS.note).exists():
        raise DirectoryError(f"{path}: not an alert drill: it has no file {ALERTS.note}")
    return Drill(Path(path).resolve())


def alerts(
    profile: str | Path | Resolved,
    run_dir: str | Path | None = None,
    *,
    yes: bool = False,
    show: View | None = None,
    **overrides: Any,
) -> Drill:
    """Stops the service of the profile's section `alerts`, awaits its alert, and restores the service.

    Or opens `run_dir` when it holds a drill. `yes` agrees to the stop. The service is restored whatever
    happens, also when this process is killed; a second interrupt ends nothing sooner.

    Raises:
        InputError: the profile, the rule, a command or the receiver's port is not as it should be, or nobody
            agreed; nothing was stopped.
        BusyError: a run measures on this machine.
        IncompleteError: a command failed, or the disk is full; what was seen is kept.
    """
    if run_dir and (Path(run_dir) / ALERTS.note).exists():
        return open_alerts(run_dir)
    given = {key.replace("__", "."): (value, "hx.alerts") for key, value in overrides.items()}
    resolved = (
        profile if isinstance(profile, Resolved) else resolve(profile, overrides=given, environ=os.environ)
    )
    section = _required(resolved.profile, yes=yes)
    name = run_directory.fresh_name(resolved, "alerts", datetime.now(UTC))
    folder = Path(run_dir) if run_dir else outputs() / name
    prometheus = resolved.profile.prometheus or Prometheus()
    token = _token(prometheus)
    with (
        lock.measuring(folder),
        stop_signals(patient=True) as asked,
        Receiver(section) as receiver,
        closing(Watched(section, prometheus, token)) as watched,
    ):
        rule = watched.require_ready()
        folder = run_directory.prepare(folder, resolved)
        write_json(folder / ALERTS.note, {"schema": 1})
        secrets = (token,) if token else ()
        AlertRecording(folder, section, watched, receiver, secrets, asked, show or view()).record(rule)
    return Drill(folder)


def _required(profile: Profile, *, yes: bool) -> Alerts:
    """Returns the section of a drill that may be begun. Raises: InputError."""
    section = profile.alerts
    if section is None:
        raise InputError(f"{profile.name}: alerts: not set: name rule, stop and restore")
    for key, command in (("stop", section.stop), ("restore", section.restore)):
        if shutil.which(command[0]) is None:
            raise InputError(f"alerts.{key}: {command[0]}: no such program, or none that may be run")
    if not yes:
        stop, restore = shlex.join(section.stop), shlex.join(section.restore)
        raise InputError(
            f"this would stop a service: {stop}; and then restore it: {restore}; agree with --yes"
        )
    return section


def _token(prometheus: Prometheus) -> str | None:
    name = prometheus.token_env
    if name and not os.environ.get(name):
        raise InputError(f"prometheus: the variable {name} is not set; export it and try again")
    return os.environ[name] if name else None
