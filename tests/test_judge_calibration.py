"""The instrument's errors, from frames small enough to check by hand."""

from typing import Any

import pandas as pd
import pytest

from hxbench.judge.calibration import Client, Truth, errors, limited_by, rates

MS, SECOND = 1_000_000, 1_000_000_000


def client(**changed: Any) -> Client:
    """One request due at 100 ms, sent at 101, its three tokens stamped in two reads."""
    request = {
        "request_id": "a", "phase": "measure", "outcome": "ok",
        "due_ns": 100 * MS, "dispatched_ns": 101 * MS, "done_ns": 171 * MS,
    }  # fmt: skip
    reads = pd.DataFrame(
        {"request_id": ["a", "a"], "index": [0, 1], "received_ns": [153 * MS, 171 * MS], "deltas": [1, 2]}
    )
    return Client(pd.DataFrame([request | changed]), reads, 0, SECOND // 2)


def truth(request_id: str = "a", tokens: tuple[int, ...] = (0, 1, 1, 1)) -> Truth:
    """It arrived at 102 ms; its head left at once, its tokens at 152, 162 and 172 ms."""
    times = [102 * MS, 152 * MS, 162 * MS, 172 * MS]
    return Truth(
        pd.DataFrame({"number": [5], "request_id": [request_id], "arrived_ns": [102 * MS]}),
        pd.DataFrame({"number": [5] * len(tokens), "tokens": tokens, "before_ns": times[: len(tokens)]}),
    )


def test_each_error_is_client_less_truth() -> None:
    found = errors(client(), truth())
    assert {"n": 1, "bias": 0.002, "p99": 0.002} == _of(found, "ttft")  # 52 ms, where 50 are true
    assert {"n": 1, "bias": -0.002, "p99": 0.002} == _of(found, "itl")  # 18 ms, where 20 are true
    assert {"n": 1, "bias": 0.002, "p99": 0.002} == _of(found, "arrival")


def _of(found: dict[str, Any], name: str) -> dict[str, Any]:
    times = {key: pytest.approx(found[f"{name}_{key}_s"]) for key in ("bias", "p99")}
    return {"n": found[f"{name}_n"], **times}


@pytest.mark.parametrize("changed", [{"phase": "warmup"}, {"outcome": "failed"}, {"request_id": "b"}])
def test_only_measured_requests_that_the_server_knows_count(changed: dict[str, str]) -> None:
    found = errors(client(**changed), truth())
    assert (0, None, None) == (found["ttft_n"], found["ttft_bias_s"], found["ttft_p99_s"])
    assert 0 == found["arrival_n"]


def test_without_a_read_there_is_no_error() -> None:
    found = errors(client()._replace(reads=client().reads.iloc[:0]), truth())
    assert (0, None, 0, None) == tuple(
        found[name] for name in ("ttft_n", "ttft_p99_s", "itl_n", "itl_bias_s")
    )
    assert 1 == found["arrival_n"]


def test_a_closed_loop_has_no_error_of_arrival() -> None:
    found = errors(client(due_ns=None), truth())
    assert (0, 1) == (found["arrival_n"], found["ttft_n"])


def test_a_read_that_ends_within_a_write_is_left_out() -> None:
    found = errors(client(), truth(tokens=(0, 1, 3)))
    assert (1, 0) == (found["ttft_n"], found["itl_n"])


def test_rates_count_what_came_within_the_window() -> None:
    assert {"requests_per_s": 2.0, "tokens_per_s": 6.0} == rates(client())
    assert {"requests_per_s": 0.0, "tokens_per_s": 1 / 0.16} == rates(client()._replace(end_ns=160 * MS))


@pytest.mark.parametrize(
    ("worker", "server", "limit"),
    [
        (0.95, 0.5, "the load worker"),
        (0.85, 0.96, "the reference server"),
        (0.84, 0.5, "other work on this machine"),
    ],
)
def test_the_limit_is_whoever_fills_a_core(worker: float, server: float, limit: str) -> None:
    assert limit == limited_by({"the load worker": worker, "the reference server": server})
