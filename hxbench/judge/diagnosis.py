"""Where a request's time went, part by part, and one sentence on what the slow ones waited for.

The parts lie between stamps of one clock, each from the latest stamp before it, so that they add up to
`total_ns`, from due (dispatched, in a closed loop) to the last token, to the nanosecond.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.measured import Measured
from hxbench.judge.requests import NANOSECONDS, number, window_lengths
from hxbench.judge.resources import sampled
from hxbench.plan.profile import EMBEDDED
from hxbench.records.run_directory import Records
from hxbench.stats.quantiles import nearest_rank

# part -> the stamp that ends it; `rest_ns` is what lies before a connection is begun: another that was dead
PARTS = {
    "dispatch_wait_ns": "dispatched_ns",
    "rest_ns": "connect_start_ns",
    "connect_ns": "connected_ns",
    "send_ns": "sent_ns",
    "server_ns": "first_byte_ns",
    "first_token_ns": "first_token_ns",
    "decode_ns": "last_token_ns",
}
TAIL, FEWEST = 0.95, 20  # with fewer requests the p95 is the slowest one
WORTH_SAYING = 0.1  # of the median: a tail this short is none
LONGER = 1.2  # times the tokens of the others
BUSY = ("llamacpp:requests_processing",)
QUEUED = ("llamacpp:requests_deferred", "vllm:num_requests_waiting")


def waterfall(records: Records) -> pd.DataFrame:
    """Returns one row a good request of the N, the slowest first: request_id, trial, the parts, total_ns.

    Beside them `server_queue_s`, from sent to the first token less the server's own prefill time, and that
    and the decoding time as the server states them; NaN where it does not.
    """
    return _parts(Measured(records))


def _parts(measured: Measured) -> pd.DataFrame:
    records = measured.records
    attempted = measured.attempted[measured.attempted["ok"]]
    rows = records.requests.set_index("request_id").reindex(attempted["request_id"]).reset_index()
    rows = rows.dropna(subset=["dispatched_ns", "last_token_ns"]).reset_index(drop=True)
    is_open = records.profile.load.loop == "open"
    origin = (rows["due_ns"] if is_open else rows["dispatched_ns"]).to_numpy(dtype="int64")
    frame = rows[["request_id", "trial", "output_tokens"]].copy()
    latest = origin
    for part, stamp in PARTS.items():
        ends = np.maximum(rows[stamp].fillna(0).to_numpy(dtype="int64"), latest)
        frame[part], latest = ends - latest, ends
    frame["total_ns"] = latest - origin
    prefill, decode = (number(rows[f"server_{name}_ns"]) / NANOSECONDS for name in ("prefill", "decode"))
    frame["server_queue_s"] = (frame["server_ns"] + frame["first_token_ns"]) / NANOSECONDS - prefill
    frame["server_prefill_s"], frame["server_decode_s"] = prefill, decode
    return frame.sort_values("total_ns", ascending=False, kind="stable", ignore_index=True)


def sentence(measured: Measured) -> str | None:
    """Returns what the slow tail waited for, in one line; None with too few good requests to have a tail."""
    frame = _parts(measured)
    if len(frame) < FEWEST:
        return None
    total_s = np.sort(frame["total_ns"].to_numpy()) / NANOSECONDS
    median, tail = nearest_rank(total_s, 0.5) or 0.0, nearest_rank(total_s, TAIL) or 0.0
    over = f"p95 of e2e is {units.duration(tail - median)} over its median, {units.duration(median)}"
    if tail - median <= WORTH_SAYING * median:
        return f"{over}: no slow tail"
    slow = frame["total_ns"] / NANOSECONDS >= tail
    lost_s = dict(_causes(measured.records, frame, slow))
    cause = max(lost_s, key=lambda words: lost_s[words])
    return f"{over}: the slowest lost {units.duration(lost_s[cause])} {cause}"


def _causes(records: Records, frame: pd.DataFrame, slow: "pd.Series[bool]") -> Iterator[tuple[str, float]]:
    """Yields what a request can wait for, and the mean seconds the slow lose to it against the median."""

    def lost(*parts: str) -> float:
        together = frame[list(parts)].sum(axis=1, skipna=False)
        return float(together[slow].mean() - together.median())

    cap = records.profile.load.max_in_flight
    capped = "" if cap is None else f" (at most {cap} in flight)"
    yield f"waiting to be sent{capped}", lost("dispatch_wait_ns") / NANOSECONDS
    yield "before connecting", lost("rest_ns") / NANOSECONDS
    yield "connecting", lost("connect_ns") / NANOSECONDS
    yield "sending the request", lost("send_ns") / NANOSECONDS
    yield f"decoding{_longer(frame, slow)}", lost("decode_ns") / NANOSECONDS
    if frame["server_prefill_s"].isna().any():
        yield f"before the first token{_busy(records)}", lost("server_ns", "first_token_ns") / NANOSECONDS
    else:
        yield f"waiting for a free slot{_busy(records)}", lost("server_queue_s")
        yield "in the server's prefill", lost("server_prefill_s")


def _longer(frame: pd.DataFrame, slow: "pd.Series[bool]") -> str:
    tokens = frame["output_tokens"].dropna()
    more = len(tokens) and tokens[slow.reindex(tokens.index)].mean() > LONGER * tokens.median()
    return " longer answers" if more else ""


def _busy(records: Records) -> str:
    busy = "; ".join(_fullness(records))
    return f" ({busy})" if busy else ""


def _fullness(records: Records) -> Iterator[str]:
    """Yields how much of the measured windows the server said it was full, or that requests waited."""
    target = records.profile.target
    slots = target.embedded.slots if target.server == EMBEDDED else None
    full = _share_of_window(records, BUSY, float(slots)) if slots is not None else None
    waiting = _share_of_window(records, QUEUED, 1.0)
    if full is not None:
        yield f"slots busy {units.share(full)} of the window"
    if waiting is not None:
        yield f"requests waiting in {units.share(waiting)} of it"


def _share_of_window(records: Records, names: tuple[str, ...], least: float) -> float | None:
    """Returns the share of the scrapes within the windows at which a gauge was at least `least`."""
    lengths_s = window_lengths(records)
    for name in names:
        gauge = sampled(records, "scrape", name)
        inside = gauge[gauge["time_s"].ge(0) & (gauge["time_s"] <= gauge["trial"].map(lengths_s))]
        if len(inside):
            return float((inside["value"] >= least).mean())
    return None
