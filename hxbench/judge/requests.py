"""One row a planned request: what became of it, and its times by the definitions of `metrics`."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.plan.profile import Profile
from hxbench.records.run_directory import Records

NANOSECONDS = 1e9  # in a second; dividing by it is exact to the last digit, multiplying by 1e-9 is not

_PLANNED = [
    "request_id",
    "trial",
    "phase",
    "stage",
    "user",
    "conversation",
    "turn",
    "prompt_class",
    "max_tokens",
]
_COPIED = [
    "outcome", "error_phase", "error", "prompt_tokens", "output_tokens", "cached_tokens", "token_source",
    "deltas", "stamp",
]  # fmt: skip


def window_lengths(records: Records) -> dict[int, float]:
    """Returns the seconds of each trial's measured window."""
    found = records.windows
    lengths_s = (found["end_ns"] - found["start_ns"]).to_numpy(dtype="int64") / NANOSECONDS
    return {int(trial): float(length) for trial, length in zip(found["trial"], lengths_s, strict=True)}


def per_request(records: Records) -> pd.DataFrame:
    """Returns one row a planned request, in the schedule's order; what did not happen is NaN or null.

    `attempted` says that it belongs to N: of phase `measure`, and due (open loop) or dispatched (closed
    loop). A row of the schedule without a request is `unfinished` and belongs to N as well.
    """
    schedule = records.schedule.reset_index(drop=True)
    rows = _in_schedule_order(records.requests, schedule)
    is_open = records.profile.load.loop == "open"
    zero = zero_ns(records, schedule["trial"])
    due_ns = rows["due_ns"].fillna(schedule["due_ns"])
    origin_ns = due_ns if is_open else rows["dispatched_ns"]
    frame = schedule[_PLANNED].copy()
    frame[_COPIED] = rows[_COPIED]
    frame["outcome"] = frame["outcome"].fillna("unfinished")
    frame["ok"] = (frame["outcome"] == "ok").astype(bool)
    frame["due_s"] = seconds(due_ns - zero)
    frame["dispatched_s"] = seconds(rows["dispatched_ns"] - zero)
    frame["done_s"] = seconds(rows["done_ns"] - zero)
    frame["attempted"] = _attempted(records, frame, is_open=is_open)
    _add_times(frame, rows, origin_ns)
    frame["tpot_s"] = _tpot(records, frame["request_id"], rows)
    load = records.profile.load
    late_s = seconds(rows["dispatched_ns"] - due_ns)
    if load.max_in_flight is not None:
        late_s = _lateness(frame, late_s, load.max_in_flight)
    by_worker = frame.assign(worker=rows["worker"])
    frame["send_lag_s"] = late_s if is_open else _turnaround(by_worker, records.profile)
    return frame


def seconds(ns: pd.Series) -> NDArray[np.float64]:
    """Returns a difference of stamps in seconds; null becomes NaN."""
    return number(ns) / NANOSECONDS


def _in_schedule_order(requests: pd.DataFrame, schedule: pd.DataFrame) -> pd.DataFrame:
    return requests.set_index("request_id").reindex(schedule["request_id"]).reset_index(drop=True)


def zero_ns(records: Records, trials: pd.Series) -> pd.Series:
    """Returns the stamp that is 0 s of each trial: the start of its measured window, null without one."""
    starts = records.windows.set_index("trial")["start_ns"]
    return pd.Series(trials.map(starts), dtype="Int64")


def _attempted(records: Records, frame: pd.DataFrame, *, is_open: bool) -> pd.Series:
    never_sent = (frame["outcome"] == "cancelled") & np.isnan(frame["dispatched_s"])
    if is_open:
        ends = records.windows.set_index("trial")
        length_s = seconds(frame["trial"].map(ends["end_ns"] - ends["start_ns"]).astype("Int64"))
        never_sent &= ~(frame["due_s"] < length_s)
    return pd.Series((frame["phase"] == "measure") & ~never_sent, dtype=bool)


def _add_times(frame: pd.DataFrame, rows: pd.DataFrame, origin_ns: pd.Series) -> None:
    frame["ttft_s"] = seconds(rows["first_token_ns"] - origin_ns)
    frame["ttft_dispatch_s"] = seconds(rows["first_token_ns"] - rows["dispatched_ns"])
    frame["ttfb_s"] = seconds(rows["first_byte_ns"] - origin_ns)
    frame["ttfo_s"] = seconds(rows["first_output_ns"] - origin_ns)
    frame["connect_s"] = seconds(rows["connected_ns"] - rows["connect_start_ns"])
    frame["e2e_s"] = seconds(rows["last_token_ns"] - origin_ns)
    frame["server_prefill_s"] = seconds(rows["server_prefill_ns"])
    frame["server_decode_s"] = seconds(rows["server_decode_ns"])


def _tpot(records: Records, ids: pd.Series, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Seconds a token after the first read; NaN where no token came later, as with a single read."""
    after_first = number(rows["output_tokens"]) - _first_read_tokens(records, ids, rows)
    decoding_s = seconds(rows["last_token_ns"] - rows["first_token_ns"])
    several = (after_first > 0) & (number(rows["deltas"]) > number(rows["first_read_deltas"]))
    undefined = np.full(len(rows), np.nan)
    tpot: NDArray[np.float64] = np.divide(decoding_s, after_first, out=undefined, where=several)
    return tpot


def _first_read_tokens(records: Records, ids: pd.Series, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Tokens of the first read: as stated by the server, else its share of the deltas."""
    first = records.reads[(records.reads["index"] == 0) & records.reads["tokens"].notna()]
    stated = number(ids.map(first.set_index("request_id")["tokens"]).astype("Float64"))
    by_share = number(rows["output_tokens"] * rows["first_read_deltas"] / rows["deltas"])
    return np.where(np.isnan(stated), by_share, stated)


def _lateness(frame: pd.DataFrame, late_s: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """Seconds from when a request could be sent to when it was: it was due (`late_s` ago), and had a place.

    With n places the k-th dispatch of a trial waits for the (k-n)-th completion, whichever that was. What a
    request waited for its place is no fault of the instrument; its times, counted from due, hold it.
    """
    lateness = late_s.copy()
    for _, trial in frame[frame["dispatched_s"].notna()].groupby("trial"):
        in_order = trial["dispatched_s"].sort_values(kind="stable").iloc[places:]
        freed = np.sort(trial["done_s"].to_numpy())[: len(in_order)]
        lateness[in_order.index] = np.fmin(lateness[in_order.index], in_order.to_numpy() - freed)
    return lateness


def _turnaround(frame: pd.DataFrame, profile: Profile) -> NDArray[np.float64]:
    """Seconds from when a user became free, and had thought, to its next request.

    Each load worker has its own users. With n of them its k-th dispatch of a phase is by whoever was the
    (k-n)-th to be ready for one.
    """
    seed, lag = profile.workload.seed, np.full(len(frame), np.nan)
    sent = frame[frame["dispatched_s"].notna()]
    for _, phase in sent.groupby(["trial", "phase", "worker"]):
        users = profile.instrument.dealt(profile.load.scaled_users, int(phase["worker"].iloc[0]))
        in_order = phase["dispatched_s"].sort_values(kind="stable")
        thought = [profile.load.thinking_s(seed, request_id) for request_id in phase["request_id"]]
        ready = np.sort(phase["done_s"].to_numpy() + thought)[: max(len(phase) - users, 0)]
        lag[in_order.index[users:]] = in_order.to_numpy()[users:] - ready
    return lag


def number(column: pd.Series) -> NDArray[np.float64]:
    """Returns a nullable column as floats; null becomes NaN."""
    values: NDArray[np.float64] = column.to_numpy(dtype="float64", na_value=np.nan)
    return values
