"""Run directories made by hand: the records of `records_by_hand`, stored as a recording stores them."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from records_by_hand import records

from hxbench.plan.layers import Resolved
from hxbench.records import run_directory, tables
from hxbench.records.run_directory import Records, write_json
from hxbench.records.schemas import TABLES

EASY = {
    "ttft": {"p95": "500 ms", "mean": "1 s"},
    "itl": {"p50": "50 ms"},
    "error_rate": "5 %",
    "throughput_tokens": "10",
    "memory": "1 GB",
}
PROFILE = {"objectives": EASY, "checks": ("TC-L1-COMP-SMOLLM2-*",), "declares": {"empty_prompt": 200}}


def good(**more: Any) -> Records:
    """Returns the records of a run that is certified."""
    return records(profile=PROFILE | more.pop("profile", {}), **{"requests": 120, **more})


def store(run: Records, folder: Path) -> Path:
    """Writes the records into a folder as a recording does, with the hash of the schedule in the facts."""
    resolved = Resolved(run.profile, dict(run.document), {}, run.profile_sha256)
    run_directory.prepare(folder, resolved)
    (folder / "journal").rmdir()
    for name in TABLES:
        write_table(folder, name, getattr(run, name))
    schedule = hashlib.sha256((folder / "records" / "schedule.parquet").read_bytes()).hexdigest()
    write_json(folder / "facts.json", {**run.facts, "schedule_sha256": [schedule]})
    for name in ("exchanges", "ending", "calibration"):
        write_json(folder / "records" / f"{name}.json", getattr(run, name))
    return folder


def read_table(folder: Path, name: str) -> pd.DataFrame:
    return tables.read(folder / "records" / f"{name}.parquet", TABLES[name])


def write_table(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Replaces one table of a stored run."""
    columns = [pa.array(frame[field.name], field.type, from_pandas=False) for field in TABLES[name]]
    path = folder / "records" / f"{name}.parquet"
    path.unlink(missing_ok=True)
    with pq.ParquetWriter(path, TABLES[name]) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=TABLES[name]))
