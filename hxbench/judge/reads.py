"""Token-bearing reads: the gaps between them, and when tokens arrived. Cost linear in the reads."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hxbench.judge.requests import NANOSECONDS, number, zero_ns
from hxbench.records.run_directory import Records


def token_gaps(records: Records, requests: pd.DataFrame) -> pd.DataFrame:
    """Returns the itl, one row a gap: request_id, trial, phase, ok, attempted, time_s, gap_s.

    `requests` is what `per_request` returns; `time_s` is when the gap ended, in seconds since the trial's
    measured window began.
    """
    gaps = gap_rows(records, requests)
    columns = ["request_id", "trial", "phase", "ok", "attempted"]
    frame = requests[columns].take(gaps["row"].to_numpy()).reset_index(drop=True)
    return pd.concat([frame, gaps[["time_s", "gap_s"]]], axis=1)


def gap_rows(records: Records, requests: pd.DataFrame) -> pd.DataFrame:
    """Returns the itl, one row a gap: row, the position of its request among `requests`; time_s, gap_s."""
    rows, received_ns = _by_request(records, requests)
    within = rows[1:] == rows[:-1]
    later = rows[1:][within]
    time_s = _times(records, requests, later, received_ns[1:][within])
    return pd.DataFrame({"row": later, "time_s": time_s, "gap_s": np.diff(received_ns)[within] / NANOSECONDS})


def token_arrivals(records: Records, requests: pd.DataFrame) -> pd.DataFrame:
    """Returns when tokens of good requests arrived: trial, time_s, tokens, one row a read.

    Tokens of a read are as stated by the server, else the request's output tokens in proportion to deltas;
    NaN where neither is known.
    """
    reads = records.reads
    rows = _request_rows(reads, requests)
    keep = (rows >= 0) & requests["ok"].to_numpy()[rows]
    received_ns = reads["received_ns"].to_numpy(dtype="int64")[keep]
    found = rows[keep]
    return pd.DataFrame(
        {
            "trial": requests["trial"].to_numpy()[found],
            "time_s": _times(records, requests, found, received_ns),
            "tokens": _tokens(reads[keep], requests, found),
        }
    )


def _times(
    records: Records, requests: pd.DataFrame, rows: NDArray[np.intp], stamps_ns: NDArray[np.int64]
) -> NDArray[np.float64]:
    zero = zero_ns(records, requests["trial"]).to_numpy(dtype="int64", na_value=-1)[rows]
    return np.where(zero < 0, np.nan, (stamps_ns - zero) / NANOSECONDS)


def _tokens(reads: pd.DataFrame, requests: pd.DataFrame, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    stated, deltas = number(reads["tokens"]), number(reads["deltas"])
    size = len(requests)
    unstated = np.bincount(rows, weights=np.isnan(stated), minlength=size)[rows] > 0
    all_deltas = np.bincount(rows, weights=deltas, minlength=size)[rows]
    by_share = number(requests["output_tokens"])[rows] * deltas / all_deltas
    return np.where(unstated, by_share, stated)


def _by_request(records: Records, requests: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Row of the request and stamp of every read, the reads of a request next to each other in order."""
    reads = records.reads
    rows = _request_rows(reads, requests)
    order = np.lexsort((reads["index"].to_numpy(dtype="int64"), rows))
    order = order[rows[order] >= 0]
    return rows[order], reads["received_ns"].to_numpy(dtype="int64")[order]


def _request_rows(reads: pd.DataFrame, requests: pd.DataFrame) -> NDArray[np.intp]:
    """Position of each read's request; -1 for a request that is not planned."""
    found = pc.index_in(pa.array(reads["request_id"]), value_set=pa.array(requests["request_id"]))
    rows: NDArray[np.intp] = pc.fill_null(found, -1).to_numpy().astype(np.intp)
    return rows
