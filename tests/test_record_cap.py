"""A cap on requests in flight moves no due time: what a stalled server costs is all in the ttft."""

import heapq
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import hxbench as hx
from hxbench.judge.requests import per_request
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.schedule import build
from hxbench.plan.workload import load_prompts
from hxbench.records.departures import Arrival, read
from hxbench.servers.reference import serving
from hxbench.stats.quantiles import nearest_rank
from tests.loads import wait_until

PLACES, RATE, SERVICE_S = 8, 200, 0.01
STALL_AT_S, STALL_FOR_S = 4.0, 2.0  # from the first request on, which comes some time before the load


def truth(due_s: list[float], stall_s: float) -> float:
    """The p99 of ttft by schedule and stall alone: first come, first served, at most so many at a time."""
    free = [0.0] * PLACES
    ttft = []
    for due in due_s:
        answered = max(due, heapq.heappop(free)) + SERVICE_S
        ends = stall_s + STALL_FOR_S
        answered = ends if stall_s <= answered < ends else answered
        heapq.heappush(free, answered)
        ttft.append(answered - due)
    return nearest_rank(np.sort(ttft), 0.99) or 0.0


def constant(url: str, rate: int, **more: Any) -> Resolved:
    given = {
        "target.server": url, "target.model": "reference", "workload.output_tokens": 2, "load.rate": rate,
        "load.arrivals": "constant", "load.warmup": "0 s", "load.measure": "4 s", **more,
    }  # fmt: skip
    return resolve(None, overrides={key: (value, "a test") for key, value in given.items()})


def test_a_stall_of_two_seconds_is_in_the_p99_from_due_and_not_in_the_one_from_dispatch(
    tmp_path: Path,
) -> None:
    stalling = {"ttft": SERVICE_S, "itl": 0.0, "stall_at": STALL_AT_S, "stall_for": STALL_FOR_S}
    log = tmp_path / "departures.bin"
    with serving(stalling, log) as server:
        changed = {"load.max_in_flight": PLACES, "load.measure": "7 s"}
        resolved = constant(server.url, RATE, **changed)
        run = hx.run(resolved, tmp_path / "run")
    planned = build(resolved.profile, load_prompts("short"), 1)
    due_ns = run.records.schedule["due_ns"]
    first_ns = min(each.arrived_ns for each in read(log) if isinstance(each, Arrival))
    stall_s = (first_ns - due_ns.iloc[0]) / 1e9 + STALL_AT_S
    expected_s = truth([(row.due_offset_ns or 0) / 1e9 for row in planned], stall_s)
    rows = per_request(run.records)
    assert 7 * RATE == (rows["outcome"] == "ok").sum()
    assert [row.due_offset_ns for row in planned] == list(due_ns - due_ns.iloc[0])
    summary = run.summary()
    assert 1.9 < expected_s < 2.0
    assert 0.97 * expected_s <= summary["ttft"]["p99"] < expected_s + 1  # the machine may add to it
    assert summary["ttft_dispatch"]["p99"] < 1
    sent, done = np.sort(rows["dispatched_s"]), np.sort(rows["done_s"])
    in_flight = np.arange(1, 7 * RATE + 1) - np.searchsorted(done, sent, side="right")
    assert PLACES == in_flight.max()
    (lag,) = [entry for entry in run.certificate["ledger"] if entry["id"] == "send_lag"]
    assert lag["value"] < 1, lag["detail"]  # waiting for a place is not the generator's lateness


def test_a_server_that_stands_still_for_two_seconds_shows_in_the_p99(tmp_path: Path) -> None:
    stood_s: list[float] = []

    def stop(pid: int) -> None:
        wait_until((tmp_path / "run" / "records" / "schedule.parquet").exists, "the load never began")
        time.sleep(1)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        time.sleep(2)
        os.kill(pid, signal.SIGCONT)
        stood_s.append(time.monotonic() - began)

    with serving({"ttft": SERVICE_S, "itl": 0.0}, tmp_path / "departures.bin") as server:
        stopping = threading.Thread(target=stop, args=(server.pid,))
        stopping.start()
        run = hx.run(constant(server.url, 100), tmp_path / "run")
        stopping.join()
    summary, rows = run.summary(), per_request(run.records)
    assert 400 == (rows["outcome"] == "ok").sum()
    # Of 400 requests, one each 10 ms, four may have waited longer than the p99.
    assert stood_s[0] - 0.05 <= summary["ttft"]["p99"]
    assert summary["ttft"]["p50"] < stood_s[0]
