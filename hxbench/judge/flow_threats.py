"""Whether the measured window was in balance and steady. Each returns a value and its sentence; None as value
means unknown, None alone that this load cannot have the threat.
"""

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.instrument_threats import Found
from hxbench.judge.measured import Measured
from hxbench.judge.requests import window_lengths
from hxbench.stats.littles_law import Flow, flow
from hxbench.stats.steady import mser5

FEWEST_FOR_STEADY = 200  # of 100 steady requests MSER-5 calls 2 to 4 % unsteady, of 400 none (1000 runs)


def flows(measured: Measured) -> dict[int, Flow]:
    """Returns the flow through the measured window of each trial that answered a request in it."""
    found = {}
    for trial, length_s in window_lengths(measured.records).items():
        rows = measured.requests[measured.requests["trial"] == trial]
        rows = rows.dropna(subset=["dispatched_s", "done_s"])
        starts, ends = rows["dispatched_s"].to_numpy(), rows["done_s"].to_numpy()
        found[trial] = flow(starts, ends, window=(0.0, length_s))
    return {trial: each for trial, each in found.items() if each is not None}


def imbalance(measured: Measured) -> Found:
    """Returns by which share requests in flight differ from rate times stay (Little 1961): the worst trial.

    Less what the requests that cross the window's ends explain when nothing grows: one stay of its length.
    """
    lengths_s = window_lengths(measured.records)
    found = [
        (max(each.disagreement - each.stay / lengths_s[trial], 0.0), each)
        for trial, each in flows(measured).items()
    ]
    if not found:
        return None, "no request was answered in the measured window"
    share, worst = max(found, key=lambda each: each[0])
    in_flight, product = units.number(worst.in_flight), units.number(worst.rate * worst.stay)
    return share, f"in flight on average: {in_flight}, rate times stay: {product}"


def unsteady(measured: Measured) -> Found | None:
    """Returns the share of the window that MSER-5 would leave out as warm-up, of the worst trial.

    By e2e in time order, a failure counting as the total time limit. It looks up to one half: there no part
    of the window is steady. Stages and rates over time are not meant to be.
    """
    load = measured.records.profile.load
    if len(load.slopes) > 1 or load.trace is not None:
        return None
    trials = [rows for _, rows in measured.attempted.groupby("trial")]
    if min((len(rows) for rows in trials), default=0) < FEWEST_FOR_STEADY:
        return None, f"fewer than {FEWEST_FOR_STEADY} requests a trial do not tell"
    limit_s = measured.records.profile.limits.total
    share = max(_left_out(rows["e2e_s"].where(rows["ok"]).fillna(limit_s)) for rows in trials)
    return share, f"the window is steadiest without the first {units.share(share)} of its requests"


def _left_out(values: pd.Series) -> float:
    cut = mser5(values.to_numpy(dtype=np.float64))
    return cut.observations / len(values) if cut else 0.0
