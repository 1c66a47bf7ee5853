"""How far lengths, caches and counts of tokens may have spoiled a run. Each returns a value and its sentence;
None as value means unknown, None alone that this load cannot have the threat.
"""

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.counted import (
    NO_USAGE,
    OUTPUT_TOKENS,
    PROMPT_TOKENS,
    REQUESTS,
    Grown,
    Names,
    by_server,
    has_usage,
    range_text,
    requests_range,
    tokens_range,
)
from hxbench.judge.instrument_threats import NOT_STATED, Found
from hxbench.judge.measured import Measured
from hxbench.judge.requests import number


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
    """Returns the share of prompt tokens from a cache of the server, beyond what prompts share by plan.

    Of first turns only: that the later ones find their own conversation there is what a cache is for.
    """
    good = _good(measured).dropna(subset=["cached_tokens", "prompt_tokens"])
    good = good[good["turn"] == 0]
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
    begins = measure[measure["turn"] == 0]  # what is left of a conversation is nobody else's to ask
    used_up = [int(rows["attempted"].all()) for _, rows in begins.groupby("trial")]
    if not used_up:
        return None, NOT_STATED
    detail = "were used up before the time was" if any(used_up) else "were left over"
    return float(sum(used_up)), f"planned requests {detail}"


def usage_missing(measured: Measured) -> Found:
    """Returns the share of answers whose tokens the server did not state."""
    good = _good(measured)
    if good.empty:
        return None, NOT_STATED
    share = float((~has_usage(good)).mean())
    return share, f"{units.share(share)} of the answers came without the server's token usage"


def deltas_above_usage(measured: Measured) -> Found:
    """Returns the share of answers with more pieces of text than tokens, which cannot be."""
    good = _good(measured)
    good = good[has_usage(good)].dropna(subset=["output_tokens", "deltas"])
    if good.empty:
        return None, NOT_STATED
    above = int((good["deltas"] > good["output_tokens"]).sum())
    return above / len(good), f"{above} of {len(good)} answers carried more pieces of text than tokens"


def output_counter(measured: Measured) -> Found:
    """Returns by how many output tokens the server's counter and the answers differ."""
    return _counter(measured, OUTPUT_TOKENS, "output_tokens")


def prompt_counter(measured: Measured) -> Found:
    """Returns by how many prompt tokens the server's counters and the answers differ."""
    return _counter(measured, PROMPT_TOKENS, "prompt_tokens")


def request_counter(measured: Measured) -> Found | None:
    """Returns by how many good requests the server's counter leaves what the client saw, of all trials.

    None where no server counts.
    """
    server = by_server(measured.records, REQUESTS)
    if not isinstance(server, Grown):
        return None if server is None else (None, server.why)
    fewest, most = requests_range(measured.requests)
    outside = max(server.total - most, fewest - server.total, 0.0)
    seen = range_text(fewest, most)
    return outside, f"the server counted {units.count(round(server.total))} requests, the client {seen}"


def _counter(measured: Measured, names: Names, column: str) -> Found:
    """Tokens by which the server's counters leave the range that the answers' usage allows, of all trials."""
    requests = measured.requests
    server = by_server(measured.records, names)
    if not isinstance(server, Grown):
        return None, "the server's counters were not scraped" if server is None else server.why
    ranges = {t: tokens_range(requests[requests["trial"] == t], column) for t in server.by_trial}
    low, high = (sum(each[end] for each in ranges.values()) for end in (0, 1))
    if np.isnan(low):
        return None, NO_USAGE
    outside = [max(grown - ranges[t][1], ranges[t][0] - grown, 0.0) for t, grown in server.by_trial.items()]
    counted = f"the server counted {units.count(round(server.total))}"
    return sum(outside), f"{counted}, the answers add up to {range_text(low, high)}"


def _good(measured: Measured) -> pd.DataFrame:
    return measured.attempted[measured.attempted["ok"]]
