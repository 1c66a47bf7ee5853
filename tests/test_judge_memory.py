"""The verdicts of a memory check, on footprints and samples made by hand."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hxbench.judge.memory import EACH_AT_ONCE, Footprint, footprint, verdicts
from hxbench.judge.verdicts import Verdict
from hxbench.plan.memory import Step
from hxbench.plan.objectives import Objective

MB, SECOND = 1e6, 1_000_000_000
REST_S, LOAD_S = 2, 6
AT_ONCE, GROWTH = Step("at once", 4, 4, 10), Step("growth", 1, 20, 50)
OWN, SHARED = Step("own servers", 4, 4, 50, servers=4), Step("one server", 4, 10, 50)
LEAK = Step("leak", 1, 10, 50, cycles=8)


def phases_of(step: Step) -> pd.DataFrame:
    names = ["rest", *["load", "rest"] * step.cycles]
    lengths = [REST_S if name == "rest" else LOAD_S for name in names]
    ends = np.cumsum(lengths) * SECOND
    starts = ends - np.array(lengths) * SECOND
    return pd.DataFrame({"phase": names, "start_ns": starts, "end_ns": ends})


def series_of(step: Step, megabytes: Any, every_ns: int = SECOND // 10, **more: float) -> pd.DataFrame:
    """Samples of RSS, a function of the seconds, from a little before to a little after the phases."""
    end = int(phases_of(step)["end_ns"].max())
    times = np.arange(-SECOND, end + SECOND, every_ns)
    rss = pd.DataFrame({"time_ns": times, "name": "rss_bytes", "value": megabytes(times / SECOND) * MB})
    others = [
        pd.DataFrame({"time_ns": [end // 2], "name": [name], "value": [value]})
        for name, value in more.items()
    ]
    return pd.concat([rss, *others], ignore_index=True).assign(source="process")


def answered(step: Step, **changed: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 5, "completion_tokens": step.tokens}
    body = {"choices": [{"message": {"content": "yes"}, "finish_reason": "length"}], "usage": usage}
    return {"name": step.name, "status": 200, "error": None, "body": json.dumps(body), "done_ns": 0} | changed


def exchanges_of(step: Step) -> list[dict[str, Any]]:
    """One answer every tenth of a second from the first load on."""
    made = range(step.requests * step.cycles)
    return [answered(step, done_ns=REST_S * SECOND + (i + 1) * SECOND // 10) for i in made]


def seen(step: Step, megabytes: Any = lambda at: 200 + 0 * at, **changed: Any) -> Footprint:
    given: dict[str, Any] = {
        "series": series_of(step, megabytes),
        "phases": phases_of(step),
        "exchanges": exchanges_of(step),
        "protocol": "openai-chat",
    }
    return footprint(step, **(given | changed))


def judged(*footprints: Footprint, loaded: float | None = None, peak: str = "") -> dict[str, Verdict]:
    limits = [Objective("memory", "peak", "<=", float(peak) * MB, "B")] if peak else []
    return {each.id: each for each in verdicts(footprints, loaded, limits)}


def test_a_footprint_is_the_level_at_rest_the_peak_and_the_growth() -> None:
    found = seen(GROWTH, lambda at: 200 + np.where(at >= 2, 10, 0) + np.where((at > 3) & (at < 4), 50, 0))
    assert (None, 101) == (found.problem, found.samples)
    assert (200 * MB, 260 * MB, 10 * MB) == (found.idle, found.peak, found.growth)
    assert [21] == [rest.size for rest in found.rests]


def test_growth_behind_the_first_five_answers_begins_when_the_fifth_is_done() -> None:
    found = seen(GROWTH, lambda at: 200 + np.where(at >= 2.5, 10, 0) + np.where(at >= 2.6, 3, 0))
    assert (13 * MB, 3 * MB) == (found.growth, found.growth_warm)
    assert "behind the first 5 answers it is 3 MB" == judged(found)["memory_growth"].reason


@pytest.mark.parametrize(("more", "verdict"), [(0, "PASS"), (1, "FAIL")])
def test_so_many_at_once_may_need_their_share_and_no_byte_more(more: int, verdict: str) -> None:
    peak = (200 * MB + 4 * EACH_AT_ONCE + more) / MB
    found = judged(seen(AT_ONCE, lambda at: np.where((at > 3) & (at < 4), peak, 200)))["memory_at_once.4"]
    assert (verdict, 200 * MB + 4 * 524_288_000) == (found.verdict, found.limit)
    assert "allowed are idle 200 MB and 524 MB for each of 4" == found.reason


@pytest.mark.parametrize(("grown", "verdict"), [(104.857, "PASS"), (104.8576, "FAIL")])
def test_twenty_answers_grow_by_less_than_100_mib(grown: float, verdict: str) -> None:
    found = judged(seen(GROWTH, lambda at: 200 + np.where(at > 4, grown, 0)))
    assert verdict == found["memory_growth"].verdict


@pytest.mark.parametrize(("own", "verdict"), [(451, "PASS"), (450, "FAIL")])
def test_four_servers_need_more_than_one_and_a_half_of_what_one_does_by_pss(own: float, verdict: str) -> None:
    four = seen(OWN, series=series_of(OWN, lambda at: 1200 + 0 * at, pss_bytes=own * MB))
    one = seen(SHARED, series=series_of(SHARED, lambda at: 400 + 0 * at, pss_bytes=300 * MB))
    found = judged(four, one)["memory_own_to_shared"]
    assert (verdict, "by PSS; by RSS it is 3") == (found.verdict, found.reason)


def test_where_the_system_has_no_pss_rss_is_taken_and_named() -> None:
    found = judged(seen(OWN, lambda at: 1200 + 0 * at), seen(SHARED, lambda at: 400 + 0 * at))
    assert (3.0, "by RSS; by RSS it is 3") == (
        found["memory_own_to_shared"].estimate,
        found["memory_own_to_shared"].reason,
    )


@pytest.mark.parametrize(("limit", "verdict"), [(200, "PASS"), (199, "FAIL")])
def test_the_limits_of_r39_hold_for_servers_of_their_own(limit: float, verdict: str) -> None:
    four = seen(OWN, lambda at: 1200 + 0 * at)  # together: no server holds so much
    found = judged(seen(GROWTH), four, loaded=limit * MB, peak=str(limit))
    assert (verdict, verdict) == (found["memory_loaded.largest"].verdict, found["memory.peak"].verdict)
    assert "of the one server" == found["memory.peak"].reason
    assert (
        "the largest of 2 servers, one after the other"
        == judged(seen(GROWTH), seen(SHARED), peak="1")["memory.peak"].reason
    )


@pytest.mark.parametrize(("a_cycle", "verdict"), [(20, "FAIL"), (0, "PASS")])
def test_a_leak_fails_and_none_passes(a_cycle: float, verdict: str) -> None:
    found = judged(seen(LEAK, lambda at: 200 + a_cycle * at / (REST_S + LOAD_S)))["memory_leak"]
    assert (verdict, 0.95) == (found.verdict, found.confidence)


@pytest.mark.parametrize(("asked_s", "verdict"), [(LOAD_S * 8, "PASS"), (LOAD_S * 8 + 1, "INCONCLUSIVE")])
def test_a_leak_check_by_time_counts_the_time_under_load_without_the_rests(
    asked_s: float, verdict: str
) -> None:
    timed = replace(LEAK, under_load_s=asked_s)
    found = judged(seen(timed))
    assert verdict == found["memory_leak"].verdict


def test_a_leak_check_by_time_expects_all_answers_of_the_cycles_there_were() -> None:
    timed = replace(LEAK, cycles=7, under_load_s=LOAD_S)
    given = {"phases": phases_of(LEAK), "series": series_of(LEAK, lambda at: 200 + 0 * at)}
    whole = judged(seen(timed, **given, exchanges=exchanges_of(LEAK)))["memory_leak"]
    assert ("PASS", True) == (whole.verdict, whole.reason.startswith("8 cycles, 48 s under load: the level"))
    one_less = judged(seen(timed, **given, exchanges=exchanges_of(LEAK)[1:]))["memory_leak"]
    assert "79 of 80 requests succeeded" in one_less.reason


def test_a_leak_that_levels_off_is_left_open() -> None:
    found = judged(seen(LEAK, lambda at: 300 - 100 * np.exp(-np.maximum(at, 0) / 16)))["memory_leak"]
    assert "INCONCLUSIVE" == found.verdict
    assert found.reason.endswith("it may level off; more cycles would tell")


SPOILT: Mapping[str, tuple[dict[str, Any], str]] = {
    "a failure": (
        {"exchanges": [*exchanges_of(GROWTH)[1:], answered(GROWTH, status=503, body="busy")]},
        "19 of 20 requests succeeded (HTTP 503); it counts when all do",
    ),
    "no answer": (
        {"exchanges": [*exchanges_of(GROWTH)[1:], answered(GROWTH, status=None, error="ReadTimeout: x")]},
        "19 of 20 requests succeeded (ReadTimeout: x); it counts when all do",
    ),
    "no token": (
        {"exchanges": [*exchanges_of(GROWTH)[1:], answered(GROWTH, body="{}")]},
        "19 of 20 requests succeeded (an answer without a token, or none); it counts when all do",
    ),
    "one missing": (
        {"exchanges": exchanges_of(GROWTH)[1:]},
        "19 of 20 requests succeeded (an answer without a token, or none); it counts when all do",
    ),
    "below 9 Hz": (
        {"series": series_of(GROWTH, lambda at: 200 + 0 * at, every_ns=SECOND // 8)},
        "8 samples a second, a gap of 125 ms; 9 and at most 1 s are needed",
    ),
    "a process gone": (
        {"series": series_of(GROWTH, lambda at: 200 + 0 * at, processes_gone=1)},
        "not every process of the server was sampled: one ended",
    ),
    "ended": (
        {"series": series_of(GROWTH, lambda at: 200 + 0 * at, processes_gone=1).query("time_ns < 6e9")},
        "not every process of the server was sampled: one ended",
    ),
    "not to its end": ({"phases": phases_of(GROWTH).head(2)}, "it was not measured to its end"),
    "never begun": ({"phases": phases_of(GROWTH).head(0)}, "it was not measured to its end"),
    "no sample": (
        {"series": series_of(GROWTH, lambda at: 200 + 0 * at).head(0)},
        "it was not measured to its end",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_step_that_was_not_measured_well_decides_nothing(name: str) -> None:
    changed, reason = SPOILT[name]
    found = judged(seen(GROWTH, **changed), loaded=1.0, peak="1")
    assert {("INCONCLUSIVE", reason)} == {(each.verdict, each.reason) for each in found.values()}


def test_nine_samples_a_second_are_enough() -> None:
    series = series_of(GROWTH, lambda at: 200 + 0 * at, every_ns=SECOND // 9)
    assert "PASS" == judged(seen(GROWTH, series=series))["memory_growth"].verdict


def test_an_answer_that_ended_by_itself_is_said_to_be_short() -> None:
    short = answered(replace(GROWTH, tokens=9), done_ns=3 * SECOND)
    found = judged(seen(GROWTH, exchanges=[*exchanges_of(GROWTH)[1:], short]))["memory_growth"]
    assert "PASS" == found.verdict
    assert found.reason.endswith("; an answer had 9 of 50 tokens")


def test_checks_that_were_not_asked_for_have_no_verdict() -> None:
    assert ["memory_at_once.4"] == list(judged(seen(AT_ONCE)))
    assert [] == list(judged(seen(OWN)))
