"""What the client, the server's own metrics and Prometheus counted of the same run, side by side (R4.3).

The client's number is what the answers stated. The server's, scraped by hxbench, is what its counters grew by
from the scrape before each trial's load to the one after it; Prometheus' the same, of the query of that name
with the statistic `increase`. All of them cover warm-up, window and drain; counts are equal or they are not.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pandas as pd

from hxbench.judge import watched
from hxbench.judge.counted import (
    NO_USAGE,
    OUTPUT_TOKENS,
    PROMPT_TOKENS,
    REQUESTS,
    Grown,
    Names,
    by_server,
    range_text,
    requests_range,
    tokens_range,
)
from hxbench.judge.measured import Measured
from hxbench.judge.requests import NANOSECONDS
from hxbench.judge.scraped import scrapes
from hxbench.plan.objectives import Objective
from hxbench.plan.prometheus import PREFIX

EQUAL, DIFFERS, WITHIN, RESET = "equal", "differs", "within", "reset"
NOT_ASKED, UNKNOWN = "not asked", "unknown"
# what is counted -> the server's counters of it; none that is known counts its errors
_COUNTERS: dict[str, Names] = {
    "requests": REQUESTS,
    "prompt_tokens": PROMPT_TOKENS,
    "output_tokens": OUTPUT_TOKENS,
    "errors": (),
}


@dataclass(frozen=True)
class Count:
    """What one source counted, and how that compares with the client."""

    counted: str
    source: str
    word: str
    reason: str = ""
    least: float = math.nan  # two numbers of the client only, where a request that failed leaves them open
    most: float = math.nan
    over_s: float = math.nan
    difference: float = math.nan


def reconciled(measured: Measured) -> pd.DataFrame:
    """Returns counted, source, word, reason, least, most, over_s, difference: a row a count and source.

    Word: `equal`, `differs`, `within` what failed requests leave open, `reset`, `not asked`, `unknown`; of
    the client none. `difference` is the source's count less the nearest that the client allows.
    """
    return pd.DataFrame([asdict(each) for each in _counts(measured)])


def _counts(measured: Measured) -> Iterator[Count]:
    for counted, names in _COUNTERS.items():
        client = _by_client(measured, counted)
        yield client
        yield _scraped(measured, client, names)
        yield _asked(measured, client)


def _by_client(measured: Measured, counted: str) -> Count:
    if measured.records.ending["state"] != "complete":
        return Count(counted, "client", "", "the run did not come to its end: not all that was sent is known")
    sent = measured.requests.dropna(subset=["dispatched_s"])
    begun = measured.requests["trial"].isin(sent["trial"])
    least, most = _range(measured.requests[begun], counted)
    ends = sent.groupby("trial").agg({"dispatched_s": "min", "done_s": "max"})
    over_s = float((ends["done_s"] - ends["dispatched_s"]).sum())
    return Count(counted, "client", "", NO_USAGE if math.isnan(least) else "", least, most, over_s)


def _range(requests: pd.DataFrame, counted: str) -> tuple[float, float]:
    if counted == "requests":
        return requests_range(requests)
    if counted == "errors":
        ended_badly = requests["outcome"].isin(["failed", "unfinished"]) & requests["dispatched_s"].notna()
        return float(ended_badly.sum()), float(ended_badly.sum())
    return tokens_range(requests, counted)


def _scraped(measured: Measured, client: Count, names: Names) -> Count:
    server = by_server(measured.records, names)
    if isinstance(server, Grown):
        return _compared(client, "scrape", server.total, server.over_s)
    if server is not None:
        return Count(client.counted, "scrape", RESET if server.reset else UNKNOWN, server.why)
    any_at_all = len(scrapes(measured.records)) > 0
    why = "the server has no counter of them that is known here" if any_at_all else "it gave no metrics"
    return Count(client.counted, "scrape", UNKNOWN, why)


def _asked(measured: Measured, client: Count) -> Count:
    records, name = measured.records, client.counted
    asked = records.profile.watched
    if asked is None:
        return Count(name, "prometheus", NOT_ASKED, "the profile asks no Prometheus")
    query = asked.queries.get(name)
    if query is None or query.statistic != "increase":
        why = f"the profile has no query called {name} with statistic: increase"
        return Count(name, "prometheus", NOT_ASKED, why)
    found = watched.evidence(measured, Objective(PREFIX + name, "increase", ">=", 0.0, query.unit))
    if found.estimate is None:
        fell = watched.of_query(records, name).groupby("trial")["value"].diff().lt(0).any()
        return Count(name, "prometheus", RESET if fell else UNKNOWN, found.decide(0.0).finding)
    mine = [each for each in records.watched if each["name"] == name]
    over_s = sum(each["end_ns"] - each["begin_ns"] for each in mine) / NANOSECONDS
    unseen = found.unseen if isinstance(found, watched.SeenEvidence) else None
    return _compared(client, "prometheus", found.estimate, over_s, unseen or "")


def _compared(client: Count, source: str, counted: float, over_s: float, unseen: str = "") -> Count:
    """Returns a count beside the client's; `unseen` says what may explain a difference."""
    least, most = client.least, client.most
    if math.isnan(least):
        return Count(client.counted, source, UNKNOWN, client.reason, counted, counted, over_s)
    difference = counted - min(max(counted, least), most)
    word, reason = (DIFFERS, unseen) if difference else (EQUAL, "")
    if not difference and least < most:
        word, reason = WITHIN, f"requests that failed leave {range_text(least, most)} open"
    return Count(client.counted, source, word, reason, counted, counted, over_s, difference)
