"""A sweep: the same profile at rising loads, a run each, in one folder."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd

from hxbench import units, workbench
from hxbench.errors import DirectoryError, EvidenceError, InputError, StoppedError
from hxbench.judge.operating_point import operating_point
from hxbench.judge.results import document
from hxbench.judge.verdicts import Verdict
from hxbench.plan.asking import prompts_of
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import Planned, build
from hxbench.recording import outputs, require_consent
from hxbench.records.kinds import SWEEP
from hxbench.records.run_directory import SWEEP_NOTE, fresh_name, is_recorded, write_json
from hxbench.render import run_view
from hxbench.render.progress import View
from hxbench.render.run_view import Result
from hxbench.render.sweep_view import SweepFigures, sweep_rows, sweep_table
from hxbench.render.tables import aligned
from hxbench.workbench import Run

_KEYS = {"users": "load.users", "rate": "load.rate"}  # by the axis, which is also the name of its column
_MOST = 100  # loads of a sweep

Asked = Iterable[float] | str | None


class Sweep:
    """The runs of a sweep that came to their end, by load. Nothing here needs the server."""

    def __init__(self, path: Path, axis: str, loads: Sequence[float]) -> None:
        self.path, self.axis, self.loads = path, axis, tuple(loads)

    @cached_property
    def runs(self) -> dict[float, Run]:
        """The finished runs by their load."""
        folders = {load: self.path / folder_name(self.axis, load) for load in self.loads}
        return {load: workbench.open(folder) for load, folder in folders.items() if _is_finished(folder)}

    @property
    def missing(self) -> tuple[float, ...]:
        """The loads that were not measured to their end."""
        return tuple(load for load in self.loads if load not in self.runs)

    @property
    def profile(self) -> Profile:
        """The profile of the first load; the others differ from it in their load alone.

        Raises: EvidenceError when no load was measured to its end.
        """
        if not self.runs:
            raise EvidenceError(f"{self.path}: no load of this sweep was measured to its end")
        return next(iter(self.runs.values())).records.profile

    @property
    def signal(self) -> int | None:
        """The signal that stopped the sweep; None when it went on to its end."""
        endings = [_ending(self.path / folder_name(self.axis, load)) for load in self.missing]
        return next((int(each["signal"]) for each in endings if each.get("signal")), None)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a load, its column `users` or `rate`; the others as of `operating_point`."""
        points = [{self.axis: load} | operating_point(run.frames.measured) for load, run in self.runs.items()]
        return pd.DataFrame(points)

    @cached_property
    def figures(self) -> SweepFigures:
        """The figures over all loads: `sweep.figures.latency()`."""
        limits = {name: run_view.quantile_limits(self.profile, name) for name in ("ttft", "itl", "e2e")}
        return SweepFigures(self.frame, self.axis, limits)

    @property
    def profile_sha256(self) -> None:
        """None: each run has a profile of its own."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Those of the last run that came to its end."""
        return list(self.runs.values())[-1].records.facts if self.runs else {}

    @property
    def ending(self) -> Mapping[str, Any]:
        """Whether all loads were measured, and which."""
        state = "interrupted" if self.missing else "complete"
        return {"state": state, "reason": self._says(), "signal": self.signal}

    @property
    def found(self) -> Sequence[Verdict]:
        """Nothing: a sweep judges nothing; its runs may."""
        return ()

    @property
    def contradictions(self) -> Sequence[str]:
        """Nothing: what it holds is its runs, each of which is verified by itself."""
        return ()

    @cached_property
    def document(self) -> dict[str, Any]:
        """What result.json holds: the numbers of each load."""
        return document(self, SWEEP)

    def result(self) -> Result:
        """Returns the last output of a notebook: what was measured, for whoever runs it headless."""
        return Result(self.document)

    def _says(self) -> str:
        unit = "users" if self.axis == "users" else "requests/s"
        parts = [f"{len(self.runs)} of {len(self.loads)} loads"]
        for name, found in (("measured", tuple(self.runs)), ("missing", self.missing)):
            parts += [f"{name}: {', '.join(map(units.number, found))} {unit}"] if found else []
        return "; ".join(parts)

    def __repr__(self) -> str:
        table = aligned(sweep_rows(self.frame, self.axis)) if self.runs else []
        return "\n".join([self._says(), *table, f"sweep {self.path.name}"])

    def _repr_html_(self) -> str:
        table = sweep_table(self.frame, self.axis)._repr_html_() if self.runs else ""
        return f"<p>{self._says()}</p>{table}"


def folder_name(axis: str, load: float) -> str:
    """Returns the name of a load's folder in its sweep: `users-4`, `rate-0.5`."""
    return f"{axis}-{load:.12g}"


def sweep(
    profile: str | Path | None = "smollm2-135m",
    run_dir: str | Path | None = None,
    *,
    users: Asked = None,
    rates: Asked = None,
    show: View | None = None,
    yes: bool = False,
    **overrides: Any,
) -> Sweep:
    """Measures the profile once at each load: `users=[1, 2, 4, 8]` or `rates=[0.5, 1, 2]`, in req/s.

    What `run_dir` has of it already is opened instead: an interrupted sweep goes on, and loads can be added.
    Without users and rates a recorded sweep is opened. The loads may be text, `"1, 2, 4"`. An interrupt stops
    at once; finished loads stay. `yes` and `overrides` are those of `hx.run`.

    Raises:
        InputError: the loads, the profile or the folder are not as they should be; nothing was started.
        BusyError: another run measures on this machine.
        IncompleteError: the run at one load ended early; what was measured is kept.
    """
    asked = loads(users, rates)
    if asked is None:
        if not run_dir:
            raise InputError("sweep: no loads: give users=[1, 2, 4, 8] or rates=[0.5, 1, 2]")
        return open_sweep(run_dir)
    axis, values = asked
    given = {key.replace("__", "."): (value, "hx.sweep") for key, value in overrides.items()}
    profiles = {
        load: resolve(profile, overrides=given | {_KEYS[axis]: (load, "hx.sweep")}, environ=os.environ)
        for load in values
    }
    return measure(axis, profiles, Path(run_dir) if run_dir else None, show=show, yes=yes)


def loads(users: Asked, rates: Asked) -> tuple[str, list[float]] | None:
    """Returns which axis is swept, `users` or `rate`, and the loads; None when neither is given.

    Raises: InputError when both are, or when they are not rising numbers above 0.
    """
    given = {name: _parts(name, asked) for name, asked in (("users", users), ("rates", rates))}
    given = {name: parts for name, parts in given.items() if parts}
    if not given:
        return None
    if len(given) > 1:
        raise InputError("sweep: users and rates: give one of them: users wait for answers, rates do not")
    ((name, parts),) = given.items()
    values = [_number(part, name) for part in parts]
    if values != sorted(set(values)):
        got = ", ".join(map(units.number, values))
        raise InputError(f"sweep: {name}: expected rising numbers such as 1, 2, 4, got {got}")
    if len(values) > _MOST:
        raise InputError(f"sweep: {name}: expected at most {_MOST} loads, got {len(values)}")
    return ("users" if name == "users" else "rate"), values


def _parts(name: str, asked: object) -> list[object]:
    if asked is None or asked == "":
        return []
    if isinstance(asked, str):
        return list(asked.split(","))
    if not isinstance(asked, Iterable):
        raise InputError(f"sweep: {name}: expected a list such as [1, 2, 4], got {asked}")
    return list(asked)


def _number(part: object, name: str) -> float:
    kind, expected = ("count", "a whole number") if name == "users" else ("rate", "a number")
    try:
        value = units.parse(str(part), kind)
    except ValueError:
        value = 0
    if value <= 0:
        got = str(part).strip()[:60] or "nothing"
        raise InputError(f"sweep: {name}: expected {expected} above 0, got {got}")
    return value


def open_sweep(path: str | Path) -> Sweep:
    """Opens a recorded sweep, also one that was interrupted.

    Raises:
        DirectoryError: the folder holds no sweep.
        EvidenceError: it holds a damaged one.
    """
    folder = Path(path).resolve()
    note = _note(folder)
    if note is None:
        raise DirectoryError(f"{path}: not a sweep: it has no file {SWEEP_NOTE}")
    return Sweep(folder, note["axis"], note["loads"])


def _note(folder: Path) -> dict[str, Any] | None:
    """Returns which loads a sweep's folder is to have; None when there is no such note.

    Raises: EvidenceError for one that cannot be read.
    """
    try:
        note = json.loads((folder / SWEEP_NOTE).read_text("utf-8"))
        number = {"users": int, "rate": float}[note["axis"]]
        return {"axis": note["axis"], "loads": [number(load) for load in note["loads"]]}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise EvidenceError(f"{folder / SWEEP_NOTE}: not readable: {error}") from None


def measure(
    axis: str,
    profiles: Mapping[float, Resolved],
    folder: Path | None,
    *,
    show: View | None = None,
    yes: bool = False,
) -> Sweep:
    """Measures each load that the folder does not have yet, by its profile; see `sweep`."""
    first = next(iter(profiles.values()))
    folder = folder or outputs() / fresh_name(first, "sweep", datetime.now(UTC))
    known = _require_ours(folder, axis, profiles)
    to_come = [each for load, each in profiles.items() if not _is_finished(folder / folder_name(axis, load))]
    require_consent(first.profile, [plan for each in to_come for plan in _plans(each)], yes=yes)
    wanted = sorted({*known, *profiles})
    _write_note(folder, axis, wanted)
    try:
        for load, resolved in profiles.items():
            if not _measured(folder / folder_name(axis, load), resolved, show):
                break
    except InputError:
        _take_back(folder, axis, known, profiles)
        raise
    except StoppedError as stop:
        _take_back(folder, axis, known, profiles)
        if not folder.exists():
            raise
        kept = f"hx.open_sweep({str(folder.resolve())!r})"
        raise StoppedError(
            f"stopped between two loads; the finished ones are kept: {kept}", stop.signal
        ) from None
    return Sweep(folder.resolve(), axis, wanted)


def _write_note(folder: Path, axis: str, wanted: Sequence[float]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SWEEP_NOTE, {"schema": 1, "axis": axis, "loads": list(wanted)})
    except OSError as error:
        raise DirectoryError(f"{folder}: cannot be written: {error.strerror}") from None


def _take_back(folder: Path, axis: str, known: Sequence[float], asked: Iterable[float]) -> None:
    """Takes back the loads that were not begun, and the folder of a sweep that was not."""
    begun = {load for load in asked if (folder / folder_name(axis, load)).exists()}
    if begun or known:
        _write_note(folder, axis, sorted({*known, *begun}))
    else:
        (folder / SWEEP_NOTE).unlink()
        folder.rmdir()


def _plans(resolved: Resolved) -> list[list[Planned]]:
    prompts = prompts_of(resolved.profile)
    trials = range(1, resolved.profile.load.trials + 1)
    return [list(build(resolved.profile, prompts, trial)) for trial in trials]


def _require_ours(folder: Path, axis: str, profiles: Mapping[float, Resolved]) -> list[float]:
    """Returns the loads that a folder is to have by now.

    Raises: DirectoryError when it holds something else, or runs of other profiles.
    """
    note = _note(folder)
    if note is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DirectoryError(f"{folder}: holds something that is no sweep; choose another folder")
        return []
    if note["axis"] != axis:
        raise DirectoryError(f"{folder}: is a sweep of {note['axis']}, not of {axis}; choose another folder")
    for load, resolved in profiles.items():
        recorded = folder / folder_name(axis, load)
        if _is_finished(recorded) and resolve(recorded / "profile.yaml").sha256 != resolved.sha256:
            raise DirectoryError(f"{recorded}: was measured by another profile; choose another folder")
    return list(note["loads"])


def _measured(folder: Path, resolved: Resolved, show: View | None) -> bool:
    """Measures one load unless it is there; returns whether it came to its end."""
    if not _is_finished(folder):
        if folder.exists():
            _set_aside(folder)
        workbench.run(resolved, folder, show=show, yes=True)
    return _is_finished(folder)


def _is_finished(folder: Path) -> bool:
    return is_recorded(folder) and _ending(folder).get("state") == "complete"


def _ending(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "records" / "ending.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _set_aside(folder: Path) -> None:
    """Renames the folder of a run that did not come to its end: its records stay, and the load is free."""
    names = (folder.with_name(f"{folder.name}-unfinished-{number}") for number in count(1))
    folder.rename(next(name for name in names if not name.exists()))
