"""What a memory check shows: the footprint of each step, and the verdicts (R3.5 to R3.7, R3.9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge import resources
from hxbench.judge.evidence import holds
from hxbench.judge.leak import ALPHA, NO_LEAK, leak
from hxbench.judge.leak import LEAK as LEAKS
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS, Verdict
from hxbench.plan.memory import AT_ONCE, GROWTH, LEAK, OWN, SHARED, Step
from hxbench.plan.objectives import Objective
from hxbench.wire.dialects import answers

Values = NDArray[np.float64]

KIB, MIB = 1024, 1024**2
EACH_AT_ONCE = 512_000 * KIB  # R3.5: the number of the source's script
GROWTH_ALLOWED = 100 * MIB  # R3.6
OWN_TO_SHARED = 1.5  # R3.7
LEAK_BUDGET = 1e6  # bytes a cycle of ten answers; own
WARM_ANSWERS = 5  # behind them the growth of R3.6 is shown once more; own
_RECORDS = ("records/series.parquet", "records/phases.parquet", "records/exchanges.json")


@dataclass(frozen=True)
class Footprint:
    """What the servers of one step held, in bytes; `problem` is why it decides nothing."""

    step: Step
    problem: str | None
    samples: int = 0
    loads: int = 0  # that were measured, each followed by a rest
    loaded_s: float = 0.0  # that they took
    shortest: int | None = None  # answer, in tokens
    idle: float | None = None  # the median before the first request
    peak: float | None = None  # the largest sample
    pss_peak: float | None = None
    growth: float | None = None  # from the median before to that of the last rest
    growth_warm: float | None = None
    rests: Sequence[Values] = ()  # behind each cycle


def footprint(
    step: Step,
    series: pd.DataFrame,
    phases: pd.DataFrame,
    exchanges: Sequence[Mapping[str, Any]],
    protocol: str,
) -> Footprint:
    """Returns what one step shows; the frames and exchanges are those of its trial."""
    mine = series[series["source"] == "process"]
    rss, pss = (_series(mine, name, phases) for name in ("rss_bytes", "pss_bytes"))
    rests = [_between(rss, phase) for phase in _of(phases, "rest")]
    loads = _of(phases, "load")
    loaded_s = sum(end - start for start, end in loads) / 1e9
    whole = len(rests) > len(loads) >= step.cycles and loaded_s >= step.under_load_s
    if not whole or not all(rest.size for rest in rests) or not len(rss):
        return Footprint(step, resources.unseen(mine) or "it was not measured to its end", len(rss))
    asked = [each for each in exchanges if each["name"] == step.name]
    lengths = _lengths(asked, protocol)
    idle, last = float(np.median(rests[0])), float(np.median(rests[-1]))
    return Footprint(
        step=step,
        problem=_problem(step.requests * len(loads), mine, rss, asked, lengths),
        loads=len(loads),
        loaded_s=loaded_s,
        shortest=min(lengths, default=None),
        samples=len(rss),
        idle=idle,
        peak=float(rss["value"].max()),
        pss_peak=float(pss["value"].max()) if len(pss) else None,
        growth=last - idle,
        growth_warm=_since_warm(rss, asked, last),
        rests=rests[1:],
    )


def _series(mine: pd.DataFrame, name: str, phases: pd.DataFrame) -> pd.DataFrame:
    """Returns the samples of one name within the phases, in order."""
    if phases.empty:
        return mine.head(0)
    found = mine[
        (mine["name"] == name) & mine["time_ns"].between(phases["start_ns"].min(), phases["end_ns"].max())
    ]
    return found.sort_values("time_ns")


def _of(phases: pd.DataFrame, name: str) -> list[tuple[int, int]]:
    found = phases[phases["phase"] == name].sort_values("start_ns")
    return [(int(start), int(end)) for start, end in zip(found["start_ns"], found["end_ns"], strict=True)]


def _between(rss: pd.DataFrame, phase: tuple[int, int]) -> Values:
    return rss.loc[rss["time_ns"].between(*phase), "value"].to_numpy(dtype="float64")


def _since_warm(rss: pd.DataFrame, asked: Sequence[Mapping[str, Any]], last: float) -> float | None:
    done = sorted(each["done_ns"] for each in asked)
    if len(done) <= WARM_ANSWERS:
        return None
    warm = rss.loc[rss["time_ns"] >= done[WARM_ANSWERS - 1], "value"]
    return last - float(warm.iloc[0])


def _problem(
    expected: int,
    mine: pd.DataFrame,
    rss: pd.DataFrame,
    asked: Sequence[Mapping[str, Any]],
    lengths: list[int],
) -> str | None:
    """Returns why a step decides nothing: a request that failed, or samples that may have missed a peak."""
    if len(lengths) < expected:
        failed = (_why(each) for each in asked if each["status"] != 200)
        first = next(failed, "an answer without a token, or none")
        return f"{len(lengths)} of {expected} requests succeeded ({first}); it counts when all do"
    times = rss["time_ns"].to_numpy(dtype="float64") / 1e9
    length, gap = float(times[-1] - times[0]), float(np.diff(times).max(initial=0.0))
    rate = (times.size - 1) / length if length else 0.0
    if rate < resources.LEAST_HZ or gap > resources.LONGEST_GAP_S:
        needed = f"{units.number(resources.LEAST_HZ)} and at most {units.duration(resources.LONGEST_GAP_S)}"
        return f"{units.number(rate)} samples a second, a gap of {units.duration(gap)}; {needed} are needed"
    return resources.unseen(mine)


def _why(exchange: Mapping[str, Any]) -> str:
    return str(exchange["error"] or f"HTTP {exchange['status']}")


def _lengths(asked: Sequence[Mapping[str, Any]], protocol: str) -> list[int]:
    """Returns the tokens of each answer that came, by the server's own word."""
    found = []
    for each in asked:
        answer = answers(protocol, stream=False)()
        answer.feed(str(each["body"]).encode())
        answer.end()
        if each["status"] == 200 and answer.error is None and answer.usage().output_tokens:
            found.append(int(answer.usage().output_tokens or 0))
    return found


def verdicts(
    footprints: Sequence[Footprint], loaded: float | None, objectives: Sequence[Objective]
) -> list[Verdict]:
    """Returns the verdicts, in the order of the requirements.

    `loaded` is what the server may hold before its first request; of the objectives memory's is meant.
    """
    by_name = {each.step.name: each for each in footprints}
    found = [_at_once(each) for each in footprints if each.step.name == AT_ONCE]
    if GROWTH in by_name:
        found.append(_growth(by_name[GROWTH]))
    if OWN in by_name and SHARED in by_name:
        found.append(_own_to_shared(by_name[OWN], by_name[SHARED]))
    single = [each for each in footprints if each.step.servers == 1]
    if loaded is not None:
        limit = Objective("memory_loaded", "largest", "<=", loaded, "B")
        found.append(_largest(limit, single, [each.idle for each in single]))
    for objective in objectives:
        if objective.metric == "memory":
            found.append(_largest(objective, single, [each.peak for each in single]))
    return found + ([_leak(by_name[LEAK])] if LEAK in by_name else [])


def _at_once(of: Footprint) -> Verdict:
    users = of.step.users
    allowed = (of.idle or 0) + users * EACH_AT_ONCE
    limit = Objective("memory_at_once", str(users), "<=", allowed, "B")
    beside = f"allowed are idle {units.size(of.idle)} and {units.size(EACH_AT_ONCE)} for each of {users}"
    return _decided("R3.5", limit, of.peak, (of,), beside)


def _growth(of: Footprint) -> Verdict:
    limit = Objective("memory_growth", "", "<", GROWTH_ALLOWED, "B")
    beside = f"behind the first {WARM_ANSWERS} answers it is {units.size(of.growth_warm)}"
    return _decided("R3.6", limit, of.growth, (of,), beside, "difference of the medians at rest")


def _own_to_shared(own: Footprint, shared: Footprint) -> Verdict:
    """By PSS where the system tells it of both: RSS counts weights that all servers map once for each."""
    by_pss, by_rss = _ratio(own.pss_peak, shared.pss_peak), _ratio(own.peak, shared.peak)
    ratio, name = (by_rss, "RSS") if by_pss is None else (by_pss, "PSS")
    limit = Objective("memory_own_to_shared", "", ">", OWN_TO_SHARED, "ratio")
    beside = f"by {name}; by RSS it is {units.number(by_rss)}"
    return _decided("R3.7", limit, ratio, (own, shared), beside, "ratio of observed maxima")


def _ratio(own: float | None, shared: float | None) -> float | None:
    return own / shared if own and shared else None


def _largest(limit: Objective, of: Sequence[Footprint], seen: Sequence[float | None]) -> Verdict:
    largest = max((value for value in seen if value is not None), default=None)
    said = f"the largest of {len(of)} servers, one after the other" if len(of) > 1 else "of the one server"
    return _decided("R3.9", limit, largest, of, said)


def _leak(of: Footprint) -> Verdict:
    found = leak(of.rests, LEAK_BUDGET)
    limit = Objective("memory_leak", "", "<=", LEAK_BUDGET, "B")
    method = "Theil and Sen's interval over the levels at rest, Mann and Kendall's test over 20 block means"
    made = _decided("R3.6", limit, found.slope, (of,), found.reason, method)
    if of.problem is not None:
        return made
    verdict = {LEAKS: FAIL, NO_LEAK: PASS}.get(found.verdict, INCONCLUSIVE)
    interval = {"interval": (found.low, found.high), "interval_kind": "two-sided", "confidence": 1 - ALPHA}
    seen = f"{units.count(of.loads)} cycles, {units.duration(of.loaded_s)} under load"
    return replace(made, verdict=verdict, reason=f"{seen}: {found.reason}", **interval)  # type: ignore[arg-type]


def _decided(
    requirement: str,
    limit: Objective,
    seen: float | None,
    of: Sequence[Footprint],
    beside: str,
    method: str = "observed maximum",
) -> Verdict:
    """Returns the verdict on what was seen; a step that decides nothing leaves it open."""
    problem = next((each.problem for each in of if each.problem is not None), None)
    verdict, reason = INCONCLUSIVE, problem or "it was not sampled"
    if problem is None and seen is not None:
        verdict, reason = PASS if holds(seen, limit) else FAIL, beside + _shorter(of)
    name, samples = ".".join(filter(None, (limit.metric, limit.statistic))), sum(each.samples for each in of)
    return Verdict(
        id=name, case=name, requirement=requirement, verdict=verdict, reason=reason, method=method,
        records=_RECORDS, metric=limit.metric, statistic=limit.statistic, estimate=seen, unit=limit.unit,
        comparator=limit.comparator, limit=limit.limit, n=samples, n_eff=float(samples),
    )  # fmt: skip


def _shorter(of: Sequence[Footprint]) -> str:
    """Returns what is to be said of answers that ended by themselves: they needed less."""
    short = [each for each in of if each.shortest is not None and each.shortest < each.step.tokens]
    return "".join(f"; an answer had {each.shortest} of {each.step.tokens} tokens" for each in short[:1])
