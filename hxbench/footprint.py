"""A memory check: the embedded server asked step by step, judged by R3.5 to R3.7 and R3.9."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hxbench import units
from hxbench.errors import DirectoryError, EvidenceError, InputError
from hxbench.judge.memory import Footprint, footprint, verdicts
from hxbench.judge.verdicts import Verdict
from hxbench.memory_recording import MemoryRecording
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.memory import DEFAULT_CHECKS, Step, steps
from hxbench.plan.profile import EMBEDDED, Profile
from hxbench.record import lock
from hxbench.record.supervisor import stop_signals
from hxbench.recording import outputs
from hxbench.records import run_directory, tables
from hxbench.records.run_directory import write_json
from hxbench.records.schemas import PHASES, SERIES
from hxbench.render import manifest
from hxbench.render.files import read_json
from hxbench.render.memory_view import MemoryFigures, MemoryResult, footprint_table, memory_table
from hxbench.render.progress import View, view
from hxbench.render.tables import Table, aligned
from hxbench.servers.model import model_file

NOTE = run_directory.MEMORY_NOTE  # the steps of a check, and what R3.9 allows before the first request


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
    leak_time: str | None = None,
    loaded: str | None = None,
    show: View | None = None,
    **overrides: Any,
) -> Memory:
    """Measures the embedded server's memory step by step, or opens `run_dir` when it holds a check.

    `checks` are some of `at once` (that many requests of `tokens` tokens, R3.5), `growth` (20 answers, R3.6),
    `servers` (four against one, R3.7) and `leak` (ten answers and a rest, `cycles` times, and on until the
    server was `leak_time`, such as "30 min", under load; R3.6). `loaded`, as "2 GB", is what a server may
    hold before its first request (R3.9); what it may ever hold is the profile's objective `memory`. An
    interrupt ends it after the answers that are on their way; what was measured stays.

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
    planned = steps(checks, at_once, tokens, cycles, leak_time)
    note = {"schema": 1, "steps": [asdict(step) for step in planned], "loaded_bytes": _size(loaded)}
    target = resolved.profile.target
    if target.server != EMBEDDED:
        raise InputError(
            f"memory: target.server: expected embedded, whose servers it starts and ends, got {target.server}"
        )
    shown = show or view()
    model = model_file(target.model, shown.say)
    name = run_directory.fresh_name(resolved, "memory", datetime.now(UTC))
    folder = Path(run_dir) if run_dir else outputs() / name
    with lock.measuring(folder), stop_signals() as asked:
        folder = run_directory.prepare(folder, resolved)
        write_json(folder / NOTE, note)
        MemoryRecording(folder, resolved.profile, model, asked, shown).record(planned)
    return Memory(folder)


def _size(loaded: str | None) -> int | None:
    if not loaded:
        return None
    try:
        return int(units.parse(loaded, "size"))
    except ValueError as error:
        raise InputError(f"memory: loaded: {error}") from None
