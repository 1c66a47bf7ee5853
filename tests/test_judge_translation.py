"""The same records under other tools' definitions, each with the trap it is known for.

Four requests in closed loop, by hand: first token after 1, 2, 3 and 4 s, two more tokens a second apart each.
"""

import math
from typing import Any

import numpy as np
import pytest
from records_by_hand import SECOND, changed, records

from hxbench.judge.translation import COLUMNS, TOOLS, translated
from hxbench.records.run_directory import Records


def four(**more: Any) -> Records:
    given = {"requests": 4, "warmup": 0, "tokens": 3, "ttft_s": [1.0, 2.0, 3.0, 4.0], "gap_s": 1.0}
    return records(**{**given, **more})


def figure(run: Records, tool: str, metric: str, statistic: str) -> float:
    table = translated(run).set_index(["tool", "metric", "statistic"])
    return float(table.loc[(tool, metric, statistic), "theirs"])


def ours(run: Records, metric: str, statistic: str) -> float:
    table = translated(run).set_index(["tool", "metric", "statistic"])
    return float(table.loc[("vllm", metric, statistic), "hxbench"])


def test_every_tool_has_a_row_a_metric_and_statistic_with_a_reason() -> None:
    table = translated(four())
    assert COLUMNS == table.columns.tolist()
    assert ["vllm", "guidellm", "aiperf", "mlperf"] == list(TOOLS)
    assert len(TOOLS) * (4 * 4 + 3) == len(table)
    assert not table["why"].eq("").any()


@pytest.mark.parametrize(
    ("tool", "p50"),
    [("vllm", 2.5), ("aiperf", 2.5), ("guidellm", 2.0), ("mlperf", 3.0)],
)
def test_the_median_of_1_2_3_and_4_is_each_tools_own(tool: str, p50: float) -> None:
    """numpy interpolates, an inverted distribution takes a value seen, LoadGen the one a rank higher."""
    run = changed(four(), "requests", connected_ns=None)
    assert (2.0, p50) == (ours(run, "ttft", "p50"), figure(run, tool, "ttft", "p50"))


def test_a_failed_request_makes_our_tail_infinite_and_leaves_theirs_alone() -> None:
    run = four(failed={3})
    assert math.isnan(ours(run, "ttft", "p99"))
    assert 3.0 == pytest.approx(figure(run, "guidellm", "ttft", "p99"), abs=1e-4)
    assert (4.0, 3.0) == (ours(run, "requests", "count"), figure(run, "vllm", "requests", "count"))


def test_only_loadgen_counts_from_when_a_request_was_due() -> None:
    run = four(loop="open")
    late = changed(run, "schedule", due_ns=run.schedule["due_ns"] - SECOND)
    late = changed(late, "requests", due_ns=late.requests["due_ns"] - SECOND)
    assert 3.5 == ours(late, "ttft", "mean") == figure(late, "mlperf", "ttft", "mean")
    assert 2.5 == figure(late, "vllm", "ttft", "mean") == figure(late, "aiperf", "ttft", "mean")


def test_guidellm_leaves_connecting_out() -> None:
    run = four()
    slow = changed(run, "requests", connected_ns=run.requests["dispatched_ns"] + SECOND // 2)
    assert 2.0 == figure(slow, "guidellm", "ttft", "mean")
    assert 2.5 == figure(slow, "vllm", "ttft", "mean")


def test_guidellms_tpot_holds_the_time_to_the_first_token() -> None:
    """(1 + 2) / 3, (2 + 2) / 3, (3 + 2) / 3 and (4 + 2) / 3 s, against 1 s between tokens."""
    run = changed(four(), "requests", connected_ns=None)
    assert 1.5 == pytest.approx(figure(run, "guidellm", "tpot", "mean"))
    assert 1.0 == ours(run, "tpot", "mean") == figure(run, "vllm", "tpot", "mean")


def coalesced() -> Records:
    """One request: its first read carried one token, its second, 2 s later, two."""
    run = records(requests=1, warmup=0, tokens=2, ttft_s=[1.0], gap_s=2.0)
    run = changed(run, "reads", deltas=[1, 2])
    return changed(run, "requests", output_tokens=3, deltas=3)


def test_vllms_itl_counts_pieces_that_came_together_as_gaps_of_nothing() -> None:
    run = coalesced()
    assert (2.0, 1.0) == (ours(run, "itl", "mean"), figure(run, "vllm", "itl", "mean"))
    assert 0.1 == pytest.approx(figure(run, "vllm", "itl", "p50") - 0.9)


def test_aiperfs_itl_is_one_mean_a_request() -> None:
    run = coalesced()
    assert 1.0 == figure(run, "aiperf", "itl", "p99") == figure(run, "aiperf", "tpot", "p99")
    assert 2.0 == ours(run, "itl", "p99")


def first_read_of_two() -> Records:
    """One request of three tokens: two in its first read, one 2 s later."""
    run = records(requests=1, warmup=0, tokens=2, ttft_s=[1.0], gap_s=2.0)
    run = changed(run, "reads", deltas=[2, 1])
    return changed(run, "requests", output_tokens=3, deltas=3, first_read_deltas=2)


def test_only_ours_leaves_the_tokens_of_the_first_read_out() -> None:
    run = first_read_of_two()
    assert 2.0 == ours(run, "tpot", "mean")
    assert [1.0, 1.0, 1.0] == [figure(run, tool, "tpot", "mean") for tool in ("vllm", "aiperf", "mlperf")]


def test_guidellm_weighs_a_mean_by_its_tokens() -> None:
    """Gaps of 1 s in an answer of 2 tokens and of 4 s in one of 4: (1*1 + 3*4) / 4, not (1 + 4) / 2."""
    run = records(requests=2, warmup=0, tokens=4, ttft_s=[1.0, 1.0], gap_s=[1.0, 4.0])
    reads = run.reads.drop(index=[1, 2]).reset_index(drop=True)  # of the first, its first and last are left
    run = changed(run, "requests", output_tokens=[2, 4], deltas=[2, 4], reads=[2, 4])
    run = Records(**{**vars(run), "reads": reads})
    assert (3 + 3 * 4) / 4 == figure(run, "guidellm", "itl", "mean")
    assert (3 + 4) / 2 == figure(run, "aiperf", "itl", "mean")


def test_e2e_ends_with_the_stream_for_guidellm_and_loadgen() -> None:
    run = four()
    run = changed(run, "requests", connected_ns=None, done_ns=run.requests["done_ns"] + SECOND)
    assert 4.5 == figure(run, "vllm", "e2e", "mean") == figure(run, "aiperf", "e2e", "mean")
    assert 5.5 == figure(run, "guidellm", "e2e", "mean") == figure(run, "mlperf", "e2e", "mean")


def test_their_throughput_goes_from_the_first_request_to_the_last_end() -> None:
    """Four requests of 3, 4, 5 and 6 s one after another, 1 ms apart: 18.003 s; LoadGen counts three."""
    run = four()
    assert 12 / 18.003 == pytest.approx(figure(run, "vllm", "throughput_tokens", "rate"))
    assert 4 / 18.003 == pytest.approx(figure(run, "aiperf", "throughput_requests", "rate"))
    assert 3 / 18.003 == pytest.approx(figure(run, "mlperf", "throughput_requests", "rate"))


def test_the_spans_of_trials_are_added_up() -> None:
    run = four(trials=3)
    assert 3 * 12 / (3 * 18.003) == pytest.approx(figure(run, "vllm", "throughput_tokens", "rate"))


def test_loadgen_has_no_itl() -> None:
    assert math.isnan(figure(four(), "mlperf", "itl", "mean"))


def test_a_warmup_is_counted_by_none() -> None:
    run = four(warmup=5)
    assert {4.0} == set(translated(run).query("metric == 'requests'")["theirs"])


def test_tokens_nobody_stated_give_no_figure() -> None:
    run = changed(four(), "requests", output_tokens=None, token_source=None)
    assert math.isnan(figure(run, "vllm", "throughput_tokens", "rate"))
    assert math.isnan(figure(run, "vllm", "tpot", "mean"))


def test_no_good_request_gives_no_figure_and_no_error() -> None:
    table = translated(four(failed={0, 1, 2, 3}))
    figures = table[table["metric"] != "requests"]["theirs"].to_numpy(dtype="float64")
    assert np.isnan(figures).all()
    assert {0.0} == set(table[table["metric"] == "requests"]["theirs"])
