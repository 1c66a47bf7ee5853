"""Token-bearing reads: the gaps between them, and when tokens arrived. Cost linear in the reads."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.requests import NANOSECONDS, number, zero_ns
from hxbench.records.run_directory import Records

Rows = NDArray[np.int32]

BLOCK = 2**18  # reads looked at in one go where they need not all lie in memory several times over


def token_gaps(records: Records, requests: pd.DataFrame) -> pd.DataFrame:
    """Returns the itl, one row a gap: request_id, trial, phase, ok, attempted, time_s, gap_s.

    `requests` is what `per_request` returns; `time_s` is when the gap ended, in seconds since the trial's
    measured window began.
    """
    gaps = gap_rows(records, requests)
    columns = ["request_id", "trial", "phase", "ok", "attempted"]
    frame = requests[columns].take(gaps["row"].to_numpy()).reset_index(drop=True)
    return frame.assign(time_s=gap_times(records, requests), gap_s=gaps["gap_s"])


def gap_rows(records: Records, requests: pd.DataFrame) -> pd.DataFrame:
    """Returns the itl, one row a gap: row, the position of its request among `requests`; gap_s."""
    rows, received_ns, within = _received(records, requests)
    gap_s, done = np.empty(np.count_nonzero(within)), 0
    for start in range(0, within.size, BLOCK):
        gaps_ns = np.diff(received_ns[start : start + BLOCK + 1])[within[start : start + BLOCK]]
        gap_s[done : done + gaps_ns.size] = gaps_ns / NANOSECONDS
        done += gaps_ns.size
    return pd.DataFrame({"row": rows[1:][within], "gap_s": gap_s}, copy=False)


def gap_times(records: Records, requests: pd.DataFrame) -> NDArray[np.float64]:
    """Returns when each of the same gaps ended, in seconds since the trial's measured window began."""
    rows, received_ns, within = _received(records, requests)
    return _times(_zero(records, requests)[rows[1:][within]], received_ns[1:][within])


def _received(records: Records, requests: pd.DataFrame) -> tuple[Rows, NDArray[np.int64], NDArray[np.bool_]]:
    """Returns of the reads in order: request, time, and of all but the first if it follows one of its own."""
    rows, order = in_order(records.reads, requests["request_id"])
    return rows, records.reads["received_ns"].to_numpy(dtype="int64")[order], rows[1:] == rows[:-1]


def token_arrivals(records: Records, requests: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yields when tokens of good requests arrived: trial, time_s, tokens, one row a read, a block at a time.

    Tokens of a read are as stated by the server, else the request's output tokens in proportion to deltas.
    Left out is a read of which neither is known, or whose trial has no window.
    """
    ids = requests["request_id"]
    unstated, deltas = _totals(records.reads, ids)
    trial, ok = requests["trial"].to_numpy(dtype="int64"), requests["ok"].to_numpy()
    output_tokens, zero = number(requests["output_tokens"]), _zero(records, requests)
    for block, found in _blocks(records.reads, ids):
        by_share = output_tokens[found] * number(block["deltas"]) / deltas[found]
        tokens = np.where(unstated[found] > 0, by_share, number(block["tokens"]))
        time_s = _times(zero[found], block["received_ns"].to_numpy(dtype="int64"))
        keep = ok[found] & ~np.isnan(tokens) & ~np.isnan(time_s)
        yield pd.DataFrame({"trial": trial[found], "time_s": time_s, "tokens": tokens})[keep]


def _totals(reads: pd.DataFrame, ids: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns for each request how many of its reads lack a stated number of tokens, and its deltas."""
    unstated, deltas = np.zeros(ids.size), np.zeros(ids.size)
    for block, found in _blocks(reads, ids):
        unstated += np.bincount(found, np.isnan(number(block["tokens"])), minlength=ids.size)
        deltas += np.bincount(found, number(block["deltas"]), minlength=ids.size)
    return unstated, deltas


def _blocks(reads: pd.DataFrame, ids: pd.Series) -> Iterator[tuple[pd.DataFrame, Rows]]:
    """Yields the reads of planned requests, with the position of each one's request; one block at least."""
    rows, codes = _coded(reads, ids)
    for start in range(0, max(codes.size, 1), BLOCK):
        found = rows[codes[start : start + BLOCK]]
        mine = found >= 0
        yield reads.iloc[start : start + BLOCK][mine], found[mine]


def _zero(records: Records, requests: pd.DataFrame) -> NDArray[np.int64]:
    """Stamp of each request at which its trial's measured window began; -1 without one."""
    zero: NDArray[np.int64] = zero_ns(records, requests["trial"]).to_numpy(dtype="int64", na_value=-1)
    return zero


def _times(zero: NDArray[np.int64], stamps_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds since the trial's measured window began; NaN without one."""
    times_s: NDArray[np.float64] = (stamps_ns - zero) / NANOSECONDS
    times_s[zero < 0] = np.nan
    return times_s


def in_order(reads: pd.DataFrame, ids: pd.Series) -> tuple[Rows, NDArray[np.intp] | slice]:
    """Returns where in `ids` the request of each read stands, in that order and by index, and that order.

    Reads of other requests are left out. Reads that follow each other are sorted as one: a recording writes
    those of a request together.
    """
    rows, index = _request_rows(reads, ids), reads["index"].to_numpy(dtype="int32")
    follows = (rows[1:] == rows[:-1]) & (np.diff(index) == 1)
    starts = np.flatnonzero(np.concatenate([rows[:1] == rows[:1], ~follows]))
    sizes = np.diff(np.append(starts, rows.size))
    order = np.lexsort((index[starts], rows[starts]))
    order = order[rows[starts[order]] >= 0]
    if np.array_equal(order, np.arange(starts.size)):
        return rows, slice(None)
    starts, sizes = starts[order], sizes[order]
    each = np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    each += np.arange(each.size)
    return rows[each], each


def _request_rows(reads: pd.DataFrame, ids: pd.Series) -> Rows:
    """Position of each read's request; -1 for a request that is not among `ids`."""
    rows, codes = _coded(reads, ids)
    found = np.empty(codes.size, dtype=np.int32)
    for start in range(0, codes.size, BLOCK):
        found[start : start + BLOCK] = rows[codes[start : start + BLOCK]]
    return found


def _coded(reads: pd.DataFrame, ids: pd.Series) -> tuple[Rows, NDArray[np.integer[Any]]]:
    """The same in little memory: the position for each code, and the code of each read."""
    known = reads["request_id"].astype("category").cat
    positions = pd.Index(ids).get_indexer(pd.Index(known.categories))
    return np.append(positions, -1).astype(np.int32), known.codes.to_numpy()  # the code of none is -1
