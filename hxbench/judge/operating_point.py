"""One load of a sweep in numbers: what was offered, what came of it, and how long it took."""

import math
from typing import Any

from hxbench.judge.evidence import ALPHA_PASS, QUANTILES
from hxbench.judge.measured import Measured
from hxbench.judge.percentiles import LEVELS, fewest
from hxbench.judge.rates import Rate
from hxbench.judge.requests import window_lengths
from hxbench.judge.samples import Sample, sample
from hxbench.stats.quantiles import nearest_rank, quantile_interval

LATENCIES = ("ttft", "itl", "tpot", "e2e")


def operating_point(measured: Measured) -> dict[str, Any]:
    """Returns plain numbers of a run at one load; NaN where nothing was measured, or too little.

    n, n_eff (of ttft), failed, error_rate; offered_per_s (due; NaN in a closed loop), achieved_per_s (good
    answers), tokens_per_s, both by arrival in the measured window. Of each latency p50, p95 and p99, such as
    ttft_p95_s with its interval (95 %) ttft_p95_low_s, ttft_p95_high_s: failures are infinite, an end that no
    value bounds is NaN. A percentile needs `percentiles.fewest` values.
    """
    attempted = measured.attempted
    found = {name: sample(measured, name) for name in LATENCIES}
    failed = int((~attempted["ok"]).sum())
    point: dict[str, Any] = {
        "n": len(attempted),
        "n_eff": found["ttft"].worth(0.5).n_eff if found["ttft"].requests else math.nan,
        "failed": failed,
        "error_rate": failed / len(attempted) if len(attempted) else math.nan,
        "offered_per_s": _offered(measured),
        "achieved_per_s": _mean(measured.request_rate),
        "tokens_per_s": _mean(measured.token_rate),
    }
    for name, values in found.items():
        for level in LEVELS:
            point |= _percentile(f"{name}_{level}", values, level)
    return point


def _offered(measured: Measured) -> float:
    lengths_s = window_lengths(measured.records)
    if measured.records.profile.load.loop == "closed" or not lengths_s:
        return math.nan
    return float(measured.attempted["trial"].isin(list(lengths_s)).sum()) / sum(lengths_s.values())


def _mean(rate: Rate) -> float:
    means = rate.trials
    return float(means.mean()) if means.size else math.nan


def _percentile(name: str, values: Sample, level: str) -> dict[str, float]:
    quantile = QUANTILES[level]
    if values.in_order.size < fewest(level):
        return dict.fromkeys((f"{name}_s", f"{name}_low_s", f"{name}_high_s"), math.nan)
    ends = quantile_interval(
        values.in_order, quantile, alpha_low=ALPHA_PASS, alpha_high=ALPHA_PASS,
        n_eff=values.worth(quantile).n_eff,
    )  # fmt: skip
    found = (nearest_rank(values.in_order, quantile), *ends)
    numbers = (math.nan if value is None else value for value in found)
    return dict(zip((f"{name}_s", f"{name}_low_s", f"{name}_high_s"), numbers, strict=True))
