"""Folders of runs made by hand: as much of each run as the index and gc look at."""

import json
import os
from pathlib import Path
from typing import Any

from certificates_by_hand import certificate, verdict

from hxbench.records.run_directory import HASH_LINE, MEMORY_NOTE, SWEEP_NOTE


def recorded(outputs: Path, name: str, *, ended: bool = True, **facts: Any) -> Path:
    """Makes the folder of a run that nobody has judged, of 1000 bytes of records, and returns it."""
    run = outputs / name
    (run / "records").mkdir(parents=True)
    (run / "profile.yaml").write_text(f"{HASH_LINE}{'a' * 64}\nname: x\n")
    (run / "facts.json").write_text(json.dumps({"earlier_runs": 0} | facts))
    (run / "records" / "requests.parquet").write_bytes(bytes(1000))
    if ended:
        (run / "records" / "ending.json").write_text('{"state": "complete", "reason": null}')
    return run


def judged(outputs: Path, name: str, created: str, status: str = "CERTIFIED", **more: Any) -> Path:
    """Makes the folder of a run with a certificate; `model` and `profile` are those of both."""
    run = recorded(outputs, name, finished_utc=created, **more.pop("facts", {}))
    model, profile = more.pop("model", "smollm2-135m"), more.pop("profile", "smollm2-135m")
    about = {
        "target": {**certificate()["target"], "model": model},
        "profile": {"name": profile, "sha256": more.pop("sha256", "a" * 64)},
    }
    made = certificate(run=name, created=created, status=status, **about, **more)
    (run / "certificate.json").write_text(json.dumps(made))
    (run / "certificate.html").write_text("the page")
    return run


def check(outputs: Path, name: str, created: str, status: str = "PASS") -> Path:
    """Makes the folder of a memory check with its result and page."""
    folder = recorded(outputs, name, finished_utc=created)
    made = certificate(run=name, created=created, status=status, kind="memory check")
    del made["level"]
    (folder / MEMORY_NOTE).write_text("{}")
    (folder / "result.json").write_text(json.dumps(made))
    (folder / "memory.html").write_text("the page")
    return folder


def ttft(estimate: float, word: str = "PASS", **more: Any) -> dict[str, Any]:
    """Returns a verdict on the first token's p95, its interval 10 ms to each side."""
    interval = [estimate - 0.01, estimate + 0.01]
    return verdict("ttft.p95", word, **{"estimate": estimate, "interval": interval, "limit": 0.5} | more)


def sweep(outputs: Path, name: str) -> Path:
    """Makes the folder of a sweep of one run, whose page was never written."""
    recorded(outputs / name, "users-1", finished_utc="2026-01-01T00:00:00Z")
    (outputs / name / SWEEP_NOTE).write_text('{"axis": "users", "loads": [1]}')
    return outputs / name


def unchanged_for(run: Path, seconds: float) -> None:
    """Sets the time of every file of a run back."""
    for path in (*run.rglob("*"), run):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))
