"""Whether the measured window was in balance: value and sentence; None as value means unknown."""

from hxbench import units
from hxbench.judge.instrument_threats import Found
from hxbench.judge.measured import Measured
from hxbench.judge.requests import window_lengths
from hxbench.stats.littles_law import Flow, flow


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
    return share, f"{in_flight} requests were in flight, rate times stay is {product}"
