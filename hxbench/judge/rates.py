"""Throughput and concurrency over time, by when tokens and answers arrived."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.reads import token_arrivals
from hxbench.judge.requests import window_lengths
from hxbench.records.run_directory import Records
from hxbench.stats.littles_law import seconds_in_flight
from hxbench.stats.means import BATCHES

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """Arrivals a second: in equal slices of each trial's measured window, and over the whole run."""

    slices: dict[int, Values]  # of each trial
    whole_run: float | None

    @property
    def trials(self) -> Values:
        """Returns the mean rate of each trial's measured window."""
        return np.array([values.mean() for values in self.slices.values()])


def token_rate(records: Records, requests: pd.DataFrame) -> Rate:
    """Returns the output tokens of good requests a second; nothing where no read's tokens are known."""
    return _rate(records, requests, token_arrivals(records, requests))


def request_rate(records: Records, requests: pd.DataFrame) -> Rate:
    """Returns the good answers a second, by the moment an answer was complete."""
    good = requests[requests["ok"] & requests["done_s"].notna()]
    arrivals = pd.DataFrame({"trial": good["trial"], "time_s": good["done_s"], "tokens": 1.0})
    return _rate(records, requests, [arrivals])


def _rate(records: Records, requests: pd.DataFrame, blocks: Iterable[pd.DataFrame]) -> Rate:
    lengths_s, total, some = window_lengths(records), 0.0, False
    counts = {trial: np.zeros(BATCHES) for trial in lengths_s}
    for block in blocks:
        some, total = some or len(block) > 0, total + float(block["tokens"].sum())
        for trial, length_s in lengths_s.items():
            mine = block[block["trial"] == trial]
            window = (0.0, length_s)  # not the edges: where all slices are equal numpy counts much faster
            counts[trial] += np.histogram(mine["time_s"], BATCHES, window, weights=mine["tokens"])[0]
    if not some and requests["ok"].any():
        return Rate({}, None)
    slices = {trial: each / (lengths_s[trial] / BATCHES) for trial, each in counts.items()}
    elapsed_s = _elapsed(requests)
    return Rate(slices, total / elapsed_s if elapsed_s > 0 else None)


def _elapsed(requests: pd.DataFrame) -> float:
    """Seconds from the first request sent to the last one done, warm-up and drain included, of all trials."""
    by_trial = requests.groupby("trial").agg({"dispatched_s": "min", "done_s": "max"})
    return float((by_trial["done_s"] - by_trial["dispatched_s"]).sum())


def over_time(records: Records, requests: pd.DataFrame, width_s: float = 1.0) -> pd.DataFrame:
    """Returns one row a trial and stretch of `width_s`, from the first request sent to the last done.

    trial, time_s (its start), output_tokens_per_s, requests_per_s (good ones), failures_per_s, due_per_s (NaN
    in a closed loop), sent_per_s, in_flight (mean over the stretch).
    """
    arrivals = pd.concat(token_arrivals(records, requests))
    made = [
        _trial_over_time(trial, rows, arrivals[arrivals["trial"] == trial], width_s)
        for trial, rows in requests.dropna(subset=["dispatched_s", "done_s"], how="all").groupby("trial")
    ]
    columns = [
        "trial", "time_s", "output_tokens_per_s", "requests_per_s", "failures_per_s", "due_per_s",
        "sent_per_s", "in_flight",
    ]  # fmt: skip
    return pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=columns, dtype="float64")


def _trial_over_time(
    trial: object, rows: pd.DataFrame, arrivals: pd.DataFrame, width_s: float
) -> pd.DataFrame:
    times = rows[["dispatched_s", "done_s", "due_s"]].to_numpy()
    first, last = np.floor(np.nanmin(times) / width_s), np.ceil(np.nanmax(times) / width_s)
    edges = np.arange(first, max(last, first + 1) + 1) * width_s
    sent = times[~np.isnan(times[:, 0])]
    starts, ends = sent[:, 0], np.where(np.isnan(sent[:, 1]), edges[-1], sent[:, 1])

    def a_second(times: pd.Series, weights: pd.Series | None = None) -> Values:
        return np.histogram(times, bins=edges, weights=weights)[0] / width_s

    done = rows[rows["done_s"].notna()]
    return pd.DataFrame(
        {
            "trial": trial,
            "time_s": edges[:-1],
            "output_tokens_per_s": a_second(arrivals["time_s"], arrivals["tokens"]),
            "requests_per_s": a_second(done.loc[done["ok"], "done_s"]),
            "failures_per_s": a_second(done.loc[~done["ok"], "done_s"]),
            "due_per_s": a_second(due) if len(due := rows["due_s"].dropna()) else np.nan,
            "sent_per_s": a_second(rows["dispatched_s"].dropna()),
            "in_flight": np.diff(seconds_in_flight(starts, ends, edges)) / width_s,
        }
    )
