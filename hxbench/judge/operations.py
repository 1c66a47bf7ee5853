"""What the client saw of each request that counts, in the terms of OpenTelemetry's GenAI metrics."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hxbench.judge.measured import Measured
from hxbench.judge.requests import number, seconds

TIMEOUT = "timeout"
_TIME_LIMIT = "time limit:"  # how the load worker's reason begins
_MODEL = re.compile(r'"model"\s*:\s*"([^"\\\x00-\x1f]{1,200})"')


def operations(measured: Measured) -> pd.DataFrame:
    """Returns one row for each of the N requests; what did not happen, or was not stated, is NaN.

    outcome; error_type, null of a good one. operation_s from when it was due (open loop) or dispatched
    (closed) to its end, request_s always from its dispatch: those of failed ones as well. Of good ones alone:
    first_token_s from dispatch where answers were streamed, per_token_s (tpot of `metrics`), and the server's
    own counts of tokens, input_tokens and output_tokens.
    """
    attempted, profile = measured.attempted, measured.records.profile
    stored = measured.records.requests.set_index("request_id")
    rows = stored.reindex(attempted["request_id"]).reset_index(drop=True)
    good = attempted["ok"].to_numpy()
    stated = good & rows["token_source"].isin(["usage"]).to_numpy()  # deltas are no tokens
    request_s = seconds(rows["done_ns"] - rows["dispatched_ns"])
    since_due_s = seconds(rows["done_ns"] - rows["due_ns"])
    streamed = good & profile.workload.stream
    return pd.DataFrame(
        {
            "outcome": attempted["outcome"],
            "error_type": _error_types(attempted, rows["http_status"]),
            "operation_s": since_due_s if profile.load.loop == "open" else request_s,
            "request_s": request_s,
            "first_token_s": np.where(streamed, attempted["ttft_dispatch_s"], np.nan),
            "per_token_s": np.where(good, attempted["tpot_s"], np.nan),
            "input_tokens": np.where(stated, number(rows["prompt_tokens"]), np.nan),
            "output_tokens": np.where(stated, number(rows["output_tokens"]), np.nan),
        }
    )


def _error_types(attempted: pd.DataFrame, statuses: pd.Series) -> pd.Series:
    """Returns what made each request fail, of few kinds; null of a good one.

    timeout; the HTTP status other than 200; else where it failed: connect, headers, before_first_token,
    mid_stream, in_band, empty, truncated; unfinished or cancelled where the load was stopped before its end.
    """
    failed = attempted.assign(http_status=statuses)[~attempted["ok"]]
    found = pd.Series(pd.NA, index=attempted.index, dtype="string")
    found[failed.index] = [_error_type(row) for row in failed.to_dict("records")]
    return found


def _error_type(row: Mapping[Any, Any]) -> str:
    if row["outcome"] != "failed":
        return str(row["outcome"])
    if pd.notna(row["error"]) and row["error"].startswith(_TIME_LIMIT):
        return TIMEOUT
    if pd.notna(row["http_status"]) and row["http_status"] != 200:
        return str(row["http_status"])
    return str(row["error_phase"])


def response_model(exchanges: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns the model's name by the server's own word, in its answer to the request before the load."""
    body = next((each["body"] for each in exchanges if each["name"] in ("stream", "whole")), "")
    found = _MODEL.search(body)
    return found[1] if found else None
