"""What measured records cannot contain: they contradict themselves, whoever wrote them.

Each rule holds for whatever the instrument writes, also for a run that was cut short; the rules of `_whole`
only for one that says it came to its end.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge import looks, watched
from hxbench.judge.reads import in_order
from hxbench.judge.requests import number, window_lengths
from hxbench.records.run_directory import Records

OUTCOMES = ("ok", "failed", "cancelled", "unfinished")
_CHAIN = ["dispatched_ns", "sent_ns", "first_byte_ns", "first_token_ns", "last_token_ns", "done_ns"]
_PAIRS = (
    ("due_ns", "dispatched_ns"), ("connect_start_ns", "connected_ns"), ("first_token_ns", "first_output_ns"),
)  # fmt: skip
_OF_GOOD = [name for name in _CHAIN if name != "sent_ns"]  # sending is noted after the fact
_COUNTS = ["attempt", "prompt_tokens", "output_tokens", "deltas", "reads", "bytes"]
_WHOLE_WINDOW = 0.9  # of the time asked for: a worker that was held up at its begin enters it late


def contradictions(records: Records) -> list[str]:
    """Returns one sentence a rule that the records break: the file, how many rows, the first of them."""
    rules = [*RULES, *(_WHOLE if records.ending["state"] == "complete" else ())]
    return [sentence for rule in rules for sentence in rule(records)]


def _found(table: str, ids: pd.Series, what: str) -> Iterator[str]:
    if len(ids):
        yield f"records/{table}.parquet: {units.count(len(ids))} {what} (first: {ids.iloc[0]})"


def _schedule(records: Records) -> Iterator[str]:
    schedule = records.schedule
    numbers = pd.to_numeric(schedule["request_id"].str.extract("([0-9]+)$", expand=False))
    begins = schedule["trial"].ne(schedule["trial"].shift()).fillna(True)
    hole = ~(numbers.diff().eq(1).fillna(False) | begins).astype(bool)
    yield from _found("schedule", schedule.loc[hole, "request_id"], "rows after a hole")
    noted = records.facts.get("schedule_sha256") or [None]
    if records.schedule_sha256 is not None and noted[-1] != records.schedule_sha256:
        yield "records/schedule.parquet: is not the schedule whose hash facts.json notes"


def _planned(records: Records) -> Iterator[str]:
    requests = records.requests
    plan = records.schedule.set_index("request_id").reindex(requests["request_id"]).reset_index(drop=True)
    unplanned = plan["trial"].isna()
    yield from _found("requests", requests.loc[unplanned, "request_id"], "requests that were never planned")
    other = pd.Series(False, index=requests.index)
    for column in ("trial", "target", "due_ns"):
        same = (requests[column] == plan[column]).fillna(False) | (
            requests[column].isna() & plan[column].isna()
        )
        other |= ~same.astype(bool)
    yield from _found(
        "requests",
        requests.loc[other & ~unplanned, "request_id"],
        "requests of another trial, target or due time than planned",
    )


def _outcomes(records: Records) -> Iterator[str]:
    requests = records.requests
    unknown = ~requests["outcome"].isin(OUTCOMES)
    yield from _found("requests", requests.loc[unknown, "request_id"], "requests of an unknown outcome")
    negative = (requests[_COUNTS] < 0).fillna(False).any(axis=1)
    yield from _found("requests", requests.loc[negative, "request_id"], "requests with a count below 0")
    good = requests[requests["outcome"] == "ok"]
    bad = {
        "with an error": good["error"].notna() | good["error_phase"].notna(),
        "whose HTTP status is not 200": good["http_status"].ne(200).fillna(True),
        "without all their times": good[_OF_GOOD].isna().any(axis=1),
        "without a token": _below_one(good["deltas"]) | _below_one(good["reads"]),
        "with no output tokens": good["output_tokens"].lt(1).fillna(False),
    }
    for what, rows in bad.items():
        yield from _found("requests", good.loc[rows.astype(bool), "request_id"], f"requests called ok {what}")


def _below_one(column: pd.Series) -> pd.Series:
    return ~column.ge(1).fillna(False).astype(bool)


def _times(records: Records) -> Iterator[str]:
    requests = records.requests
    times = requests[_CHAIN].to_numpy(dtype="float64", na_value=np.nan)
    before = np.fmax.accumulate(times, axis=1)[:, :-1] if len(times) else times[:, 1:]
    broken: NDArray[np.bool_] = np.any(times[:, 1:] < before, axis=1)
    for first, second in _PAIRS:
        broken |= number(requests[second]) < number(requests[first])
    yield from _found("requests", requests.loc[broken, "request_id"], "requests whose times go backwards")


def _reads(records: Records) -> Iterator[str]:
    reads, requests = records.reads, records.requests
    ids, index = reads["request_id"], reads["index"].to_numpy(dtype="int32")
    rows, order = in_order(reads, requests["request_id"])
    if rows.size < len(reads):
        strange = ids[~ids.isin(requests["request_id"])]
        yield from _found("reads", strange, "reads of requests that are not there")
    ids, index = ids.iloc[order], index[order]
    starts = np.flatnonzero(np.diff(rows, prepend=np.int32(-1)))
    sizes = np.diff(np.append(starts, len(rows)))
    received = reads["received_ns"].to_numpy(dtype="int64")[order]
    begins = np.zeros(len(rows), dtype=bool)
    begins[starts] = True
    hole = np.where(begins, index != 0, np.diff(index, prepend=np.int32(0)) != 1)
    yield from _found("reads", ids[hole], "reads after a hole, or twice")
    backwards = (received[1:] < received[:-1]) & (rows[1:] == rows[:-1])
    yield from _found("reads", ids.iloc[1:][backwards], "reads before the one they follow")
    yield from _sums(requests, rows, starts, sizes, received, reads["deltas"].to_numpy(dtype="int32")[order])


def _sums(
    requests: pd.DataFrame,
    rows: NDArray[np.int32],
    starts: NDArray[np.intp],
    sizes: NDArray[np.intp],
    received: NDArray[np.int64],
    deltas: NDArray[np.int32],
) -> Iterator[str]:
    """Compares what the requests say of their reads with the reads."""
    have = rows[starts]
    counted = np.zeros((2, len(requests)), dtype=np.int64)
    counted[:, have] = sizes, np.add.reduceat(deltas, starts, dtype=np.int64) if starts.size else sizes
    other = np.zeros(len(requests), dtype=bool)
    for column, found in zip(("reads", "deltas"), counted, strict=True):
        other |= np.nan_to_num(number(requests[column])) != found
    ends = {"first_token_ns": received[starts], "last_token_ns": received[starts + sizes - 1]}
    for column, found in ends.items():
        other[have] |= number(requests[column])[have] != found
    what = "requests whose reads, deltas or token times are not those in reads.parquet"
    yield from _found("requests", requests.loc[other, "request_id"], what)


def _samples(records: Records) -> Iterator[str]:
    series, clock = records.series, records.clock
    yield from _found("series", series.loc[series["value"].isna(), "name"], "samples that are no number")
    backwards = clock["monotonic_ns"].diff() < 0
    yield from _found("clock", clock.loc[backwards.fillna(False), "monotonic_ns"], "pairs out of order")


def _phases(records: Records) -> Iterator[str]:
    phases, requests = records.phases, records.requests
    backwards = (phases["end_ns"] < phases["start_ns"]).fillna(False)
    yield from _found("phases", phases.loc[backwards, "phase"], "phases that end before they begin")
    of_trial = phases.groupby("trial")
    begins, ends = of_trial["start_ns"].min(), of_trial["end_ns"].max()
    ends = ends[of_trial["end_ns"].count() == of_trial.size()]  # a killed run's last phase has none
    early = number(requests["dispatched_ns"]) < number(requests["trial"].map(begins).astype("Int64"))
    late = number(requests["done_ns"]) > number(requests["trial"].map(ends).astype("Int64"))
    what = "requests before their trial's begin or after its end"
    yield from _found("requests", requests.loc[early | late, "request_id"], what)


def _lost(records: Records) -> Iterator[str]:
    planned = records.schedule["request_id"]
    lost = ~planned.isin(records.requests["request_id"])
    what = "planned requests have no row, though the run came to its end"
    yield from _found("requests", planned[lost], what)


def _windows(records: Records) -> Iterator[str]:
    load, lengths, trials = records.profile.load, window_lengths(records), looks.recorded_trials(records)
    if set(lengths) != set(range(1, trials + 1)):
        yield f"records/phases.parquet: measured windows of trials {sorted(lengths)}, not of {trials}"
    sent = records.requests["outcome"] != "cancelled"
    measured = records.schedule.loc[records.schedule["phase"] == "measure", ["request_id", "trial", "turn"]]
    was_sent = measured["request_id"].isin(records.requests.loc[sent, "request_id"])
    measured = measured.assign(sent=was_sent | (measured["turn"] > 0))  # a failed turn ends a conversation
    for trial in range(1, trials + 1):
        rows = measured[measured["trial"] == trial]
        asked, length_s = load.measured_s, lengths.get(trial, 0.0)
        short = asked is not None and length_s < _WHOLE_WINDOW * asked
        if short and not (load.loop == "closed" and rows["sent"].all()):  # its requests may run out
            yield (
                f"records/phases.parquet: trial {trial} measured {units.duration(length_s)}, "
                f"the profile asks for {units.duration(asked)}"
            )
        if load.requests is not None and rows["sent"].sum() < load.requests:
            yield (
                f"records/requests.parquet: trial {trial} sent {units.count(int(rows['sent'].sum()))} "
                f"measured requests, the profile asks for {units.count(load.requests)}"
            )


Rule = Callable[[Records], Iterator[str]]
RULES: tuple[Rule, ...] = (
    _schedule,
    _planned,
    _outcomes,
    _times,
    _reads,
    _samples,
    _phases,
    watched.contradictions,
)
_WHOLE: tuple[Rule, ...] = (_lost, _windows, looks.contradictions)
