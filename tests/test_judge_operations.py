"""What a request was to the client, in the terms of OpenTelemetry's GenAI metrics."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import SECOND, changed, exchange, records

from hxbench.judge.measured import Measured
from hxbench.judge.operations import operations, response_model
from hxbench.records.run_directory import Records

MILLISECOND = SECOND // 1000
GOOD = records(requests=1, warmup=0, tokens=5)
FAILED = records(requests=1, warmup=0, failed={0})


def of(run: Records) -> pd.DataFrame:
    return operations(Measured(run))


def one(**columns: Any) -> Records:
    """One request of five tokens; `columns` of the table of requests are as given."""
    return changed(GOOD, "requests", **columns)


def failed(**columns: Any) -> Records:
    """One that failed, half a second after it was dispatched."""
    done_ns = FAILED.requests["dispatched_ns"] + SECOND // 2
    return changed(FAILED, "requests", **{"done_ns": done_ns, **columns})


def test_a_good_request_has_all_times_from_its_dispatch_and_the_servers_counts() -> None:
    run = records(requests=1, warmup=1, tokens=5, ttft_s=0.25, gap_s=0.05)
    done_ns = run.requests["last_token_ns"] + 10 * MILLISECOND
    [row] = of(changed(run, "requests", done_ns=done_ns)).to_dict("records")
    assert ("ok", True) == (row["outcome"], pd.isna(row["error_type"]))
    assert (0.46, 0.46) == (row["operation_s"], row["request_s"])
    assert (0.25, 0.05) == (row["first_token_s"], row["per_token_s"])
    assert (40, 5) == (row["input_tokens"], row["output_tokens"])


def test_in_open_loop_the_operation_begins_when_it_was_due_and_the_servers_part_when_it_was_sent() -> None:
    run = records(requests=1, warmup=0, loop="open", tokens=5, ttft_s=0.25, gap_s=0.05)
    due_ns = run.requests["dispatched_ns"] - 300 * MILLISECOND
    [row] = of(changed(changed(run, "requests", due_ns=due_ns), "schedule", due_ns=due_ns)).to_dict("records")
    assert (0.75, 0.45, 0.25) == (row["operation_s"], row["request_s"], row["first_token_s"])


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"http_status": 503, "error_phase": "headers", "error": "HTTP 503: busy"}, "503"),
        ({"http_status": 200, "error_phase": "mid_stream", "error": "reset"}, "mid_stream"),
        ({"http_status": 200, "error_phase": "headers", "error": "content type text/html"}, "headers"),
        ({"http_status": None, "error_phase": "connect", "error": "connect: refused"}, "connect"),
        ({"http_status": None, "error_phase": "connect", "error": None}, "connect"),
        ({"http_status": 200, "error_phase": "mid_stream", "error": "time limit: no token"}, "timeout"),
        ({"http_status": None, "error_phase": "headers", "error": "time limit: not done"}, "timeout"),
        ({"outcome": "unfinished", "http_status": 200, "error_phase": "mid_stream"}, "unfinished"),
        ({"outcome": "cancelled", "http_status": None, "error_phase": None}, "cancelled"),
    ],
)  # fmt: skip
def test_a_failure_has_a_kind_and_its_duration_and_nothing_else(columns: dict[str, Any], kind: str) -> None:
    [row] = of(failed(**columns)).to_dict("records")
    assert (kind, 0.5, 0.5) == (row["error_type"], row["operation_s"], row["request_s"])
    rest = [row[name] for name in ("first_token_s", "per_token_s", "input_tokens", "output_tokens")]
    assert np.isnan(rest).all()


def test_a_request_that_broke_off_does_not_count_the_token_it_had() -> None:
    [row] = of(one(outcome="failed", error_phase="mid_stream")).to_dict("records")
    assert np.isnan([row["first_token_s"], row["per_token_s"], row["output_tokens"]]).all()


def test_a_request_that_never_came_back_has_no_duration() -> None:
    run = records(requests=2, warmup=0)
    rows = of(replace(run, requests=run.requests.iloc[:1]))
    assert ["ok", "unfinished"] == rows["outcome"].tolist()
    assert [False, True] == rows["operation_s"].isna().tolist()
    assert "unfinished" == rows["error_type"][1]


def test_tokens_that_the_server_did_not_state_are_not_counted() -> None:
    for source in ("deltas", None):
        row = of(one(token_source=source)).iloc[0]
        assert np.isnan([row["input_tokens"], row["output_tokens"]]).all()


def test_an_answer_in_one_piece_shows_no_first_token() -> None:
    run = records(requests=1, warmup=0, profile={"workload.stream": False})
    row = of(run).iloc[0]
    assert np.isnan(row["first_token_s"])
    assert 0 < row["request_s"]


def test_a_run_without_a_request_has_no_rows() -> None:
    assert 0 == len(of(changed(GOOD, "schedule", phase="warmup")))


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ('data: {"id": "1", "model": "gpt-4-0613", "choices": []}\n\n', "gpt-4-0613"),
        ('{"model":"a/b:c"}', "a/b:c"),
        ('{"content": "\\"model\\": \\"no\\""}', None),
        ('{"model": null}', None),
        ('{"model": "two\nlines"}', None),
        ("", None),
    ],
)
def test_the_answering_model_is_named_by_the_server_itself(body: str, model: str | None) -> None:
    assert model == response_model([exchange("ready"), exchange("stream", body=body)])
    assert model == response_model([exchange("whole", body=body)])


def test_without_an_answer_no_model_is_known() -> None:
    assert None is response_model([exchange("models", body={"model": "other"})])
