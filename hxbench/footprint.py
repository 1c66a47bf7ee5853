"""A memory check: the embedded server asked step by step, judged by R3.5 to R3.7 and R3.9."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hxbench import memory_recording, units
from hxbench.errors import DirectoryError, EvidenceError, IncompleteError, InputError
from hxbench.judge import memory_consistency as consistency
from hxbench.judge.memory import Footprint, footprint, verdicts
from hxbench.judge.verdicts import Verdict
from hxbench.memory_recording import MemoryRecording
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.memory import DEFAULT_CHECKS, Step, steps
from hxbench.plan.profile import EMBEDDED
from hxbench.record import lock
from hxbench.record.supervisor import stop_signals
from hxbench.recording import outputs
from hxbench.records import run_directory, tables
from hxbench.records.kinds import MEMORY
from hxbench.records.run_directory import write_json
from hxbench.records.schemas import PHASES, SERIES
from hxbench.render.check_view import Check
from hxbench.render.files import read_json
from hxbench.render.memory_view import MemoryFigures, footprint_table
from hxbench.render.progress import View, view
from hxbench.render.tables import Table
from hxbench.servers.model import model_file


class Memory(Check):
    """A recorded memory check. Nothing here needs the server; every number comes anew from the records."""

    kind = MEMORY

    @cached_property
    def _note(self) -> Mapping[str, Any]:
        try:
            note = read_json(self.path / MEMORY.note)
            return {"steps": [Step(**each) for each in note["steps"]], "loaded_bytes": note["loaded_bytes"]}
        except (TypeError, KeyError) as error:
            raise EvidenceError(f"{self.path / MEMORY.note}: not readable: {error}") from None

    @cached_property
    def series(self) -> pd.DataFrame:
        """The samples, ten a second; `trial` is the step's number, from 1."""
        frame = tables.read(self.path / consistency.SERIES, SERIES)
        return consistency.require_rows(frame, consistency.SERIES, ("time_ns", "trial", "source", "name"))

    @cached_property
    def phases(self) -> pd.DataFrame:
        """When each step's rests and loads began and ended."""
        frame, columns = tables.read(self.path / consistency.PHASES, PHASES), PHASES.names
        return consistency.require_rows(frame, consistency.PHASES, columns)

    @cached_property
    def exchanges(self) -> list[dict[str, Any]]:
        """What was asked, and what the servers said."""
        return consistency.require_exchanges(read_json(self.path / consistency.EXCHANGES))

    @cached_property
    def footprints(self) -> list[Footprint]:
        """What each step shows, in order; of one that was never reached that it is missing."""
        return [
            footprint(
                step,
                self.series[self.series["trial"] == trial],
                self.phases[self.phases["trial"] == trial],
                [each for each in self.exchanges if each["trial"] == trial],
                self.profile.target.protocol,
            )
            for trial, step in enumerate(self._note["steps"], start=1)
        ]

    @cached_property
    def found(self) -> list[Verdict]:
        return verdicts(self.footprints, self._note["loaded_bytes"], self.profile.objectives)

    @cached_property
    def contradictions(self) -> list[str]:
        """One sentence for each thing in the records that no check can have measured."""
        is_whole = self.ending["state"] == "complete"
        steps = self._note["steps"]
        return consistency.contradictions(
            consistency.Measured(
                self.profile, steps, self.series, self.phases, self.exchanges, self.facts, is_whole
            )
        )

    @property
    def frame(self) -> pd.DataFrame:
        """One row a step: users, requests, samples, and bytes at rest, at the peak, grown."""
        counted, sizes = (
            ("samples", "loads", "loaded_s", "shortest", "problem"),
            ("idle", "peak", "pss_peak", "growth", "growth_warm"),
        )
        rows = [
            asdict(each.step)
            | {name: getattr(each, name) for name in counted}
            | {f"{name}_bytes": getattr(each, name) for name in sizes}
            for each in self.footprints
        ]
        return pd.DataFrame(rows)

    @property
    def table(self) -> Table:
        """`frame` as ready text."""
        return footprint_table(self.footprints)

    @cached_property
    def figures(self) -> MemoryFigures:
        return MemoryFigures(self.series, self.phases, self._note["steps"])


def open_memory(path: str | Path) -> Memory:
    """Opens a recorded memory check; one that was killed is first put together from its journal.

    Raises:
        DirectoryError: the folder holds none.
        BusyError: it is still being recorded.
        IncompleteError: it cannot be put together where it lies, as on a full disk; nothing is lost.
    """
    folder = Path(path).resolve()
    if not (folder / MEMORY.note).exists():
        raise DirectoryError(f"{path}: not a memory check: it has no file {MEMORY.note}")
    if (folder / "journal").is_dir():
        try:
            with lock.measuring(folder):
                memory_recording.finish(folder)
        except OSError as error:
            raise IncompleteError(
                f"{path}: could not be put together from its journal: {error.strerror or error}; "
                "make room, or copy it elsewhere"
            ) from None
    return Memory(folder)


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
    if run_dir and (Path(run_dir) / MEMORY.note).exists():
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
        write_json(folder / MEMORY.note, note)
        MemoryRecording(folder, resolved.profile, model, asked, shown).record(planned)
    return Memory(folder)


def _size(loaded: str | None) -> int | None:
    if not loaded:
        return None
    try:
        return int(units.parse(loaded, "size"))
    except ValueError as error:
        raise InputError(f"memory: loaded: {error}") from None
