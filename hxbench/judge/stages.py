"""What each stage of an open loop was asked to be and what it was, one row a stage."""

from typing import Any

import numpy as np
import pandas as pd

from hxbench.judge.measured import Measured
from hxbench.judge.requests import seconds, zero_ns
from hxbench.judge.samples import of_requests
from hxbench.stats.quantiles import finite, nearest_rank


def by_stage(measured: Measured) -> list[dict[str, Any]]:
    """Returns for each named stage, all trials together: N, rates a second, errors, ttft and send lag in s.

    `requested_per_s` is what the profile asks for on average, `due_per_s` what its arrivals came to,
    `achieved_per_s` what was sent meanwhile. None where nothing was measured, or a failure stands.
    """
    slopes = measured.records.profile.load.slopes
    return [_of_stage(measured, name, rate.mean) for name, rate, _ in slopes if name is not None]


def _of_stage(measured: Measured, name: str, requested: float) -> dict[str, Any]:
    attempted = measured.attempted[measured.attempted["stage"] == name]
    spans = _spans(measured, name)
    length_s = float((spans["end_s"] - spans["begin_s"]).sum())
    ttft = of_requests(attempted, "ttft").in_order
    send_lag = np.sort(attempted["send_lag_s"].dropna().to_numpy())
    return {
        "stage": name,
        "seconds": length_s or None,
        "requests": len(attempted),
        "requested_per_s": requested,
        "due_per_s": _count(measured, spans, "due_s") / length_s if length_s else None,
        "achieved_per_s": _count(measured, spans, "dispatched_s") / length_s if length_s else None,
        "error_rate": float((~attempted["ok"]).mean()) if len(attempted) else None,
        "ttft_p50": finite(nearest_rank(ttft, 0.50)),
        "ttft_p95": finite(nearest_rank(ttft, 0.95)),
        "send_lag_p99": nearest_rank(send_lag, 0.99),
    }


def _spans(measured: Measured, name: str) -> pd.DataFrame:
    """Returns trial, begin_s and end_s of a stage, in seconds since the trial's measured window began."""
    phases = measured.records.phases
    mine = phases[(phases["phase"] == "measure") & (phases["stage"] == name) & phases["end_ns"].notna()]
    zero = zero_ns(measured.records, mine["trial"])
    edges = {"begin_s": seconds(mine["start_ns"] - zero), "end_s": seconds(mine["end_ns"] - zero)}
    return pd.DataFrame({"trial": mine["trial"].to_numpy(), **edges}).dropna()


def _count(measured: Measured, spans: pd.DataFrame, column: str) -> int:
    """Returns how many requests have a time within a stage's spans, whichever stage they belong to."""
    requests = measured.requests
    return sum(
        int(requests.loc[requests["trial"] == trial, column].between(begin_s, end_s, "left").sum())
        for trial, begin_s, end_s in spans.itertuples(index=False)
    )
