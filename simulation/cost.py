"""What judging costs: `make cost` judges runs of 1, 3 and 10 million tokens, made up for it.

The records are written by the tables' own writer. Each run is read, and is opened and judged, in processes
of their own, several times; the median counts: reading now and then takes a quarter of its usual time. Ends
with 1 when judging the largest takes more than five times as long as reading the same Parquet files into
frames, or grows faster than the tokens, or takes more than 1 GB. The table it prints stands in `COST.md`.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
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
REPEATS = 5
REQUESTS = (2_000, 6_000, 20_000)
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


def read(run_dir: Path) -> None:
    """Reads every table into a frame, as a user's notebook has it."""
    for name, schema in TABLES.items():
        tables.read(run_dir / "records" / f"{name}.parquet", schema)


def judge(run_dir: Path) -> None:
    """Opens a run and judges it."""
    build(open_records(run_dir))


WORK: dict[str, Callable[[Path], None]] = {"read": read, "judge": judge}


def measured(work: str, run_dir: Path) -> dict[str, float]:
    """Does one piece of work in this process; returns seconds and the peak of resident bytes."""
    begun = time.perf_counter()
    WORK[work](run_dir)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": time.perf_counter() - begun,
        "bytes": float(peak if sys.platform == "darwin" else peak * 1024),
    }


def typical(work: str, run_dir: Path) -> dict[str, float]:
    """Returns the median of several processes, and the `least` and `most` seconds of them."""
    command = [sys.executable, "-m", "simulation.cost", work, str(run_dir)]
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(REPEATS)
    ]
    seconds = [each["seconds"] for each in found]
    middle = {name: statistics.median(each[name] for each in found) for name in found[0]}
    return middle | {"least": min(seconds), "most": max(seconds)}


def row(requests: int) -> dict[str, float]:
    """Makes, reads and judges a run of so many requests; prints and returns what that cost."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "run", requests)
        costs = {work: typical(work, Path(folder) / "run") for work in WORK}
    cells = [
        f"{each['seconds']:.2f} ({each['least']:.2f} to {each['most']:.2f}) | {each['bytes'] / 1e6:.0f}"
        for each in costs.values()
    ]
    found = {name: each["seconds"] for name, each in costs.items()} | {"bytes": costs["judge"]["bytes"]}
    times = found["judge"] / found["read"]
    print(f"| {requests * TOKENS:,} | {' | '.join(cells)} | {times:.2f} |", flush=True)
    return found


def main() -> int:
    """Prints one line a size and returns the exit status."""
    print("| tokens | reading, s | peak, MB | judging, s | peak, MB | judging / reading |")
    print("|---" * 6 + "|", flush=True)
    costs = [row(requests) for requests in REQUESTS]
    times = costs[-1]["judge"] / costs[-1]["read"]
    growth = costs[-1]["judge"] / costs[0]["judge"] / (REQUESTS[-1] / REQUESTS[0])
    print(f"\nTen times the tokens cost {10 * growth:.1f} times the time.")
    kept = times <= MOST_TIMES_READING and growth <= MOST_GROWTH and costs[-1]["bytes"] <= MOST_BYTES
    return 0 if kept else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1], Path(sys.argv[2]))))
    else:
        sys.exit(main())
