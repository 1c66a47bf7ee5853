"""Planned looks: what each errs with, where a run may end, and what an earlier look saw."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from records_by_hand import SECOND, answer, exchange, frame, records

from hxbench.judge import certificate, gates
from hxbench.judge.consistency import contradictions
from hxbench.judge.looks import recorded_trials, until
from hxbench.judge.measured import Measured
from hxbench.records.run_directory import Records

P50 = {"objectives": {"ttft": {"p50": "500 ms"}}}
# Undecided by the 87 requests of three trials, not by the 174 of six: without a miss 656 and 171 are needed.
P95 = {"objectives": {"ttft": {"p95": "500 ms"}}}


def six(profile: dict[str, Any] = P50, **more: Any) -> Records:
    """A run of six trials, which is looked at after three of them and after all."""
    return records(**{"requests": 29, "warmup": 2, "tokens": 4, "trials": 6, "profile": profile} | more)


def taken(run: Records) -> list[tuple[int, list[str]]]:
    """After how many trials a run was looked at, and what was undecided then."""
    return [(each["after_trials"], each["undecided"]) for each in certificate.build(run)["looks"]]


def decision(run: Records) -> gates.Gate:
    [gate] = gates.evaluate(Measured(run))
    return gate


@pytest.mark.parametrize(("looks", "confidence"), [(1, 0.975), (2, 0.9875)])
def test_a_pass_at_one_of_several_looks_errs_with_its_share(looks: int, confidence: float) -> None:
    for objectives in ({"ttft": {"p50": "1 s"}}, {"error_rate": "20 %"}, {"ttft": {"mean": "1 s"}}):
        found = decision(six({"objectives": objectives, "load.looks": looks})).decision
        assert ("PASS", confidence) == (found.verdict, found.confidence)


@pytest.mark.parametrize(("looks", "confidence"), [(1, 0.95), (2, 0.975)])
def test_all_fails_at_one_of_several_looks_err_with_its_share(looks: int, confidence: float) -> None:
    found = decision(six({"objectives": {"ttft": {"p50": "50 ms"}}, "load.looks": looks})).decision
    assert ("FAIL", confidence) == (found.verdict, found.confidence)


def test_throughput_errs_with_its_share_too() -> None:
    found = decision(six({"objectives": {"throughput_tokens": "1"}})).decision
    assert ("PASS", 0.9875) == (found.verdict, found.confidence)


def test_two_gates_share_what_a_looks_fails_may_err_with() -> None:
    two = {"objectives": {"ttft": {"p50": "50 ms"}, "e2e": {"p50": "50 ms"}}}
    assert {0.9875, 0.975} == {gate.decision.confidence for gate in gates.evaluate(Measured(six(two)))}


def test_students_factor_between_trials_is_that_of_the_looks_alpha() -> None:
    # (z/t)^2 with 5 degrees of freedom: (1.960 / 2.571)^2 at 0.025, (2.241 / 3.163)^2 at 0.0125
    share = {"objectives": {"error_rate": "20 %"}}
    once, twice = (decision(six(share | {"load.looks": looks})).evidence.n_eff for looks in (1, 2))
    assert (0.581, 0.502) == (pytest.approx(once / 174, abs=1e-3), pytest.approx(twice / 174, abs=1e-3))


def test_what_had_been_recorded_after_three_trials_is_a_run_of_three_trials() -> None:
    early, alone = until(six(), 3), six(trials=3)
    for name in ("schedule", "requests", "reads", "series", "phases"):
        pd.testing.assert_frame_equal(getattr(alone, name), getattr(early, name))
    third = early.phases["end_ns"].max()
    assert third - SECOND // 10 <= early.clock["monotonic_ns"].max() <= third
    assert 3 == recorded_trials(early)


def test_a_clock_pair_at_the_very_end_of_a_trial_belongs_to_it() -> None:
    run = six()
    end = until(run, 3).phases["end_ns"].max()
    at_the_end = run.clock.iloc[[0]].assign(monotonic_ns=end)
    clock = pd.concat([run.clock, at_the_end]).sort_values("monotonic_ns", ignore_index=True)
    assert end == until(replace(run, clock=clock), 3).clock["monotonic_ns"].max()


def test_of_several_earlier_looks_that_decided_all_the_first_is_named() -> None:
    nine = six({"objectives": {"ttft": {"p50": "1 s"}}, "load.looks": 3}, trials=9)
    [_, later, *_] = certificate.build(nine)["notes"]
    assert later.startswith("Every limit was decided after 3 trials already; ")


def test_exchanges_and_calibration_are_those_of_the_trials_until_then() -> None:
    beside = [{"name": f"slow stream {trial}"} for trial in range(1, 7)]
    asked = [exchange("ready", trial=trial) for trial in range(1, 7)]
    early = until(replace(six(), calibration={"before": {}, "beside": beside}, exchanges=asked), 3)
    assert ({"before": {}, "beside": beside[:3]}, asked[:3]) == (early.calibration, early.exchanges)
    assert {} == until(replace(six(), calibration={}), 3).calibration


def test_a_run_may_end_at_the_look_that_decides_every_limit() -> None:
    run = until(six(), 3)
    made = certificate.build(run)
    assert [] == contradictions(run)
    assert "CONDITIONAL" == made["status"]  # by hand: no checks are asked for
    assert [{"after_trials": 3, "alpha_pass": 0.0125, "alpha_fail": 0.025, "undecided": []}] == made["looks"]
    assert (3, "3 trials") == (made["measurement"]["trials"], made["measurement"]["repeatability"])
    assert (
        "Ended at look 1 of 2, after 3 of 6 trials: every limit is decided. "
        "Each look errs with its share: 1.25 % for a PASS, 2.5 % for all FAILs." == made["notes"][0]
    )


def test_a_limit_that_failed_is_decided_as_well() -> None:
    assert [] == contradictions(until(six({"objectives": {"ttft": {"p50": "50 ms"}}}), 3))


def test_a_whole_run_may_leave_a_limit_open() -> None:
    run = six({"objectives": {"ttft": {"p99": "500 ms"}}})
    assert "INCONCLUSIVE" == decision(run).decision.verdict
    assert [] == contradictions(run)


def test_a_run_may_not_end_at_a_look_that_left_a_limit_open() -> None:
    made = certificate.build(until(six(P95), 3))
    assert "INCOMPLETE" == made["status"]
    assert "Ended at look 1 of 2, after 3 of 6 trials: not every limit is decided." in made["notes"][0]
    assert (
        "The records contradict themselves: records/schedule.parquet: ends after trial 3 of 6, "
        "where not every limit is decided (ttft.p95)." == made["status_reason"]
    )


@pytest.mark.parametrize("trials", [1, 2, 4, 5])
def test_a_run_may_end_at_no_other_place(trials: int) -> None:
    said = f"records/schedule.parquet: ends after trial {trials}, at no planned look (after 3, 6)"
    assert [said] == contradictions(until(six(), trials))


def test_a_run_without_limits_has_nothing_to_end_early_for() -> None:
    none = six({"objectives": {}})
    assert [] == contradictions(none)
    assert [(6, [])] == taken(none)
    [said] = contradictions(until(none, 3))
    assert said.endswith("at no planned look (after 6)")


def test_a_run_that_went_on_is_looked_at_again_and_says_what_was_open() -> None:
    run = six(P95)
    made = certificate.build(run)
    assert [] == contradictions(run)
    assert [(3, ["ttft.p95"]), (6, [])] == taken(run)
    assert made["notes"][0].startswith(
        "Ended at look 2 of 2, after 6 of 6 trials: every limit is decided. Each look errs"
    )
    assert "PASS" == made["verdicts"][0]["verdict"]


def test_trials_after_the_look_that_decided_are_said_and_count() -> None:
    made = certificate.build(six())
    assert [(3, []), (6, [])] == taken(six())
    assert (
        "Every limit was decided after 3 trials already; the later ones were recorded all the same, "
        "and the verdicts rest on all of them." == made["notes"][1]
    )
    assert 174 == made["verdicts"][0]["n"]


def test_a_ledger_that_voids_a_verdict_leaves_its_limit_open() -> None:
    run = until(six(), 3)
    late = run.clock.assign(realtime_ns=run.clock["realtime_ns"] + (run.clock.index > 5) * 10**9)
    found = certificate.build(replace(run, clock=late))
    assert [(3, ["ttft.p50"])] == [(each["after_trials"], each["undecided"]) for each in found["looks"]]
    assert "INCOMPLETE" == found["status"]


@pytest.mark.parametrize(("trials", "expected"), [(3, []), (4, [(3, [])]), (6, [(3, [])])])
def test_a_run_that_was_cut_short_was_not_looked_at_where_it_stopped(
    trials: int, expected: list[Any]
) -> None:
    cut = replace(until(six(), trials), ending={"state": "interrupted", "reason": "stopped"})
    assert expected == taken(cut)
    assert not [note for note in certificate.build(cut)["notes"] if "look" in note]


def test_one_look_needs_no_word() -> None:
    made = certificate.build(records(requests=20, profile=P50))
    assert [{"after_trials": 1, "alpha_pass": 0.025, "alpha_fail": 0.05, "undecided": []}] == made["looks"]
    assert not [note for note in made["notes"] if "look" in note]


def test_nothing_recorded_was_never_looked_at() -> None:
    tables = ("schedule", "requests", "reads", "clock", "series", "phases")
    empty = {name: frame(name, {}) for name in tables}
    assert 0 == recorded_trials(replace(six(), **empty))


def test_questions_asked_in_two_trials_count_once_those_of_the_worse() -> None:
    asked = [
        answer(f"q{number}", text) | {"expected": "Paris", "trial": trial}
        for trial, right in ((3, 4), (6, 3))
        for number, text in enumerate(["Paris"] * right + ["Rome"] * (5 - right))
    ]
    run = six(P50 | {"checks": ("TC-L1-*",), "answers": "questions"})
    found = certificate.build(replace(run, exchanges=[*run.exchanges, *asked]))
    [verdict] = [each for each in found["verdicts"] if "answers are right" in each["reason"]]
    assert (5, 0.6, "FAIL") == (verdict["n"], verdict["estimate"], verdict["verdict"])
