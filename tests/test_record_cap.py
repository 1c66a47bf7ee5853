"""A cap on requests in flight moves no due time: what a stalled server costs is all in the ttft."""

import heapq
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hxbench as hx
from hxbench.judge.requests import per_request
from hxbench.plan.layers import resolve
from hxbench.plan.schedule import build
from hxbench.plan.workload import load_prompts
from hxbench.stats.quantiles import nearest_rank
from tests import servers
from tests.servers import Behaviour, Request, Server

PLACES, RATE, SERVICE_S = 8, 200, 0.01
STALL_S = (1.0, 3.0)  # from the first request on


def truth(due_s: list[float]) -> float:
    """The p99 of ttft by the schedule alone: first come, first served, at most so many at a time."""
    free = [0.0] * PLACES
    ttft = []
    for due in due_s:
        answered = max(due, heapq.heappop(free))
        answered = (STALL_S[1] if STALL_S[0] <= answered < STALL_S[1] else answered) + SERVICE_S
        heapq.heappush(free, answered)
        ttft.append(answered - due)
    return nearest_rank(np.sort(ttft), 0.99)


class Stalling:
    """Answers after 10 ms, but holds those that come during the stall until its end."""

    def __init__(self) -> None:
        self.first_s: float | None = None

    def __call__(self, request: Request) -> Any:
        now = time.monotonic()
        if self.first_s is None:
            self.first_s = now
        since = now - self.first_s
        stalled = STALL_S[1] - since if STALL_S[0] <= since < STALL_S[1] else 0.0
        return servers.stream(2, stalled + SERVICE_S, 0.0)


def test_a_stall_of_two_seconds_is_in_the_p99_from_due_and_not_in_the_one_from_dispatch(
    tmp_path: Path,
) -> None:
    given = {
        "target.model": "m", "workload.output_tokens": 2, "load.rate": RATE, "load.arrivals": "constant",
        "load.max_in_flight": PLACES, "load.warmup": "0 s", "load.measure": "4 s",
    }  # fmt: skip
    with Server(Behaviour(chat=Stalling())) as server:
        overrides = {key: (value, "a test") for key, value in (given | {"target.server": server.url}).items()}
        resolved = resolve(None, overrides=overrides)
        run = hx.run(resolved, tmp_path / "run")
    planned = build(resolved.profile, load_prompts("short"), 1)
    expected_s = truth([(row.due_offset_ns or 0) / 1e9 for row in planned])
    rows = per_request(run.records)
    assert 800 == (rows["outcome"] == "ok").sum()
    assert [row.due_offset_ns for row in planned] == list(
        run.records.schedule["due_ns"] - run.records.schedule["due_ns"].iloc[0]
    )
    assert expected_s == pytest.approx(nearest_rank(np.sort(rows["ttft_s"]), 0.99), rel=0.03)
    assert 1.9 < expected_s < 2.0
    assert nearest_rank(np.sort(rows["ttft_dispatch_s"]), 0.99) < 0.1
    sent, done = np.sort(rows["dispatched_s"]), np.sort(rows["done_s"])
    in_flight = np.arange(1, 801) - np.searchsorted(done, sent, side="right")
    assert PLACES == in_flight.max()
    (lag,) = [entry for entry in run.certificate["ledger"] if entry["id"] == "send_lag"]
    assert "ok" == lag["state"], lag["detail"]
