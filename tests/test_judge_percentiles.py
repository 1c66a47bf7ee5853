"""Percentiles over the run, and what the server says of itself, from records made by hand."""

import numpy as np
import pandas as pd
import pytest
from records_by_hand import SECOND, changed, frame, records

from hxbench.judge.measured import Measured
from hxbench.judge.percentiles import fewest, percentiles_over_time
from hxbench.judge.server_metrics import server_metrics


def test_a_window_needs_as_many_values_as_make_a_percentile_more_than_their_largest() -> None:
    assert [10, 20, 100] == [fewest(level) for level in ("p50", "p95", "p99")]


def test_requests_are_parted_into_windows_of_forty_by_when_they_were_sent() -> None:
    ttft_s = np.repeat([0.1, 0.3], 100)
    run = records(requests=200, ttft_s=ttft_s, gap_s=0.0, tokens=2, warmup=0)
    shown = percentiles_over_time(Measured(run), "ttft")
    assert 5 == len(shown)
    assert 200 == shown["n"].sum()
    assert [0.1, 0.3] == pytest.approx([shown["p95_s"].iloc[0], shown["p95_s"].iloc[-1]])
    assert shown["begin_s"].tolist()[1:] == pytest.approx(shown["end_s"].tolist()[:-1])


@pytest.mark.parametrize(
    ("requests", "known"), [(9, [False] * 3), (10, [True, False, False]), (19, [True, False, False]),
                            (20, [True, True, False]), (99, [True, True, False])],
)  # fmt: skip
def test_a_percentile_of_too_few_values_is_no_number(requests: int, known: list[bool]) -> None:
    run = records(requests=requests, warmup=0)
    shown = percentiles_over_time(Measured(run), "ttft")
    assert known == shown[["p50_s", "p95_s", "p99_s"]].iloc[0].notna().tolist()


def test_a_hundred_values_in_one_window_have_a_p99() -> None:
    run = records(requests=20, tokens=6, ttft_s=1.0, gap_s=np.r_[np.full(19, 0.01), 0.02], warmup=0)
    shown = percentiles_over_time(Measured(run), "itl")
    assert [50, 50] == shown["n"].tolist()
    run = records(requests=49, warmup=0, failed=())
    assert 1 == len(percentiles_over_time(Measured(run), "ttft"))


def test_a_failure_is_infinite_in_its_window() -> None:
    run = records(requests=20, failed=(0, 1), warmup=0)
    shown = percentiles_over_time(Measured(run), "ttft").iloc[0]
    assert (20, np.inf) == (shown["n"], shown["p95_s"])
    assert np.isfinite(shown["p50_s"])


def test_each_trial_has_windows_of_its_own() -> None:
    shown = percentiles_over_time(Measured(records(requests=100, trials=3)), "ttft")
    assert {1: 2, 2: 2, 3: 2} == shown["trial"].value_counts().to_dict()


def test_an_open_loop_goes_by_when_requests_were_due() -> None:
    shown = percentiles_over_time(Measured(records(requests=100, loop="open", warmup=0)), "ttft")
    assert shown["end_s"].iloc[-1] == pytest.approx(49.5)  # two a second


def test_a_run_without_values_has_no_windows() -> None:
    run = records(requests=3)
    nothing = changed(run, "requests", first_token_ns=None, last_token_ns=None, output_tokens=None)
    assert percentiles_over_time(Measured(nothing), "tpot").empty


def test_a_server_is_asked_for_its_requests_and_rates() -> None:
    run = records(requests=10, warmup=0, ttft_s=1.0, gap_s=0.0)
    shown = server_metrics(run)
    assert ["trial", "time_s", "processing", "waiting", "prompt_tokens_per_s", "output_tokens_per_s"] == list(
        shown
    )
    assert shown["processing"].isna().all()  # these records have counters only
    assert 320 == pytest.approx((shown["output_tokens_per_s"] * shown["time_s"].diff()).sum())


def test_gauges_are_as_the_server_says_whatever_it_calls_them() -> None:
    run = records(requests=3, warmup=0)
    start_ns = int(run.phases["start_ns"].min())
    said = frame("series", {
        "time_ns": [start_ns, start_ns + SECOND], "trial": 1, "target": "main", "source": "scrape",
        "name": ["vllm:num_requests_waiting"] * 2, "labels": "{}", "value": [1.0, 4.0],
    })  # fmt: skip
    shown = server_metrics(changed(run, "series", **{name: said[name] for name in said}))
    assert [1.0, 4.0] == shown["waiting"].tolist()


def test_a_server_without_metrics_says_nothing() -> None:
    run = records(requests=3)
    silent = changed(run, "series", source=["host"] * len(run.series))
    assert isinstance(server_metrics(silent), pd.DataFrame)
    assert server_metrics(silent).empty
