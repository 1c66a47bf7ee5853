"""Folders of memory checks made by hand: what a recording writes, of servers that hold what they shall."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.memory import Step
from hxbench.record import preflight
from hxbench.records import run_directory, tables
from hxbench.records.run_directory import MEMORY_NOTE, write_json
from hxbench.records.schemas import PHASES, SERIES, TARGET

SECOND, MB = 1_000_000_000, 1_000_000
REST, LOAD, BETWEEN = 2 * SECOND, 6 * SECOND, 3 * SECOND
STEPS = (
    Step("at once", 1, 1, 20), Step("at once", 2, 2, 20), Step("growth", 1, 20, 50),
    Step("own servers", 4, 4, 50, servers=4), Step("one server", 4, 10, 50),
    Step("leak", 1, 10, 50, cycles=7),
)  # fmt: skip
RESTING, WORKING = 200 * MB, 210 * MB


def resolved() -> Resolved:
    return resolve("smollm2-135m", overrides={"objectives": ({"memory": "1 GB"}, "by hand")}, environ={})


def phases_of(trial: int, step: Step, began: int) -> list[tuple[Any, ...]]:
    names = ["rest", *["load", "rest"] * step.cycles]
    rows = []
    for name in names:
        ended = began + (REST if name == "rest" else LOAD)
        rows.append((trial, TARGET, step.name, name, began, ended))
        began = ended
    return rows


def exchanges_of(trial: int, step: Step, phases: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """A round of as many requests as users every quarter of a second, each answered in a fifth."""
    loads, profile = [row for row in phases if row[3] == "load"], resolved().profile
    made = []
    for number in range(step.requests * step.cycles):
        cycle, place = divmod(number, step.requests)
        started = loads[cycle][4] + SECOND // 10 + place // step.users * SECOND // 4
        usage = {"prompt_tokens": 9, "completion_tokens": step.tokens}
        body = {"choices": [{"message": {"content": "yes"}, "finish_reason": "length"}], "usage": usage}
        request = preflight.request_body(profile, f"Request {number + 1}.", step.tokens, stream=False)
        made.append(
            {
                "name": step.name, "trial": trial, "method": "POST", "path": "/v1/chat/completions",
                "request": request.decode(), "status": 200, "content_type": "application/json",
                "body": json.dumps(body), "error": None, "started_ns": started,
                "done_ns": started + SECOND // 5,
            }
        )  # fmt: skip
    return made


def series_of(trial: int, step: Step, phases: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Ten samples a second, from a little before the phases to a little after."""
    rows = []
    for time_ns in range(phases[0][4] - SECOND, phases[-1][5] + SECOND, SECOND // 10):
        works = any(row[3] == "load" and row[4] <= time_ns <= row[5] for row in phases)
        held = (WORKING if works else RESTING) * step.servers
        for name, value in (("rss_bytes", held), ("pss_bytes", held // 2)):
            rows.append((time_ns, trial, TARGET, "process", name, "", float(value)))
    return rows


def store(folder: Path, *, measured: int = len(STEPS), ending: dict[str, Any] | None = None) -> Path:
    """Writes a check in which nothing is wrong, with so many steps measured, and returns its folder."""
    run_directory.prepare(folder, resolved())
    (folder / "journal").rmdir()
    note = {"schema": 1, "steps": [asdict(step) for step in STEPS], "loaded_bytes": 2000 * MB}
    write_json(folder / MEMORY_NOTE, note)
    phases, series, exchanges, began = [], [], [], 10 * SECOND
    for trial, step in enumerate(STEPS[:measured], start=1):
        mine = phases_of(trial, step, began)
        phases += mine
        series += series_of(trial, step, mine)
        exchanges += exchanges_of(trial, step, mine)
        began = mine[-1][5] + BETWEEN
    records = folder / "records"
    tables.write(records / "phases.parquet", PHASES, phases)
    tables.write(records / "series.parquet", SERIES, series)
    write_json(records / "exchanges.json", exchanges)
    write_json(records / "ending.json", ending or {"state": "complete", "reason": None})
    known = {
        "hxbench": "0.1.0",
        "finished_utc": "2026-01-02T00:00:00+00:00",
        "model": {"name": "smollm2-135m"},
    }
    write_json(folder / "facts.json", known)
    return folder
