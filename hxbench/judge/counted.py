"""How many requests and tokens each side counted: the server's counters, the client's records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.requests import NANOSECONDS, number
from hxbench.judge.scraped import increases
from hxbench.records.run_directory import Records

Names = Sequence[tuple[str, ...]]
# Counters by server: those of one line are added up. llama.cpp counts prompt tokens from its cache apart.
OUTPUT_TOKENS: Names = (("llamacpp:tokens_predicted_total",), ("vllm:generation_tokens_total",))
PROMPT_TOKENS: Names = (
    ("llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"),
    ("vllm:prompt_tokens_total",),
)
REQUESTS: Names = (("vllm:request_success_total",),)  # by reason of their end; llama.cpp counts none
NO_USAGE = "not every good answer states its usage"


@dataclass(frozen=True)
class Grown:
    """How much a server's counters grew over each trial."""

    by_trial: Mapping[int, float]
    over_s: float  # from the first scrape of each trial to its last

    @property
    def total(self) -> float:
        """Returns the sum over all trials."""
        return sum(self.by_trial.values())


@dataclass(frozen=True)
class Unknown:
    """Why it is not known how much they grew, as a sentence without its end."""

    why: str
    reset: bool = False


def by_server(records: Records, names: Names) -> Grown | Unknown | None:
    """Returns how much the first counters that the server has grew; None where it has none of them."""
    for group in names:
        steps = [increases(records, name) for name in group]
        if len(steps[0]):
            return _grown(records, steps)
    return None


def _grown(records: Records, counters: Sequence[pd.DataFrame]) -> Grown | Unknown:
    by_trial: dict[int, float] = {}
    over_s = 0.0
    sent = records.requests.dropna(subset=["dispatched_ns"])
    for trial in sorted(map(int, sent["trial"].unique())):
        mine = [steps[steps["trial"] == trial] for steps in counters]
        if any(steps["reset"].any() for steps in mine):
            lost = "what it had counted by then is lost"
            return Unknown(f"the server's counter was reset in trial {trial}: {lost}", reset=True)
        times_ns = mine[0]["time_ns"]
        if not _between(records, trial, times_ns):
            return Unknown(f"the server was not scraped before and after the load of trial {trial}")
        by_trial[trial] = float(sum(steps["grown"].sum() for steps in mine))
        over_s += float(times_ns.iloc[-1] - times_ns.iloc[0]) / NANOSECONDS
    return Grown(by_trial, over_s) if by_trial else Unknown("nothing was asked of the server")


def _between(records: Records, trial: int, times_ns: pd.Series) -> bool:
    """Tells whether all requests of a trial were sent, and ended, between two scrapes."""
    if len(times_ns) < 2:
        return False
    mine = records.requests[records.requests["trial"] == trial]
    early = (mine["dispatched_ns"] < times_ns.iloc[0]).any()
    return not (early or (mine["done_ns"] > times_ns.iloc[-1]).any())


def requests_range(requests: pd.DataFrame) -> tuple[float, float]:
    """Returns how many answers the server may have counted: those that ended well, and all that were sent.

    One that did not end well for the client may have done so for the server.
    """
    sent = requests.dropna(subset=["dispatched_s"])
    return float(sent["ok"].sum()), float(len(sent))


def tokens_range(requests: pd.DataFrame, column: str) -> tuple[float, float]:
    """Returns fewest and most tokens the server may have counted for requests; NaN when usage is missing.

    One that did not end well may have cost up to `max_tokens`, or as long a prompt as any other.
    """
    good = requests[requests["ok"]]
    stated = number(good[column])
    if column == "output_tokens":
        stated = np.where(has_usage(good), stated, np.nan)
    never_sent = (requests["outcome"] == "cancelled") & requests["dispatched_s"].isna()
    others = requests[~requests["ok"] & ~never_sent]
    known = np.nan_to_num(number(others[column]))
    longest = np.full(len(others), stated.max(initial=0.0))
    ceiling = number(others["max_tokens"]) if column == "output_tokens" else longest
    at_most = np.where(np.isnan(ceiling), np.inf, np.maximum(known, ceiling))
    return float(stated.sum() + known.sum()), float(stated.sum() + at_most.sum())


def has_usage(requests: pd.DataFrame) -> pd.Series:
    """Returns of each request whether its tokens are those that the server stated."""
    stated: pd.Series = requests["token_source"].eq("usage").fillna(False).astype(bool)
    return stated


def range_text(low: float, high: float) -> str:
    """Returns a range as text, a single number where both ends are one."""
    return units.count(round(low)) if low == high else f"{units.number(low)} to {units.number(high)}"
