"""How far lengths, caches and counts of tokens may have spoiled a run. Each returns a value and its sentence;
None as value means unknown, None alone that this load cannot have the threat.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.instrument_threats import NOT_STATED, Found
from hxbench.judge.measured import Measured
from hxbench.judge.requests import number
from hxbench.judge.resources import sampled

# Counters of tokens by server: those of one line are added up. llama.cpp counts cached ones apart.
OUTPUT_COUNTERS = (("llamacpp:tokens_predicted_total",), ("vllm:generation_tokens_total",))
PROMPT_COUNTERS = (
    ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"),
    ("vllm:prompt_tokens_total",),
)


def output_length(measured: Measured) -> Found:
    """Returns the share of answers not as long as asked, where the profile asks the model not to stop."""
    if not measured.records.profile.target.extra_body.get("ignore_eos"):
        return None, "the model may end its answers by itself (extra_body.ignore_eos is not set)"
    good = _good(measured)
    ratio = number(good["output_tokens"]) / number(good["max_tokens"])
    ratio = ratio[~np.isnan(ratio)]
    if not ratio.size:
        return None, NOT_STATED
    outside = int(((ratio < 0.9) | (ratio > 1.1)).sum())
    return outside / ratio.size, f"{outside} of {ratio.size} answers are not within 90 to 110 % of max_tokens"


def cached(measured: Measured) -> Found:
    """Returns the share of prompt tokens from a cache of the server, beyond what prompts share by plan."""
    good = _good(measured).dropna(subset=["cached_tokens", "prompt_tokens"])
    prompt = int(good["prompt_tokens"].sum())
    if not prompt:
        return None, NOT_STATED
    share = int(good["cached_tokens"].sum()) / prompt
    detail = f"{units.share(share)} of the prompt tokens came from a cache"
    written = measured.records.facts.get("prompts") or {}
    if not written.get("shared_tokens"):
        return share, detail
    planned = written["shared_tokens"] / written["tokens"]
    return max(0.0, share - planned), f"{detail}; prompts share {units.share(planned)} by plan"


def request_cap(measured: Measured) -> Found | None:
    """Returns in how many trials of a closed loop by time no planned request was left over."""
    load = measured.records.profile.load
    if load.loop != "closed" or load.requests is not None:
        return None
    measure = measured.requests[measured.requests["phase"] == "measure"]
    used_up = [int(rows["attempted"].all()) for _, rows in measure.groupby("trial")]
    if not used_up:
        return None, NOT_STATED
    detail = "were used up before the time was" if any(used_up) else "were left over"
    return float(sum(used_up)), f"planned requests {detail}"


def usage_missing(measured: Measured) -> Found:
    """Returns the share of answers whose tokens the server did not state."""
    good = _good(measured)
    if good.empty:
        return None, NOT_STATED
    share = float((~_has_usage(good)).mean())
    return share, f"{units.share(share)} of the answers came without the server's token usage"


def deltas_above_usage(measured: Measured) -> Found:
    """Returns the share of answers with more pieces of text than tokens, which cannot be."""
    good = _good(measured)
    good = good[_has_usage(good)].dropna(subset=["output_tokens", "deltas"])
    if good.empty:
        return None, NOT_STATED
    above = int((good["deltas"] > good["output_tokens"]).sum())
    return above / len(good), f"{above} of {len(good)} answers carried more pieces of text than tokens"


def output_counter(measured: Measured) -> Found:
    """Returns by how many output tokens the server's counter and the answers differ."""
    return _counter(measured, OUTPUT_COUNTERS, "output_tokens", most="max_tokens")


def prompt_counter(measured: Measured) -> Found:
    """Returns by how many prompt tokens the server's counters and the answers differ."""
    return _counter(measured, PROMPT_COUNTERS, "prompt_tokens", most=None)


def _counter(measured: Measured, names: Sequence[tuple[str, ...]], column: str, most: str | None) -> Found:
    """Tokens by which the server's counters leave the range that the answers' usage allows, of all trials."""
    requests = measured.requests
    server = _server_counts(measured, names)
    trials = [int(trial) for trial in requests["trial"].unique()]
    if not trials or set(trials) - set(server):
        return None, "the server's counters were not scraped"
    ranges = {trial: _client_range(requests[requests["trial"] == trial], column, most) for trial in trials}
    low, high = (sum(each[end] for each in ranges.values()) for end in (0, 1))
    if np.isnan(low):
        return None, "not every good answer states its usage"
    outside = [max(server[t] - ranges[t][1], ranges[t][0] - server[t], 0.0) for t in trials]
    counted = f"the server counted {units.count(round(sum(server.values())))}"
    stated = units.count(round(low)) if low == high else f"{units.number(low)} to {units.number(high)}"
    return sum(outside), f"{counted}, the answers add up to {stated}"


def _server_counts(measured: Measured, names: Sequence[tuple[str, ...]]) -> dict[int, float]:
    """Growth of the first known set of counters, from the first to the last scrape of each trial."""
    for group in names:
        counters = [sampled(measured.records, "scrape", name) for name in group]
        if not counters[0].empty:
            return _growth(counters)
    return {}


def _growth(counters: Sequence[pd.DataFrame]) -> dict[int, float]:
    grown: dict[int, float] = {}
    for counter in counters:
        for trial in counter["trial"].unique():
            values = counter.loc[counter["trial"] == trial, "value"].to_numpy()
            if values.size > 1:
                grown[int(trial)] = grown.get(int(trial), 0.0) + float(values[-1] - values[0])
    return grown


def _client_range(rows: pd.DataFrame, column: str, most: str | None) -> tuple[float, float]:
    """Fewest and most tokens the server may have counted for these requests; NaN when usage is missing.

    One that did not end well may have cost up to `max_tokens`, or as long a prompt as any other.
    """
    good = rows[rows["ok"]]
    stated = number(good[column])
    if column == "output_tokens":
        stated = np.where(_has_usage(good), stated, np.nan)
    others = rows[~rows["ok"] & ~((rows["outcome"] == "cancelled") & rows["dispatched_s"].isna())]
    known = np.nan_to_num(number(others[column]))
    ceiling = number(others[most]) if most else np.full(len(others), stated.max(initial=0.0))
    at_most = np.where(np.isnan(ceiling), np.inf, np.maximum(known, ceiling))
    return float(stated.sum() + known.sum()), float(stated.sum() + at_most.sum())


def _has_usage(requests: pd.DataFrame) -> pd.Series:
    stated: pd.Series = requests["token_source"].eq("usage").fillna(False).astype(bool)
    return stated


def _good(measured: Measured) -> pd.DataFrame:
    return measured.attempted[measured.attempted["ok"]]
