"""What the server, the load generator and the host used, from the sampled series."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.requests import seconds, window_lengths, zero_ns
from hxbench.records.run_directory import Records

Values = NDArray[np.float64]

CPU_NAMES = {"process": "cpu_seconds", "client": "cpu_seconds", "host": "cpu_busy_seconds"}
_UNSEEN = {
    "processes_gone": "one ended",
    "processes_replaced": "one ended and its id is another's",
    "processes_denied": "permission denied",
}
LEAST_HZ = 9.0  # R4.1: below that a peak may have been missed
LONGEST_GAP_S = 1.0
LONGEST_CREDIT_S = 0.2  # a sample vouches for two periods of the 10 Hz sampler, no more


@dataclass(frozen=True)
class Coverage:
    """How well samples cover the measured windows of all trials; the worst trial counts."""

    share: float
    largest_gap_s: float
    rate_hz: float


def sampled(records: Records, source: str, name: str) -> pd.DataFrame:
    """Returns one sampled series: trial, time_s, value, in order; processes sampled together are added up."""
    series = records.series
    mine = series[(series["source"] == source) & (series["name"] == name)].dropna(subset=["value"])
    added = mine.groupby(["trial", "time_ns"], as_index=False)["value"].sum()
    return pd.DataFrame(
        {
            "trial": added["trial"],
            "time_s": seconds(added["time_ns"] - zero_ns(records, added["trial"])),
            "value": added["value"].astype("float64"),
        }
    )


def unseen(series: pd.DataFrame) -> str | None:
    """Returns why processes of the server could not be looked at all the time; None when all were."""
    told = set(series.loc[series["source"] == "process", "name"])
    reasons = [reason for name, reason in _UNSEEN.items() if name in told]
    return f"not every process of the server was sampled: {', '.join(reasons)}" if reasons else None


def resources(records: Records) -> pd.DataFrame:
    """Returns trial, time_s, source (process, client, host), cpu_cores, rss_bytes, one row a sample.

    `cpu_cores` is the mean since the sample before; NaN at a trial's first.
    """
    return pd.concat([_of_source(records, source) for source in CPU_NAMES], ignore_index=True)


def _of_source(records: Records, source: str) -> pd.DataFrame:
    cpu = sampled(records, source, CPU_NAMES[source])
    trial = cpu.groupby("trial")
    cpu["cpu_cores"] = (trial["value"].diff() / trial["time_s"].diff()).clip(lower=0)
    memory = sampled(records, source, "rss_bytes").rename(columns={"value": "rss_bytes"})
    both = cpu.drop(columns="value").merge(memory, how="outer", on=["trial", "time_s"], sort=True)
    both.insert(2, "source", source)
    return both


def cores_used(series: pd.DataFrame, trial: int, edges_s: Values) -> Values:
    """Returns the mean cores between each two edges, from cumulative CPU seconds; NaN without samples."""
    mine = series[series["trial"] == trial]
    if len(mine) < 2:
        return np.full(len(edges_s) - 1, np.nan)
    used = np.interp(edges_s, mine["time_s"], mine["value"])
    cores: Values = np.diff(used) / np.diff(edges_s)
    return cores


def coverage(records: Records, series: pd.DataFrame, credit_s: float = LONGEST_CREDIT_S) -> Coverage | None:
    """Returns how well samples, each good for `credit_s`, cover the measured windows; None without any."""
    lengths_s = window_lengths(records)
    found = [
        _coverage(series.loc[series["trial"] == trial, "time_s"], length_s, credit_s)
        for trial, length_s in lengths_s.items()
    ]
    if not found:
        return None
    return Coverage(
        share=min(each.share for each in found),
        largest_gap_s=max(each.largest_gap_s for each in found),
        rate_hz=min(each.rate_hz for each in found),
    )


def _coverage(times: pd.Series, length_s: float, credit_s: float) -> Coverage:
    inside = times[(times >= 0) & (times <= length_s)].to_numpy()
    gaps_s = np.diff(np.concatenate([[0.0], inside, [length_s]]))
    return Coverage(
        share=float(np.minimum(gaps_s, credit_s).sum()) / length_s,
        largest_gap_s=float(gaps_s.max()),
        rate_hz=inside.size / length_s,
    )
