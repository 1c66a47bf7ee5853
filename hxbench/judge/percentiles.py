"""How a latency's percentiles went over the run, in windows of equal length."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.evidence import QUANTILES
from hxbench.judge.measured import Measured
from hxbench.judge.samples import sample
from hxbench.stats.quantiles import nearest_rank

LEVELS = ("p50", "p95", "p99")
PER_WINDOW = 40  # values on average, so that most windows have a p95
MOST_WINDOWS = 40
FEWEST = 10  # values of a window of which anything is said

_Values = NDArray[np.float64]


def fewest(level: str) -> int:
    """Returns how many values a window needs for a percentile: fewer make it their largest."""
    return max(FEWEST, math.ceil(round(1 / (1 - QUANTILES[level]), 9)))


def percentiles_over_time(measured: Measured, metric: str) -> pd.DataFrame:
    """Returns trial, begin_s, end_s, n, p50_s, p95_s, p99_s of the N requests' values of a latency.

    By when a request was due (open loop) or sent (closed), for itl by when a gap ended, in seconds since the
    trial's measured window began. A percentile that is a failure is inf; one of too few values is NaN.
    """
    found = sample(measured, metric)
    start = "due_s" if measured.records.profile.load.loop == "open" else "dispatched_s"
    started_s = measured.attempted[start].to_numpy(dtype="float64")
    times_s = started_s[found.owners] if found.times_s is None else found.times_s()
    trials = found.trial_of[found.owners]
    known = ~np.isnan(times_s)
    parts = [
        _of_trial(int(trial), times_s[mine], found.values[mine])
        for trial in np.unique(trials[known])
        for mine in [known & (trials == trial)]
    ]
    columns = ["trial", "begin_s", "end_s", "n", *(f"{level}_s" for level in LEVELS)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype="float64")


def _of_trial(trial: int, times_s: _Values, values: _Values) -> pd.DataFrame:
    count = min(max(values.size // PER_WINDOW, 1), MOST_WINDOWS)
    edges = np.linspace(min(0.0, float(times_s.min())), np.nextafter(times_s.max(), np.inf), count + 1)
    window = np.clip(np.searchsorted(edges, times_s, side="right") - 1, 0, count - 1)
    order = np.lexsort((values, window))
    parts = np.split(values[order], np.searchsorted(window[order], np.arange(1, count)))
    frame = pd.DataFrame({"trial": trial, "begin_s": edges[:-1], "end_s": edges[1:]})
    frame["n"] = [part.size for part in parts]
    for level in LEVELS:
        frame[f"{level}_s"] = [_percentile(part, level) for part in parts]
    return frame


def _percentile(in_order: _Values, level: str) -> float:
    value = nearest_rank(in_order, QUANTILES[level]) if in_order.size >= fewest(level) else None
    return math.nan if value is None else value
