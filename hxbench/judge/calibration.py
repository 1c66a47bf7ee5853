"""How far the instrument's stamps lie from what a reference server logged: frames in, plain values out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hxbench.judge.requests import NANOSECONDS
from hxbench.stats.quantiles import nearest_rank

_JOINED = ["request_id", "index", "received_ns", "dispatched_ns", "arrived_ns", "before_ns"]
LIMIT_S = 0.001  # our own, and round: what a latency of some ten ms can bear
LIMIT_SHARE = 0.01  # our own, and round: of the limit that an error bears on
FULL_CORE = 0.85  # of a core; the rest is what a busy process waits for sockets and its peer


class Client(NamedTuple):
    """What the instrument says: `requests` (with their phase) and `reads` as in the records."""

    requests: pd.DataFrame
    reads: pd.DataFrame
    begin_ns: int  # of the measured window
    end_ns: int


class Truth(NamedTuple):
    """What the server's log says: number, request_id, arrived_ns; and number, tokens, before_ns."""

    arrivals: pd.DataFrame
    departures: pd.DataFrame


def errors(client: Client, truth: Truth) -> dict[str, Any]:
    """Returns n, bias and p99 of the errors of ttft, itl and arrival in seconds; None without any.

    Bias is the mean of client less truth, p99 that of its absolute value, over requests of the measured
    phase that were answered well. ttft: from dispatch to the first token, against from the arrival at the
    server to the first token's departure. itl: the gap between two reads, against that between the
    departures of the last token in each. arrival: from due to the arrival at the server. A token departs
    just before its send, so that time lost within the send counts as the instrument's.
    """
    requests = client.requests
    requests = requests[(requests["phase"] == "measure") & (requests["outcome"] == "ok")]
    requests = requests.merge(truth.arrivals, on="request_id")
    joined = _joined(requests, client.reads, truth.departures)
    first = joined[joined["index"] == 0]
    ttft = (first["received_ns"] - first["dispatched_ns"]) - (first["before_ns"] - first["arrived_ns"])
    follows = joined["request_id"].eq(joined["request_id"].shift()) & joined["index"].diff().eq(1)
    itl = (joined["received_ns"].diff() - joined["before_ns"].diff())[follows]
    due = requests.dropna(subset="due_ns")
    return {
        **_described("ttft", ttft),
        **_described("itl", itl),
        **_described("arrival", due["arrived_ns"] - due["due_ns"]),
    }


def _joined(requests: pd.DataFrame, reads: pd.DataFrame, departures: pd.DataFrame) -> pd.DataFrame:
    """Returns each read of the requests with the departure that brought its last token.

    Both are found by how many tokens had come, or left, by then; a read that ended within a write has none.
    """
    if requests.empty or reads.empty:
        return pd.DataFrame(columns=_JOINED, dtype="float64")
    left = departures[departures["tokens"] > 0].assign(
        so_far=lambda frame: frame.groupby("number")["tokens"].cumsum()
    )
    came = reads.assign(so_far=lambda frame: frame.groupby("request_id")["deltas"].cumsum())
    keys = requests[["request_id", "number", "dispatched_ns", "arrived_ns"]]
    return came.merge(keys, on="request_id").merge(
        left[["number", "so_far", "before_ns"]], on=["number", "so_far"]
    )


def _described(name: str, errors_ns: "pd.Series[int]") -> dict[str, float | None]:
    error_s = errors_ns.to_numpy(dtype="float64") / NANOSECONDS
    return {
        f"{name}_n": len(error_s),
        f"{name}_bias_s": float(error_s.mean()) if len(error_s) else None,
        f"{name}_p99_s": nearest_rank(np.sort(np.abs(error_s)), 0.99),
    }


def rates(client: Client) -> dict[str, float]:
    """Returns the requests that ended well and the tokens that came in the measured window, a second."""
    seconds = (client.end_ns - client.begin_ns) / NANOSECONDS
    done = client.requests.loc[client.requests["outcome"] == "ok", "done_ns"]
    tokens = client.reads.loc[client.reads["received_ns"].between(client.begin_ns, client.end_ns), "deltas"]
    return {
        "requests_per_s": int(done.between(client.begin_ns, client.end_ns).sum()) / seconds,
        "tokens_per_s": int(tokens.sum()) / seconds,
    }


def limited_by(shares: Mapping[str, float]) -> str:
    """Returns what a load as fast as it goes ran into: whoever, with its share of a core, fills one."""
    name = max(shares, key=lambda each: shares[each])
    return name if shares[name] >= FULL_CORE else "other work on this machine"
