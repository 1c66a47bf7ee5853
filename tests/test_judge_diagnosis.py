"""Where a request's time went, and what the slow tail waited for."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import SECOND, changed, frame, records

from hxbench.judge.diagnosis import PARTS, sentence, waterfall
from hxbench.judge.measured import Measured
from hxbench.records.run_directory import Records

MS = 1_000_000


def one(loop: str = "open", **stamps_ms: float) -> Records:
    """One request that was due, or sent, at 0 ms, with these stamps."""
    run = records(requests=1, warmup=0, loop=loop, tokens=2, ttft_s=[0.5], gap_s=0.1)
    zero = int(run.requests["dispatched_ns"].iloc[0])
    stamps = {f"{name}_ns": zero + round(ms * MS) for name, ms in stamps_ms.items()}
    return changed(run, "requests", **stamps)


def said(run: Records) -> str | None:
    return sentence(Measured(run))


def test_the_parts_of_a_request_by_hand() -> None:
    stamps = {"dispatched": 10, "connect_start": 12, "connected": 15, "sent": 16, "first_byte": 200}
    [row] = waterfall(one(**stamps, first_token=500, last_token=600)).to_dict("records")
    expected = {"dispatch_wait_ns": 10, "rest_ns": 2, "connect_ns": 3, "send_ns": 1, "server_ns": 184}
    expected |= {"first_token_ns": 300, "decode_ns": 100, "total_ns": 600}
    assert {name: ms * MS for name, ms in expected.items()} == {name: row[name] for name in expected}
    assert (0.394, 0.09, 0.1) == (
        pytest.approx(row["server_queue_s"]),
        row["server_prefill_s"],
        row["server_decode_s"],
    )


def test_a_connection_that_stood_before_costs_a_request_nothing() -> None:
    run = one(dispatched=10, connect_start=-30, connected=-20, sent=11, first_byte=20)
    [row] = waterfall(run).to_dict("records")
    assert (10 * MS, 0, 0, 1 * MS) == tuple(row[name] for name in list(PARTS)[:4])


def test_in_a_closed_loop_nothing_is_due_before_it_is_sent() -> None:
    [row] = waterfall(one("closed")).to_dict("records")
    assert (0, 600 * MS) == (row["dispatch_wait_ns"], row["total_ns"])


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_the_parts_add_up_to_e2e_to_the_nanosecond(loop: str) -> None:
    run = records(requests=200, loop=loop, users=4 if loop == "closed" else 1)
    scatter = np.random.default_rng(3).integers(-50 * MS, 50 * MS, len(run.requests))
    run = changed(run, "requests", connected_ns=run.requests["connected_ns"] + scatter, sent_ns=None)
    found = waterfall(run)
    assert 200 == len(found)
    assert (found[list(PARTS)] >= 0).all(axis=None)
    assert (found[list(PARTS)].sum(axis=1) == found["total_ns"]).all()
    e2e_s = Measured(run).attempted.set_index("request_id")["e2e_s"]
    assert e2e_s[found["request_id"]].tolist() == pytest.approx((found["total_ns"] / SECOND).tolist())


def test_the_slowest_comes_first_and_failures_are_left_out() -> None:
    found = waterfall(records(requests=3, warmup=0, ttft_s=[1.0, 3.0, 2.0], failed={1}))
    assert ["t1-000002", "t1-000000"] == found["request_id"].tolist()


def test_what_the_server_does_not_state_is_not_a_number() -> None:
    run = changed(records(requests=3), "requests", server_prefill_ns=None)
    assert waterfall(run)["server_queue_s"].isna().all()
    assert waterfall(run)["server_decode_s"].notna().all()


def test_no_request_has_no_parts() -> None:
    assert [] == waterfall(records(requests=2, failed={0, 1})).to_dict("records")


TAIL = np.array([*[0.1] * 36, *[0.5] * 4])  # p95 is 0.4 s over the median


def slow(**more: Any) -> Records:
    """Forty requests of which four took 0.4 s longer to their first token."""
    return records(requests=40, warmup=0, tokens=11, ttft_s=TAIL, gap_s=0.01, **more)


def prefill(run: Records, seconds: Any) -> Records:
    return changed(run, "requests", server_prefill_ns=(np.asarray(seconds) * SECOND).astype(int))


def test_too_few_requests_have_no_tail_to_speak_of() -> None:
    assert said(records(requests=19)) is None
    assert said(records(requests=20)) is not None


def test_requests_alike_have_no_slow_tail() -> None:
    run = records(requests=40, warmup=0, tokens=11, ttft_s=0.1, gap_s=0.01)
    assert "p95 of e2e is 0 s over its median, 200 ms: no slow tail" == said(run)


def test_a_wait_that_no_prefill_explains_is_a_wait_for_a_slot() -> None:
    run = prefill(slow(), np.full(40, 0.05))
    assert (
        "p95 of e2e is 400 ms over its median, 200 ms: the slowest lost 400 ms waiting for a free slot"
        == said(run)
    )


def test_a_prefill_as_long_as_the_wait_is_named() -> None:
    run = prefill(slow(), TAIL - 0.01)
    assert str(said(run)).endswith("lost 400 ms in the server's prefill")


def test_without_the_servers_times_only_the_part_is_known() -> None:
    run = changed(slow(), "requests", server_prefill_ns=None)
    assert str(said(run)).endswith("lost 400 ms before the first token")


def gauge(run: Records, name: str, full: int) -> Records:
    """Ten scrapes within the window, at `full` of which the gauge is 4."""
    window = run.phases[run.phases["phase"] == "measure"].iloc[0]
    times = np.linspace(window["start_ns"], window["end_ns"], 10).astype(int)
    more = frame(
        "series",
        {"time_ns": times, "trial": 1, "target": "main", "source": "scrape", "name": name, "labels": "",
         "value": [4.0] * full + [0.0] * (10 - full)},
    )  # fmt: skip
    return Records(**{**vars(run), "series": pd.concat([run.series, more], ignore_index=True)})


def test_the_servers_own_gauges_say_how_full_it_was() -> None:
    run = prefill(slow(), np.full(40, 0.05))
    run = gauge(gauge(run, "llamacpp:requests_processing", 9), "llamacpp:requests_deferred", 7)
    wait = "waiting for a free slot (slots busy 90 % of the window; requests waiting in 70 % of it)"
    assert str(said(run)).endswith(wait)


def test_a_server_elsewhere_has_no_known_number_of_slots() -> None:
    elsewhere = {"target.server": "http://127.0.0.1:1", "target.extra_body": {}}
    run = gauge(prefill(slow(profile=elsewhere), np.full(40, 0.05)), "vllm:num_requests_waiting", 3)
    assert str(said(run)).endswith("waiting for a free slot (requests waiting in 30 % of it)")


def test_a_slow_decode_is_named_and_longer_answers_with_it() -> None:
    run = records(requests=40, warmup=0, tokens=11, ttft_s=0.1, gap_s=TAIL)
    assert str(said(run)).endswith("lost 4 s decoding")
    tokens = np.where(TAIL > 0.1, 50, 10)
    assert str(said(changed(run, "requests", output_tokens=tokens))).endswith("decoding longer answers")
    assert str(said(changed(run, "requests", output_tokens=None))).endswith("lost 4 s decoding")


def test_a_wait_to_be_sent_names_the_cap() -> None:
    load = {"limits.requests": 100_000}
    run = records(requests=40, warmup=0, tokens=2, loop="open", ttft_s=0.1, gap_s=0.1, profile=load)
    due = run.requests["due_ns"] - (np.where(TAIL > 0.1, 0.4, 0) * SECOND).astype(int)
    assert str(said(changed(run, "requests", due_ns=due))).endswith("lost 400 ms waiting to be sent")
    capped = records(
        requests=40, warmup=0, tokens=2, loop="open", ttft_s=0.1, gap_s=0.1,
        profile=load | {"load.max_in_flight": 3},
    )  # fmt: skip
    late = changed(capped, "requests", due_ns=due)
    assert str(said(late)).endswith("lost 400 ms waiting to be sent (at most 3 in flight)")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("connected_ns", "connecting"),
        ("sent_ns", "sending the request"),
        ("connect_start_ns", "before connecting"),
    ],
)
def test_what_happens_before_the_server_has_the_request_is_named(column: str, words: str) -> None:
    run = slow()
    late = run.requests[column] + (np.where(TAIL > 0.1, 0.4, 0) * SECOND).astype(int)
    assert str(said(changed(run, "requests", **{column: late}))).endswith(f"lost 400 ms {words}")
