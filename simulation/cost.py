"""What judging costs: `python -m simulation.cost` judges runs of 1 and of 10 million tokens, made up for it.

The records are written by the tables' own writer, and each run is judged in a process of its own, several
times; the best counts. Ends with 1 when judging the larger takes more than five times as long as reading the
same Parquet files, or grows faster than the tokens, or when the process that did both takes more than 1 GB.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hxbench.judge.certificate import build
from hxbench.plan.layers import resolve
from hxbench.records import tables
from hxbench.records.run_directory import open_records, prepare, write_json
from hxbench.records.schemas import TABLES
from hxbench.records.tables import TableWriter

TOKENS = 500  # a request, each in a read of its own
USERS = 16
FIRST_NS, GAP_NS = 100_000_000, 10_000_000  # means of exponential times
REPEATS = 3
MOST_TIMES_READING, MOST_BYTES, MOST_GROWTH = 5.0, 1e9, 1.3
OBJECTIVES = {
    "ttft": {"p95": "500 ms"}, "itl": {"p95": "30 ms", "p99": "50 ms"}, "tpot": {"p95": "30 ms"},
    "e2e": {"p95": "1 h"}, "error_rate": "< 5 %", "goodput": "50 %", "throughput_tokens": "1",
}  # fmt: skip


def make(run_dir: Path, requests: int) -> None:
    """Writes the records of so many answers to a handful of users, one round of them after another."""
    chosen = {
        "name": "cost", "target": {"server": "http://127.0.0.1:1", "model": "made-up"},
        "load": {"users": USERS, "warmup": "0 s", "requests": requests},
        "limits.requests": requests, "limits.tokens": 10**12, "workload.output_tokens": TOKENS,
        "objectives": OBJECTIVES,
    }  # fmt: skip
    prepare(run_dir, resolve(None, overrides={key: (value, "made up") for key, value in chosen.items()}))
    writers = {
        name: TableWriter(run_dir / "records" / f"{name}.parquet", schema) for name, schema in TABLES.items()
    }
    generator, sent_ns = np.random.default_rng(1), np.full(USERS, 1_000_000_000)
    for number in range(requests):
        gaps = generator.exponential(GAP_NS, TOKENS).astype(np.int64)
        gaps[0] = generator.exponential(FIRST_NS)
        received = (sent_ns[number % USERS] + np.cumsum(gaps)).tolist()
        _add(writers, number, int(sent_ns[number % USERS]), received)
        sent_ns[number % USERS] = received[-1] + 1_000_000
    phase = {"trial": 1, "phase": "measure", "start_ns": 1_000_000_000, "end_ns": int(sent_ns.max())}
    _add_row(writers, "phases", phase)
    for writer in writers.values():
        writer.close()
    write_json(run_dir / "records" / "ending.json", {"state": "complete", "reason": None})


def _add(writers: Mapping[str, TableWriter], number: int, sent_ns: int, received: list[int]) -> None:
    known = {"request_id": f"t1-{number:06d}", "trial": 1, "user": number % USERS, "phase": "measure"}
    _add_row(writers, "schedule", known | {"max_tokens": TOKENS, "seed": number})
    _add_row(
        writers,
        "requests",
        known
        | {"dispatched_ns": sent_ns, "first_byte_ns": received[0], "first_token_ns": received[0]}
        | {"last_token_ns": received[-1], "done_ns": received[-1], "outcome": "ok", "deltas": TOKENS}
        | {"output_tokens": TOKENS, "first_read_deltas": 1, "reads": TOKENS, "token_source": "usage"},
    )
    for index, received_ns in enumerate(received):
        writers["reads"].add((known["request_id"], index, received_ns, 300, 1, 4, None, 1))


def _add_row(writers: Mapping[str, TableWriter], name: str, known: Mapping[str, Any]) -> None:
    writers[name].add([known.get(column) for column in TABLES[name].names])


def measured(run_dir: Path) -> dict[str, float]:
    """Reads and judges a run in this process; returns seconds and bytes."""
    begun = time.perf_counter()
    for name, schema in TABLES.items():
        tables.read(run_dir / "records" / f"{name}.parquet", schema)
    read = time.perf_counter() - begun
    reading_bytes = _peak_bytes()
    records = open_records(run_dir)
    begun = time.perf_counter()
    build(records)
    judged = time.perf_counter() - begun
    return {"read_s": read, "judge_s": judged, "read_bytes": reading_bytes, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


def best(run_dir: Path) -> dict[str, float]:
    """Returns the best of several processes, and prints each."""
    found = []
    for _ in range(REPEATS):
        command = [sys.executable, "-m", "simulation.cost", str(run_dir)]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        print("   ", found[-1], flush=True)
    return {name: min(each[name] for each in found) for name in found[0]}


def main() -> int:
    """Prints one line a size and returns the exit status."""
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        for requests in (2_000, 20_000):
            make(Path(folder) / str(requests), requests)
            judged.append(best(Path(folder) / str(requests)))
            print(f"{requests * TOKENS:,} tokens: {judged[-1]}", flush=True)
    small, large = judged
    times_reading = large["judge_s"] / large["read_s"]
    growth = large["judge_s"] / small["judge_s"] / 10
    print(f"judging is {times_reading:.2f} times reading; ten times the tokens cost {10 * growth:.1f} times")
    kept = times_reading <= MOST_TIMES_READING and growth <= MOST_GROWTH
    return 0 if kept and large["peak_bytes"] <= MOST_BYTES else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(Path(sys.argv[1]))))
    else:
        sys.exit(main())
