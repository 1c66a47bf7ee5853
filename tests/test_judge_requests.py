"""The metrics of single requests, by their definitions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import reference
from records_by_hand import SECOND, START_NS, changed, frame, records

from hxbench.judge import metrics
from hxbench.records.run_directory import Records


def measured(run: Records) -> pd.DataFrame:
    rows = metrics.per_request(run)
    return rows[rows["attempted"]].reset_index(drop=True)


def streamed(loop: str = "closed", **more: object) -> Records:
    """One request as in TOK-basic: due at -0.05 s, sent at 0, tokens at 0.25, 0.3, 0.35 (two), 0.45 s."""
    run = records(requests=1, warmup=0, loop=loop, tokens=5)
    zero = START_NS + SECOND // 20
    stamps = [zero + round(s * SECOND) for s in (0.25, 0.30, 0.35, 0.45)]
    given: dict[str, object] = {
        "due_ns": zero - SECOND // 20 if loop == "open" else None,
        "dispatched_ns": zero,
        "first_byte_ns": zero + SECOND // 5,
        "first_token_ns": stamps[0],
        "first_output_ns": stamps[1],
        "last_token_ns": stamps[-1],
        "done_ns": zero + SECOND // 2,
        "deltas": 5,
        "first_read_deltas": 1,
    }
    run = changed(run, "requests", **(given | more))
    columns = {"request_id": run.requests["request_id"][0], "index": range(4), "received_ns": stamps}
    return replace(run, reads=frame("reads", columns | {"deltas": [1, 1, 2, 1]}))


def test_times_are_those_of_the_reference_case() -> None:
    expected = reference.case("TOK-basic")["expected"]
    row = measured(streamed()).iloc[0]
    assert expected["ttft_from_send"] == pytest.approx(row["ttft_s"])
    assert expected["e2e_from_send_last_token"] == pytest.approx(row["e2e_s"])
    assert expected["tpot_endpoints_(last-first)/tokens_after_first_chunk"] == pytest.approx(row["tpot_s"])
    gaps = metrics.token_gaps(streamed())["gap_s"]
    assert expected["chunk_gaps"] == pytest.approx(list(gaps))


def test_in_open_loop_the_clock_starts_when_the_request_was_due() -> None:
    row = measured(streamed("open")).iloc[0]
    assert reference.case("TOK-basic")["expected"]["ttft_from_schedule"] == pytest.approx(row["ttft_s"])
    assert (0.25, 0.5, 0.35) == pytest.approx((row["ttft_dispatch_s"], row["e2e_s"], row["ttfo_s"]))
    assert (0.25, 0.05) == pytest.approx((row["ttfb_s"], row["send_lag_s"]))


def test_ttfo_and_ttfb_start_with_the_dispatch_in_closed_loop() -> None:
    row = measured(streamed()).iloc[0]
    assert (0.2, 0.3) == pytest.approx((row["ttfb_s"], row["ttfo_s"]))


def test_more_tokens_than_deltas_are_shared_out_by_deltas() -> None:
    row = measured(streamed(output_tokens=10)).iloc[0]
    assert row["tpot_s"] == pytest.approx(0.2 / (10 - 2))


def test_stated_tokens_of_the_first_read_go_before_shares() -> None:
    run = changed(streamed(output_tokens=10), "reads", tokens=[4, 1, 4, 1])
    assert measured(run).iloc[0]["tpot_s"] == pytest.approx(0.2 / 6)


@pytest.mark.parametrize("counts", [{"deltas": 1, "output_tokens": 1}, {"deltas": 1, "output_tokens": 7}])
def test_an_answer_in_one_read_has_no_tpot(counts: dict[str, int]) -> None:
    run = changed(streamed(), "requests", **counts)
    assert np.isnan(measured(run).iloc[0]["tpot_s"])


def test_a_first_read_with_all_tokens_leaves_no_tpot() -> None:
    all_first = changed(streamed(output_tokens=10), "reads", tokens=[10, 0, 0, 0])
    assert np.isnan(measured(all_first).iloc[0]["tpot_s"])
    one_read = changed(streamed(output_tokens=7, deltas=1), "reads", tokens=[1, None, None, None])
    assert np.isnan(measured(one_read).iloc[0]["tpot_s"])


def test_what_never_came_has_no_time() -> None:
    row = measured(records(requests=1, failed=[0])).iloc[0]
    assert (False, "failed", "headers") == (row["ok"], row["outcome"], row["error_phase"])
    assert np.isnan(row[["ttft_s", "e2e_s", "tpot_s", "ttfb_s"]].astype(float)).all()


def test_connect_time_is_its_own() -> None:
    assert measured(records(requests=1)).iloc[0]["connect_s"] == pytest.approx(59e-6)


def test_zero_seconds_is_the_start_of_the_measured_window() -> None:
    rows = metrics.per_request(records(requests=3, warmup=2, ttft_s=0.1, gap_s=0.01, trials=3))
    first = rows[rows["attempted"]].groupby("trial")["dispatched_s"].min()
    assert [0.0, 0.0, 0.0] == list(first)
    assert rows["dispatched_s"].min() == pytest.approx(-2 * (0.1 + 0.31 + 0.001))


def test_warm_up_does_not_belong_to_n_and_failures_do() -> None:
    rows = metrics.per_request(records(requests=5, warmup=3, failed=[1, 2]))
    assert (8, 5, 3) == (len(rows), rows["attempted"].sum(), (rows["ok"] & rows["attempted"]).sum())


def test_a_planned_request_that_left_no_row_is_unfinished_and_belongs_to_n() -> None:
    run = records(requests=5)
    rows = measured(replace(run, requests=run.requests.iloc[:-2]))
    assert ["ok", "ok", "ok", "unfinished", "unfinished"] == list(rows["outcome"])
    assert not rows["ok"].iloc[-1]


def cancelled(loop: str, seconds_due: float | None) -> Records:
    run = records(requests=4, warmup=0, loop=loop)
    last = run.requests["request_id"] == run.requests["request_id"].iloc[-1]
    due = None if seconds_due is None else START_NS + round(seconds_due * SECOND)
    outcomes = run.requests["outcome"].mask(last, "cancelled")
    return changed(
        run,
        "requests",
        outcome=outcomes,
        dispatched_ns=run.requests["dispatched_ns"].mask(last),
        due_ns=run.requests["due_ns"].mask(last, due),
    )


def test_a_request_never_sent_in_closed_loop_does_not_belong_to_n() -> None:
    assert len(measured(cancelled("closed", None))) == 3


@pytest.mark.parametrize(("due", "attempted"), [(1.5, 4), (2.0, 3)])
def test_a_request_never_sent_in_open_loop_counts_when_it_was_due(due: float, attempted: int) -> None:
    assert attempted == len(measured(cancelled("open", due)))


def test_in_closed_loop_the_send_lag_is_how_long_a_user_was_free() -> None:
    rows = measured(records(requests=6, warmup=0, users=2, ttft_s=0.1, gap_s=0.01))
    assert [0.001] * 4 == pytest.approx(list(rows["send_lag_s"].dropna()))


def test_the_time_in_which_users_think_is_no_send_lag() -> None:
    run = records(requests=3, warmup=0, users=1, profile={"load.think_time": "0.25 s"})
    stamps = {
        "dispatched_ns": [START_NS, START_NS + 13 * SECOND // 10, START_NS + 27 * SECOND // 10],
        "done_ns": [START_NS + SECOND, START_NS + 24 * SECOND // 10, START_NS + 3 * SECOND],
    }
    rows = measured(changed(run, "requests", **stamps))
    assert [0.05, 0.05] == pytest.approx(list(rows["send_lag_s"].dropna()))


def test_users_whose_thoughts_are_drawn_may_overtake_each_other() -> None:
    drawn = {"distribution": "exponential", "mean": "1 s"}
    run = records(requests=4, warmup=0, users=2, profile={"load.think_time": drawn})
    first, second = (run.profile.load.thinking_s(1, f"t1-00000{number}") for number in (0, 1))
    done = [1.0, 1.0 + first - second + 0.5, 50.0, 60.0]  # the second is ready half a second later
    sent = [0.0, 0.0, 1.0 + first + 0.02, 1.0 + first + 0.53]
    stamps = {"dispatched_ns": sent, "done_ns": done}
    found = {name: [START_NS + round(s * SECOND) for s in times] for name, times in stamps.items()}
    rows = measured(changed(run, "requests", **found))
    assert [0.02, 0.03] == pytest.approx(list(rows["send_lag_s"].dropna()), abs=1e-6)


def test_with_a_cap_the_send_lag_counts_from_when_a_place_was_free() -> None:
    run = records(requests=4, warmup=0, loop="open", profile={"load.max_in_flight": 2})
    sent, done = [0.0, 0.0, 0.102, 0.303], [0.1, 0.3, 0.5, 0.6]
    run = changed(
        run,
        "requests",
        due_ns=[START_NS + round(s * SECOND) for s in (0.0, 0.0, 0.01, 0.02)],
        dispatched_ns=[START_NS + round(s * SECOND) for s in sent],
        first_token_ns=[START_NS + round((s + 0.05) * SECOND) for s in sent],
        done_ns=[START_NS + round(s * SECOND) for s in done],
    )
    rows = measured(run)
    assert [0, 0, 0.002, 0.003] == pytest.approx(list(rows["send_lag_s"]), abs=1e-9)
    assert [0.05, 0.05, 0.142, 0.333] == pytest.approx(list(rows["ttft_s"]))
    assert [0.05] * 4 == pytest.approx(list(rows["ttft_dispatch_s"]))


def test_more_users_than_requests_have_no_send_lag() -> None:
    assert measured(records(requests=2, warmup=0, users=5))["send_lag_s"].isna().all()


def test_without_a_measured_window_there_are_no_times() -> None:
    run = records(requests=3)
    rows = metrics.per_request(replace(run, phases=run.phases.iloc[:0]))
    assert rows["dispatched_s"].isna().all()
    assert rows["ttft_s"].notna().all()


def test_a_window_without_length_is_none() -> None:
    run = records(requests=3)
    assert changed(run, "phases", end_ns=run.phases["start_ns"]).windows.empty


def staged_phases(run: Records, *ends_s: float | None) -> Records:
    """The phases of stages of a second each, measured from START_NS on; an end may be missing."""
    starts = [START_NS + number * SECOND for number in range(len(ends_s))]
    ends = [None if end is None else START_NS + round(end * SECOND) for end in ends_s]
    columns = {"trial": 1, "target": "main", "phase": "measure", "start_ns": starts, "end_ns": ends}
    stages = [f"stage-{number}" for number in range(len(ends_s))]
    return replace(run, phases=frame("phases", columns | {"stage": stages}))


def test_the_window_of_stages_is_all_of_them() -> None:
    run = staged_phases(records(requests=3, warmup=0, loop="open"), 1.0, 2.0)
    assert [[1, START_NS, START_NS + 2 * SECOND]] == run.windows.to_numpy().tolist()


def test_a_window_whose_last_stage_never_ended_is_none() -> None:
    assert staged_phases(records(requests=3, warmup=0, loop="open"), 1.0, None).windows.empty


def test_the_window_of_a_trial_is_its_measured_phase() -> None:
    run = records(requests=3, warmup=0, loop="open")
    assert [[1, START_NS, START_NS + 3 * SECOND // 2]] == run.windows.to_numpy().tolist()
