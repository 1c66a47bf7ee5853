"""What each stage of an open loop was asked to be and what it was, one row a stage."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.measured import Measured
from hxbench.judge.requests import seconds, zero_ns
from hxbench.judge.samples import of_requests
from hxbench.stats.quantiles import finite, nearest_rank

_Times = dict[int, NDArray[np.float64]]  # of each trial, in order


def by_stage(measured: Measured) -> list[dict[str, Any]]:
    """Returns for each named stage, all trials together: N, rates a second, errors, ttft and send lag in s.

    `requested_per_s` is what the profile asks for on average, `due_per_s` what its arrivals came to, and
    `achieved_per_s` what was sent meanwhile. None where nothing was measured, or a failure stands.
    """
    stages = [(name, rate.mean) for name, rate, _ in measured.records.profile.load.slopes if name is not None]
    if not stages:
        return []
    attempted, spans = measured.attempted, _spans(measured)
    of_stage = dict(iter(attempted.groupby("stage")))
    when = {str(name): rows for name, rows in spans.groupby("stage")}
    sent = _sent(measured)

    def row(name: str, requested: float) -> dict[str, Any]:
        mine, times = of_stage.get(name, attempted.iloc[:0]), when.get(name, spans.iloc[:0])
        return {"stage": name, "requested_per_s": requested, **_rates(times, mine, sent), **_answers(mine)}

    return [row(*stage) for stage in stages]


def _spans(measured: Measured) -> pd.DataFrame:
    """Returns stage, trial, begin_s and end_s, in seconds since the trial's measured window began."""
    phases = measured.records.phases
    mine = phases[(phases["phase"] == "measure") & phases["end_ns"].notna()].reset_index(drop=True)
    zero = zero_ns(measured.records, mine["trial"])
    begin_s, end_s = (seconds(mine[column] - zero) for column in ("start_ns", "end_ns"))
    return mine[["stage", "trial"]].assign(begin_s=begin_s, end_s=end_s).dropna()


def _sent(measured: Measured) -> _Times:
    known = measured.requests[["trial", "dispatched_s"]].dropna()
    return {
        int(trial): np.sort(known.loc[known["trial"] == trial, "dispatched_s"].to_numpy())
        for trial in known["trial"].unique()
    }


def _rates(spans: pd.DataFrame, attempted: pd.DataFrame, sent: _Times) -> dict[str, float | None]:
    length_s = float((spans["end_s"] - spans["begin_s"]).sum())
    due = int(attempted["trial"].isin(spans["trial"]).sum())  # by due time they belong to N
    return {
        "seconds": length_s or None,
        "due_per_s": due / length_s if length_s else None,
        "achieved_per_s": _count(spans, sent) / length_s if length_s else None,
    }


def _count(spans: pd.DataFrame, times: _Times) -> int:
    """Returns how many times lie within a stage's spans."""
    edges = zip(spans["trial"], spans[["begin_s", "end_s"]].to_numpy(), strict=True)
    return sum(
        int(np.diff(np.searchsorted(times[trial], span))[0]) for trial, span in edges if trial in times
    )


def _answers(attempted: pd.DataFrame) -> dict[str, float | None]:
    ttft = of_requests(attempted, "ttft").in_order
    send_lag = np.sort(attempted["send_lag_s"].dropna().to_numpy())
    return {
        "requests": len(attempted),
        "error_rate": float((~attempted["ok"]).mean()) if len(attempted) else None,
        "ttft_p50": finite(nearest_rank(ttft, 0.50)),
        "ttft_p95": finite(nearest_rank(ttft, 0.95)),
        "send_lag_p99": nearest_rank(send_lag, 0.99),
    }
