"""The run in plain numbers: every metric with its quantiles, rates, counts and tokens."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge import diagnosis
from hxbench.judge.evidence import QUANTILES
from hxbench.judge.flow_threats import flows
from hxbench.judge.measured import Measured
from hxbench.judge.rates import Rate
from hxbench.judge.samples import Sample, sample
from hxbench.judge.stages import by_stage
from hxbench.plan.objectives import LATENCIES
from hxbench.stats.quantiles import finite, nearest_rank

Values = NDArray[np.float64]


def summarised(measured: Measured) -> dict[str, Any]:
    """Returns nested plain values in base units; None where nothing was measured, or a failure stands.

    Each latency by its name: failures are infinite in quantiles and the total time limit in the mean;
    `success_only` leaves them out. `stages` is a list, empty for a load without any; `diagnosis` a sentence
    on the slow tail.
    """
    attempted, limit_s = measured.attempted, measured.records.profile.limits.total
    return {
        **{name: _latency(sample(measured, name), limit_s) for name in LATENCIES},
        "throughput_tokens": _rate(measured.token_rate),
        "throughput_requests": _rate(measured.request_rate),
        "error_rate": float((~attempted["ok"]).mean()) if len(attempted) else None,
        "counts": {
            "attempted": len(attempted),
            "ok": int(attempted["ok"].sum()),
            "by_outcome": _counts(attempted["outcome"]),
            "by_class": _counts(attempted["prompt_class"]),
            "by_error_phase": _counts(attempted["error_phase"]),
        },
        "tokens": _tokens(attempted[attempted["ok"]]),
        "concurrency": _concurrency(measured),
        "stages": by_stage(measured),
        "diagnosis": diagnosis.sentence(measured),
    }


def _latency(values: Sample, limit_s: float) -> dict[str, Any]:
    adjusted = _described(values.in_order, values.capped(limit_s))
    return {**adjusted, "success_only": _described(values.good, values.good)}


def _described(in_order: Values, for_mean: Values) -> dict[str, Any]:
    described: dict[str, Any] = {"n": int(in_order.size)}
    described["mean"] = float(for_mean.mean()) if for_mean.size else None
    for name, level in QUANTILES.items():
        described[name] = finite(nearest_rank(in_order, level))
    return described | {"max": finite(nearest_rank(in_order, 1.0))}


def _rate(rate: Rate) -> dict[str, float | None]:
    means = rate.trials
    window = float(means.mean()) if means.size else None
    return {"window": finite(window), "whole_run": finite(rate.whole_run)}


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().sort_index().items()}


def _tokens(good: pd.DataFrame) -> dict[str, int]:
    return {name: int(good[f"{name}_tokens"].sum()) for name in ("prompt", "output", "cached")}


def _concurrency(measured: Measured) -> dict[str, float | None]:
    """Little's law on each trial's window: requests in flight, their rate and stay, means over trials."""
    found = flows(measured).values()
    return {
        name: float(np.mean([getattr(each, name) for each in found])) if found else None
        for name in ("in_flight", "rate", "stay", "disagreement")
    }
