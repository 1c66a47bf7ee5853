"""What the records of a memory check cannot contain: they contradict themselves, whoever wrote them.

Each rule holds for whatever a check writes, also for one that was cut short; those of `_WHOLE` only for one
that says it came to its end.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench import units
from hxbench.errors import EvidenceError
from hxbench.plan.memory import Step
from hxbench.plan.profile import Profile
from hxbench.wire.dialects import DIALECTS

Times = NDArray[np.int64]

SERIES, PHASES, EXCHANGES = "records/series.parquet", "records/phases.parquet", "records/exchanges.json"
_TEXTS = ("name", "method", "path", "request", "body")
BODY_KEPT = 16_384  # characters of a request, as `preflight` keeps them
_TIMES = ("started_ns", "done_ns")


@dataclass(frozen=True)
class Measured:
    """The records of a check; `trial` in them is the step's number, from 1."""

    profile: Profile
    steps: Sequence[Step]
    series: pd.DataFrame
    phases: pd.DataFrame
    exchanges: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]
    is_whole: bool  # it came to its end

    @property
    def planned(self) -> dict[int, Step]:
        """Returns each step by its number."""
        return dict(enumerate(self.steps, start=1))


def contradictions(measured: Measured) -> list[str]:
    """Returns one sentence a rule that the records break: the file, how many, the first of them."""
    rules = [*RULES, *(_WHOLE if measured.is_whole else ())]
    return [sentence for rule in rules for sentence in rule(measured)]


def _found(file: str, which: Sequence[str], what: str) -> Iterator[str]:
    if which:
        yield f"{file}: {units.count(len(which))} {what} (first: {which[0]})"


def require_rows(frame: pd.DataFrame, file: str, columns: Sequence[str]) -> pd.DataFrame:
    """Returns a table every row of which has these columns.

    Raises: EvidenceError for one that lacks any: nothing can be made of it.
    """
    rows = frame.index[frame[list(columns)].isna().any(axis=1)]
    for sentence in _found(file, [f"row {row}" for row in rows], "rows that are not whole"):
        raise EvidenceError(sentence)
    return frame


def require_exchanges(found: Any) -> list[dict[str, Any]]:
    """Returns what is a list of exchanges.

    Raises: EvidenceError when it is anything else.
    """
    listed = found if isinstance(found, list) else [found]
    bad = [f"entry {place}" for place, each in enumerate(listed) if not _is_exchange(each)]
    for sentence in _found(EXCHANGES, bad, "entries that are no exchange"):
        raise EvidenceError(sentence)
    return listed


def _is_exchange(each: Any) -> bool:
    return (
        isinstance(each, Mapping)
        and all(isinstance(each.get(name), str) for name in _TEXTS)
        and all(type(each.get(name)) is int for name in (*_TIMES, "trial"))
        and {"status", "error"} <= each.keys()
    )


def _samples(measured: Measured) -> Iterator[str]:
    """Each sample is a number of its own step, and none of a server's memory is nothing."""
    series = measured.series
    value = series["value"].to_numpy(dtype="float64", na_value=np.nan)
    yield from _found(SERIES, list(series.loc[~np.isfinite(value), "name"]), "samples that are no number")
    memory = (series["source"] == "process") & series["name"].isin(("rss_bytes", "pss_bytes"))
    yield from _found(SERIES, list(series.loc[memory & (value < 0), "name"]), "samples of memory below 0")
    of_none = ~series["trial"].isin(measured.planned.keys())
    yield from _found(SERIES, list(series.loc[of_none, "name"]), "samples of no step of this check")
    mine = series[series["source"] == "process"]
    backwards = (mine["time_ns"].diff() < 0) & mine["trial"].eq(mine["trial"].shift())
    yield from _found(SERIES, list(mine.loc[backwards.fillna(False), "name"]), "samples out of order")


def _outside(measured: Measured) -> Iterator[str]:
    """A step's samples lie between the steps before and after it: its sampler lived no longer."""
    phases, series = measured.phases, measured.series
    begins = phases.groupby("trial")["start_ns"].min()
    ends = phases.groupby("trial")["end_ns"].max()
    early = series["time_ns"] < series["trial"].map({n: ends[ends.index < n].max() for n in measured.planned})
    late = series["time_ns"] > series["trial"].map(
        {n: begins[begins.index > n].min() for n in measured.planned}
    )
    outside = (early | late).fillna(False).astype(bool)
    yield from _found(SERIES, list(series.loc[outside, "name"]), "samples outside their step")


def _phases(measured: Measured) -> Iterator[str]:
    """The phases are those of the steps, one after the other: a rest, and behind each load another."""
    phases = measured.phases
    other = phases["stage"] != phases["trial"].map({n: step.name for n, step in measured.planned.items()})
    yield from _found(
        PHASES, list(phases.loc[other.fillna(True), "stage"]), "phases of no step of this check"
    )
    edges = phases[["start_ns", "end_ns"]].to_numpy(dtype="int64").ravel()
    backwards = (np.diff(edges) < 0).any() or (phases["trial"].diff() < 0).fillna(False).any()
    if backwards:
        yield f"{PHASES}: phases are out of order"
    for trial, mine in phases.groupby("trial"):
        turns = ["rest", "load"] * len(mine)
        if mine["phase"].tolist() != turns[: len(mine)]:
            yield f"{PHASES}: step {trial}: not a rest, and a rest behind each load"


def _exchanges(measured: Measured) -> Iterator[str]:
    """Each exchange is of its step, by the profile's dialect and model, and no request was sent twice."""
    bad: dict[str, list[str]] = {}
    for each in measured.exchanges:
        for what in _wrong(measured, each):
            bad.setdefault(what, []).append(each["name"])
    for what, which in bad.items():
        yield from _found(EXCHANGES, which, what)
    sent = pd.Series([f"{each['trial']} {each['request']}" for each in measured.exchanges], dtype="string")
    yield from _found(EXCHANGES, list(sent[sent.duplicated()].str[:60]), "requests that were sent before")


def _wrong(measured: Measured, exchange: Mapping[str, Any]) -> Iterator[str]:
    step, target = measured.planned.get(exchange["trial"]), measured.profile.target
    path = DIALECTS[target.protocol].path
    if (exchange["method"], exchange["path"]) != ("POST", path):
        yield f"exchanges that did not go to {path}"
    if exchange["done_ns"] < exchange["started_ns"]:
        yield "exchanges that end before they begin"
    if step is None or exchange["name"] != step.name:
        yield "exchanges of no step of this check"
        return
    wanted = {"model": target.model, "max_tokens": step.tokens} | dict(target.extra_body)
    asked = _body(exchange)
    if asked is not None and any(asked.get(name) != value for name, value in wanted.items()):
        yield "requests that are not what profile and step ask for"


def _body(exchange: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the body of a request; None of one so long that it was not kept whole."""
    try:
        body = json.loads(exchange["request"])
    except ValueError:
        return None if len(exchange["request"]) >= BODY_KEPT else {}
    return body if isinstance(body, Mapping) else {}


def _loads(measured: Measured) -> Iterator[str]:
    """What was asked lies in the loads of its step, in each as many as planned, at once as many as users."""
    for trial, step in measured.planned.items():
        mine = [each for each in measured.exchanges if each["trial"] == trial]
        begun, done = (np.array([each[name] for each in mine], dtype="int64") for name in _TIMES)
        place, ends = _places(measured, trial, begun, done)
        outside = place < 0
        if not measured.is_whole:  # the load that was cut short has no row
            outside &= begun < ends.max(initial=0)
        if outside.any():
            yield f"{EXCHANGES}: step {trial}: {units.count(int(outside.sum()))} exchanges outside its loads"
        asked = set(np.bincount(place[place >= 0], minlength=ends.size).tolist())
        if not outside.any() and asked - {step.requests}:
            got = ", ".join(map(str, sorted(asked)))
            yield f"{EXCHANGES}: step {trial}: {got} exchanges in a load, not {step.requests}"
        if _most_at_once(begun, done) > step.users:
            yield f"{EXCHANGES}: step {trial}: more exchanges at once than its {step.users} users"


def _places(measured: Measured, trial: int, begun: Times, done: Times) -> tuple[Times, Times]:
    """Returns in which load of a step each exchange lies, -1 for none, and when the loads end."""
    phases = measured.phases
    loads = phases[(phases["trial"] == trial) & (phases["phase"] == "load")]
    starts, ends = (loads[name].to_numpy(dtype="int64") for name in ("start_ns", "end_ns"))
    place = np.searchsorted(starts, begun, side="right") - 1
    ended = np.append(ends, -1)[place]  # of no load: before anything
    return np.where(done <= ended, place, -1), ends


def _most_at_once(begun: Times, done: Times) -> int:
    """Returns how many intervals overlap at most; one that ends as another begins does not."""
    moments = np.concatenate([done, begun])
    changes = np.concatenate([np.full(done.size, -1), np.full(begun.size, 1)])
    order = np.lexsort((changes, moments))
    return int(np.cumsum(changes[order]).max(initial=0))


def _model(measured: Measured) -> Iterator[str]:
    known, asked = (measured.facts.get("model") or {}).get("name"), measured.profile.target.model
    if known is not None and known != asked:
        yield f"facts.json: the model is {known}, the profile asks for {asked}"


def _all_steps(measured: Measured) -> Iterator[str]:
    """A check that came to its end measured every step to its end."""
    for trial, step in measured.planned.items():
        mine = measured.phases[measured.phases["trial"] == trial]
        loads = mine[mine["phase"] == "load"]
        loaded_s = float((loads["end_ns"] - loads["start_ns"]).sum()) / 1e9
        enough = len(loads) >= step.cycles if step.under_load_s else len(loads) == step.cycles
        if not enough or loaded_s < step.under_load_s or len(mine) != 2 * len(loads) + 1:
            yield f"{PHASES}: step {trial} ({step.name}): not measured to its end, though the check was"
        if not (measured.series["trial"] == trial).any():
            yield f"{SERIES}: step {trial} ({step.name}): no sample, though the check came to its end"


Rule = Callable[[Measured], Iterator[str]]
RULES: tuple[Rule, ...] = (_samples, _outside, _phases, _exchanges, _loads, _model)
_WHOLE: tuple[Rule, ...] = (_all_steps,)
