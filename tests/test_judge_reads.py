"""Gaps between reads, and rates over time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from records_by_hand import SECOND, START_NS, changed, frame, records

from hxbench.judge import metrics, reads
from hxbench.judge.measured import Measured
from hxbench.judge.rates import over_time

EVEN = {"ttft_s": 0.1, "gap_s": 0.01, "warmup": 0}


def test_every_gap_between_the_reads_of_a_request_is_one_value() -> None:
    gaps = metrics.token_gaps(records(requests=3, tokens=4, **EVEN))
    assert [0.01] * 9 == pytest.approx(list(gaps["gap_s"]))
    assert ["t1-000000"] * 3 == list(gaps["request_id"][:3])
    assert [0.11, 0.12, 0.13] == pytest.approx(list(gaps["time_s"][:3]))


def test_reads_may_lie_in_any_order() -> None:
    run = records(requests=20)
    shuffled = replace(run, reads=run.reads.sample(frac=1, random_state=1))
    assert metrics.token_gaps(run)["gap_s"].sum() == pytest.approx(
        metrics.token_gaps(shuffled)["gap_s"].sum()
    )
    assert metrics.token_gaps(shuffled)["gap_s"].min() > 0


def test_reads_of_requests_nobody_planned_are_left_out() -> None:
    run = records(requests=2, tokens=4, **EVEN)
    strange = changed(run, "reads", request_id=["x"] * 4 + ["t1-000001"] * 4)
    assert ["t1-000001"] * 3 == list(metrics.token_gaps(strange)["request_id"])


def test_gaps_say_whether_their_request_succeeded_and_belongs_to_n() -> None:
    gaps = metrics.token_gaps(records(requests=2, warmup=1, tokens=3))
    assert [False, False, True, True, True, True] == list(gaps["attempted"])
    assert gaps["ok"].all()


def test_without_a_window_gaps_have_no_time() -> None:
    run = records(requests=1)
    gaps = metrics.token_gaps(replace(run, phases=run.phases.iloc[:0]))
    assert gaps["time_s"].isna().all()
    assert gaps["gap_s"].notna().all()


def test_throughput_is_what_arrived_in_the_window() -> None:
    run = records(requests=10, tokens=32, **EVEN)
    length_s = 9 * 0.411 + 0.41
    assert Measured(run).token_rate.trials[0] == pytest.approx(320 / length_s)
    assert Measured(run).request_rate.trials[0] == pytest.approx(10 / length_s)


def test_a_warm_up_answer_that_ends_in_the_window_counts_for_what_arrives_there() -> None:
    run = records(requests=1, warmup=1, tokens=11, ttft_s=0.1, gap_s=0.1)
    phases = run.phases.assign(start_ns=[START_NS, START_NS + SECOND // 2, START_NS + 10 * SECOND])
    inside = replace(run, phases=phases.assign(end_ns=[START_NS + SECOND // 2, START_NS + SECOND, None]))
    # the first answer's tokens come at 0.1, 0.2, ... 1.1 s: six of them between 0.5 and 1 s
    assert Measured(inside).token_rate.trials[0] == pytest.approx(6 / 0.5)


def test_tokens_are_shared_out_by_deltas_unless_stated() -> None:
    run = records(requests=1, tokens=4, **EVEN)
    run = changed(run, "requests", output_tokens=8)
    assert Measured(run).token_rate.whole_run == pytest.approx(8 / 0.13)
    stated = changed(run, "reads", tokens=[1, 1, 1, 2])
    assert Measured(stated).token_rate.whole_run == pytest.approx(5 / 0.13)
    half = changed(run, "reads", tokens=[1, 1, None, 2])
    assert Measured(half).token_rate.whole_run == pytest.approx(8 / 0.13)


def test_without_usage_there_is_no_token_rate() -> None:
    run = changed(records(requests=4), "requests", output_tokens=None)
    assert (0, None) == (len(Measured(run).token_rate.slices), Measured(run).token_rate.whole_run)


def test_nothing_but_failures_is_a_rate_of_zero() -> None:
    run = records(requests=4, warmup=0, failed=range(4))
    assert (0.0, 0.0) == (Measured(run).token_rate.trials[0], Measured(run).request_rate.trials[0])


def test_over_time_adds_up_to_what_there_was() -> None:
    run = records(requests=50, failed=[3])
    rows = metrics.over_time(run)
    good = 49 + 10
    assert good == pytest.approx(rows["requests_per_s"].sum())
    assert good * 32 == pytest.approx(rows["output_tokens_per_s"].sum())
    assert rows["failures_per_s"].sum() == pytest.approx(1)
    assert rows["in_flight"].iloc[3] == pytest.approx(1, abs=0.01)


def test_over_time_knows_what_was_in_flight() -> None:
    run = records(requests=2, users=2, tokens=2, warmup=0, ttft_s=[1.0, 2.0], gap_s=0.5)
    rows = over_time(run, metrics.per_request(run), width_s=0.5)
    assert [2, 2, 2, 1, 1] == pytest.approx(list(rows["in_flight"]))
    assert [0.0, 0.5, 1.0, 1.5, 2.0] == list(rows["time_s"])


def test_over_time_holds_what_was_due_against_what_was_sent() -> None:
    run = records(requests=4, warmup=0, loop="open", ttft_s=0.1, gap_s=0.01)
    late = run.requests["dispatched_ns"].where(run.requests.index != 1, START_NS + 3 * SECOND // 2)
    rows = metrics.over_time(changed(run, "requests", dispatched_ns=late))
    assert [2, 2] == list(rows["due_per_s"][:2])
    assert [1, 3] == list(rows["sent_per_s"][:2])
    assert metrics.over_time(records(requests=4))["due_per_s"].isna().all()


def test_what_never_ended_stays_in_flight() -> None:
    run = records(requests=2, users=2, tokens=2, warmup=0, ttft_s=[1.0, 2.0], gap_s=0.5)
    run = changed(run, "requests", done_ns=run.requests["done_ns"].where([True, False]))
    assert [2, 1.5] == pytest.approx(list(metrics.over_time(run)["in_flight"]))


def test_a_run_that_sent_nothing_has_no_rows_over_time() -> None:
    run = records(requests=2)
    empty = metrics.over_time(replace(run, requests=run.requests.iloc[:0]))
    assert (0, "in_flight") == (len(empty), empty.columns[-1])


def test_more_reads_than_fit_a_block_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    run = records(requests=30, trials=3, failed=[2])
    whole, rate = metrics.token_gaps(run), Measured(run).token_rate
    monkeypatch.setattr(reads, "BLOCK", 7)
    assert_frame_equal(whole, metrics.token_gaps(run))
    found = Measured(run).token_rate
    assert rate.whole_run == pytest.approx(found.whole_run)
    assert list(rate.trials) == pytest.approx(list(found.trials))


def test_reads_come_in_the_order_of_their_requests_and_by_index() -> None:
    table = frame("reads", {"request_id": ["b", "b", "a", "x", "a", "b"], "index": [0, 1, 1, 0, 0, 2]})
    rows, order = reads.in_order(table, pd.Series(["a", "b"]))
    assert ([0, 0, 1, 1, 1], [4, 2, 0, 1, 5]) == (rows.tolist(), np.arange(6)[order].tolist())
    rows, order = reads.in_order(table.iloc[:2], pd.Series(["a", "b"]))
    assert ([1, 1], slice(None)) == (rows.tolist(), order)
    rows, order = reads.in_order(table.iloc[:0], pd.Series(["a", "b"]))
    assert ([], slice(None)) == (rows.tolist(), order)
