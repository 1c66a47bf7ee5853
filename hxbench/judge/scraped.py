"""Counters as the server gave them, scrape by scrape: by how much each grew, and where it was set back.

A counter only grows. One that fell, or is gone, was reset: the server began anew, and what it had counted
since the scrape before is lost. No sum of the pieces brings that back.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.records.run_directory import Records

SOURCE = "scrape"
# Gauges of llama.cpp that begin anew for each who reads them, so that a second reader takes them from the
# first (ggml-org/llama.cpp#25128): nothing here may rest on them.
RESET_ON_READ = ("llamacpp:prompt_tokens_seconds", "llamacpp:predicted_tokens_seconds")


def scrapes(records: Records) -> pd.DataFrame:
    """Returns the samples that were read from the server's own metrics."""
    return records.series[records.series["source"] == SOURCE]


def increases(records: Records, name: str) -> pd.DataFrame:
    """Returns trial, time_ns, grown, reset: how much a counter grew since the last scrape.

    One row a scrape. Several series of a name, as of engines or reasons, are added up, each by itself; one
    that appears began at 0. `grown` is NaN at a trial's first scrape and where a series was reset. No rows
    of a counter that the server does not have.
    """
    every = scrapes(records)
    mine = every[every["name"] == name].dropna(subset=["value"])
    trials = [
        _of_trial(int(str(trial)), rows, np.unique(every.loc[every["trial"] == trial, "time_ns"]))
        for trial, rows in mine.groupby("trial")
    ]
    empty = pd.DataFrame({"trial": [], "time_ns": [], "grown": [], "reset": []})
    kinds = {"trial": "Int64", "time_ns": "Int64", "grown": "float64", "reset": "bool"}
    return (pd.concat(trials, ignore_index=True) if trials else empty).astype(kinds)


def _of_trial(trial: int, rows: pd.DataFrame, times_ns: NDArray[np.int64]) -> pd.DataFrame:
    labelled = rows.assign(labels=rows["labels"].fillna(""))
    values = labelled.pivot_table(index="time_ns", columns="labels", values="value", aggfunc="sum")
    steps = values.reindex(times_ns).astype("float64").fillna(0.0).diff()
    reset = (steps < 0).any(axis=1).to_numpy()
    grown = np.where(reset, np.nan, steps.sum(axis=1, skipna=False).to_numpy())
    return pd.DataFrame({"trial": trial, "time_ns": times_ns, "grown": grown, "reset": reset})
