"""The certificate: its status, its score, its table of cases, and that it says nothing it cannot know."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import changed, exchange, records

from hxbench import canonical_json
from hxbench.judge import certificate, metrics
from hxbench.judge.resources import cores_used, coverage
from hxbench.judge.verdicts import worst
from hxbench.plan.catalogue import level_1
from hxbench.plan.objectives import METRICS
from hxbench.records.run_directory import Records

EASY = {
    "ttft": {"p95": "500 ms", "mean": "1 s", "max": "10 s"},
    "itl": {"p95": "50 ms"},
    "error_rate": "5 %",
    "goodput": "90 %",
    "throughput_tokens": "10",
    "memory": "1 GB",
    "cpu": {"mean": "2"},
}
LEVEL_1 = {"checks": ("TC-L1-COMP-SMOLLM2-*",), "declares": {"empty_prompt": 200}}


def run_with(objectives: dict[str, Any] = EASY, *, checked: bool = True, **more: Any) -> Records:
    profile = {"objectives": objectives, **(LEVEL_1 if checked else {})}
    return records(profile=profile, **more)


def build(**more: Any) -> dict[str, Any]:
    return certificate.build(run_with(**more))


def row(made: dict[str, Any], number: str) -> dict[str, Any]:
    [found] = [each for each in made["catalogue"] if each["id"].endswith(number)]
    return dict(found)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [each for inner in value.values() for each in numbers(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in numbers(inner)]
    return [value] if isinstance(value, float) else []


def test_a_good_run_is_certified() -> None:
    made = build()
    assert ("CERTIFIED", 100.0, 0) == (made["status"], made["score"], certificate.exit_status(made))
    assert made["status_reason"] == (
        "All 17 verdicts that the profile asks for at level 1 passed (not asked for: TC-L1-COMP-SMOLLM2-005)."
    )
    assert {"passed": 17, "failed": 0, "inconclusive": 0, "skipped": 1} == made["counts"]


def test_the_certificate_says_whom_it_is_about() -> None:
    run = run_with()
    made = certificate.build(run)
    assert {
        "model": "smollm2-135m", "server": "embedded", "protocol": "openai-chat", "build": "b11549",
        "loaded_model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    } == made["target"]  # fmt: skip
    assert {"name": "smollm2-135m", "sha256": run.profile_sha256} == made["profile"]
    assert (1, "0.1.0", "by-hand", "2026-01-02T03:06:05Z", 1) == tuple(
        made[key] for key in ("schema", "hxbench", "run", "created", "level")
    )


def test_the_certificate_says_how_it_was_measured() -> None:
    closed = build(requests=50)["measurement"]
    assert ("closed", 1, 1, 50, "not assessed (one trial)") == tuple(
        closed[key] for key in ("loop", "users", "trials", "requests", "repeatability")
    )
    opened = build(requests=50, loop="open", trials=3)["measurement"]
    assert ("open", 2.0, "poisson", 150, 75.0, "3 trials") == tuple(
        opened[key] for key in ("loop", "rate", "arrivals", "requests", "measured_s", "repeatability")
    )


@pytest.mark.parametrize(
    ("load", "shown"),
    [
        ({}, {}),
        ({"load.ramp_up": "3 s", "load.users": 2}, {"ramp_up_s": 3.0}),
        ({"load.scale": 2}, {"scale": 2.0}),
        ({"load.time_scale": 0.5}, {"time_scale": 0.5}),
    ],
)
def test_only_what_the_load_has_is_said_of_it(load: dict[str, Any], shown: dict[str, Any]) -> None:
    made = certificate.build(records(requests=20, profile=load))["measurement"]
    assert shown == {name: made[name] for name in ("ramp_up_s", "scale", "time_scale") if name in made}


@pytest.mark.parametrize(
    ("exact", "said"),
    [
        (None, "Prompt lengths are by words, not checked: the server has no tokenizer to ask."),
        (3, "All prompts made up to a length have it by the server's tokenizer, its template apart."),
        (2, "2 of 3 prompts made up to a length have it by the server's tokenizer, its template apart."),
    ],
)
def test_it_says_how_far_prompts_have_the_length_asked_for(exact: int | None, said: str) -> None:
    run = records(requests=20)
    written = {"prompts": {"made_up": 3, "exact": exact}}
    assert said in certificate.build(replace(run, facts=run.facts | written))["notes"]


@pytest.mark.parametrize(
    ("limits", "said"), [({"p95": "500 ms", "mean": "1 s"}, "ttft.p95: 0 of "), ({"p95": "500 ms"}, "0 of ")]
)
def test_reasons_of_several_verdicts_of_a_case_bear_their_names(limits: dict[str, str], said: str) -> None:
    assert row(build(objectives={"ttft": limits}, checked=False), "003")["reason"].startswith(said)


def test_a_certificate_says_which_attempt_it_is() -> None:
    run = records(requests=20)
    again = certificate.build(replace(run, facts=run.facts | {"earlier_runs": 2}))
    assert "Attempt 3: earlier runs of this same profile lie beside this one." in again["notes"]
    first = certificate.build(replace(run, facts=run.facts | {"earlier_runs": 0}))
    assert not [note for note in first["notes"] if "Attempt" in note]


@pytest.mark.parametrize(
    ("obtained", "shown"), [("realtime", "realtime"), ("normal", "realtime asked for, normal obtained")]
)
def test_the_certificate_says_who_put_the_load_on_and_at_which_priority(obtained: str, shown: str) -> None:
    run = run_with()
    facts = {"workers": 2, "priority": "realtime", "priority_obtained": obtained}
    made = certificate.build(replace(run, facts={**run.facts, "instrument": facts}))
    assert (2, shown) == (made["measurement"]["load_workers"], made["measurement"]["priority"])


def test_the_same_records_give_the_same_bytes() -> None:
    assert canonical_json.encode(build()) == canonical_json.encode(build())


@pytest.mark.parametrize("failed", [[], range(200)], ids=["none failed", "all failed"])
def test_every_number_is_finite(failed: list[int]) -> None:
    found = numbers(json.loads(canonical_json.encode(build(failed=failed))))
    assert len(found) > 30
    assert all(math.isfinite(each) for each in found)


def test_a_fail_makes_it_failed_and_nothing_outvotes_it() -> None:
    made = build(objectives={**EASY, "itl": {"p95": "1 ms"}})
    assert ("FAILED", 1) == (made["status"], certificate.exit_status(made))
    assert made["status_reason"] == "2 of 18 verdicts failed: itl.p95, goodput.share."
    assert made["score"] == round(100 * 9 / 11, 1)
    assert row(made, "003")["reason"].startswith("itl.p95: 6 200 of 6 200 gaps missed the limit; ")


def test_an_undecided_verdict_makes_it_conditional() -> None:
    made = build(objectives={**EASY, "ttft": {"p99": "1 s"}})
    assert ("CONDITIONAL", 3) == (made["status"], certificate.exit_status(made))
    assert made["status_reason"] == "Nothing failed, but not everything is decided (undecided: ttft.p99)."


def test_a_fail_goes_before_what_is_undecided() -> None:
    made = build(objectives={"ttft": {"p99": "1 s"}, "itl": {"p95": "1 ms"}})
    assert made["status"] == "FAILED"


def test_cases_that_the_profile_does_not_choose_are_not_run() -> None:
    made = build(checked=False)
    assert ("CONDITIONAL", 41.7) == (made["status"], made["score"])
    assert "not run: TC-L1-COMP-SMOLLM2-001 and 6 more" in made["status_reason"]
    assert ("NOT RUN", [], "not among the profile's checks (none)") == tuple(
        row(made, "001")[key] for key in ("verdict", "evidence", "reason")
    )
    assert row(made, "003")["verdict"] == "PASS"


def test_a_case_without_a_limit_is_skipped_and_certified_all_the_same() -> None:
    made = build(objectives={"ttft": {"p95": "1 s"}})
    assert made["status"] == "CERTIFIED"
    assert ("SKIPPED", "the profile sets no limit") == tuple(
        row(made, "007")[key] for key in ("verdict", "reason")
    )


def test_what_is_only_skipped_is_never_certified() -> None:
    run = records(profile={"checks": ("*-007", "*-008")})
    made = certificate.build(run)
    assert made["status"] == "CONDITIONAL"
    assert made["score"] == 0.0


def test_nothing_judged_at_all_is_conditional() -> None:
    run = records(profile={"checks": ("*-003", "*-00[5678]", "*-012")})
    table = [each for each in certificate.build(run)["catalogue"] if each["verdict"] == "SKIPPED"]
    status, reason = certificate.status_of(run, [], [], table)
    assert ("CONDITIONAL", True) == (status, reason.startswith("Nothing was judged"))


@pytest.mark.parametrize(
    ("broken", "listed"), [(["a", "b", "c", "d"], "a, b, c, d"), (["a", "b", "c", "d", "e"], "a and 4 more")]
)
def test_of_more_than_four_the_first_is_named(broken: list[str], listed: str) -> None:
    status, reason = certificate.status_of(run_with(), broken, [], [])
    assert ("INCOMPLETE", f"The records contradict themselves: {listed}.") == (status, reason)


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ({"state": "interrupted", "reason": "stopped by signal 2"}, "stopped by signal 2"),
        ({"state": "killed", "reason": None}, "no reason is recorded"),
    ],
)
def test_a_run_that_did_not_end_is_incomplete_whatever_it_measured(ending: dict[str, Any], why: str) -> None:
    for run in (run_with(), run_with({"itl": {"p95": "1 ms"}})):
        made = certificate.build(replace(run, ending=ending))
        assert ("INCOMPLETE", 4) == (made["status"], certificate.exit_status(made))
        assert made["status_reason"] == f"The run did not come to its end: {why}."


def test_a_run_killed_before_its_first_request_has_a_certificate_too() -> None:
    run = run_with()
    names = ("schedule", "requests", "reads", "series", "clock", "phases")
    empty = replace(run, **{name: getattr(run, name).iloc[:0] for name in names}, exchanges=[], facts={})
    made = certificate.build(replace(empty, ending={"state": "killed", "reason": "killed"}))
    canonical_json.encode(made)
    assert ("INCOMPLETE", 0) == (made["status"], made["counts"]["passed"])


def test_a_broken_ledger_takes_a_pass_away() -> None:
    made = certificate.build(changed(run_with(), "requests", cached_tokens=30))
    voided = [each for each in made["verdicts"] if each["verdict"] == "INCONCLUSIVE"]
    expected = {"ttft.p95", "ttft.mean", "ttft.max", "goodput.share", "throughput_tokens.rate"}
    assert expected == {each["id"] for each in voided}
    assert voided[0]["reason"].startswith("would be PASS (0 of 200 requests missed the limit; ")
    assert voided[0]["reason"].endswith(
        "but prompts answered from a cache: 75 % of the prompt tokens came from a cache"
    )


def test_goodput_rests_on_what_its_latencies_rest_on() -> None:
    no_usage = changed(
        run_with({"tpot": {"p95": "1 s"}, "goodput": "50 %"}), "requests", token_source="deltas"
    )
    assert ["INCONCLUSIVE"] * 2 == [
        each["verdict"] for each in certificate.build(no_usage)["verdicts"] if each["metric"]
    ]
    without = changed(
        run_with({"ttft": {"p95": "1 s"}, "goodput": "50 %"}), "requests", token_source="deltas"
    )
    assert ["PASS"] * 2 == [
        each["verdict"] for each in certificate.build(without)["verdicts"] if each["metric"]
    ]


def test_a_failed_check_fails_the_run() -> None:
    run = run_with()
    bad = [*run.exchanges[:-1], exchange("health_after", 500, path="/health")]
    made = certificate.build(replace(run, exchanges=bad))
    assert made["status_reason"] == "1 of 18 verdicts failed: TC-L1-COMP-SMOLLM2-011."


def test_the_table_lists_every_case_of_level_1() -> None:
    made = build()
    assert [entry.id for entry in level_1("SMOLLM2")] == [each["id"] for each in made["catalogue"]]
    assert {"id", "name", "requirement", "priority", "type", "verdict", "evidence", "reason"} == set(
        row(made, "001")
    )
    assert row(made, "010")["evidence"] == [
        f"TC-L1-COMP-SMOLLM2-010.{name}" for name in ("broken_json", "negative_max_tokens", "above_context")
    ]


def test_every_metric_belongs_to_a_case() -> None:
    assert set(METRICS) == {metric for entry in level_1("X") for metric in entry.metrics}


def test_declarations_stand_beside_what_was_seen() -> None:
    declared = build()["declarations"]
    assert {"declared": 200, "seen": 200} == declared["empty_prompt"]
    assert {"declared": None, "seen": 400} == declared["broken_json"]
    assert {} == certificate.build(replace(records(), exchanges=[]))["declarations"]


def test_notes_say_what_the_certificate_does_not() -> None:
    assert build()["notes"][0] == "Repeatability not assessed (one trial)."
    assert len(build(trials=3, requests=20)["notes"]) == 1
    recorded = records(profile={"not_executed": {"ramp_up": "45 s"}, "note": "It proves little."})
    assert certificate.build(recorded)["notes"][-2:] == [
        "The source's scenario asks for more than was executed: ramp_up 45 s.",
        "It proves little.",
    ]


def test_a_verdict_names_the_files_it_can_be_computed_from() -> None:
    by_id = {each["id"]: each["records"] for each in build()["verdicts"]}
    assert ["records/series.parquet", "records/phases.parquet"] == by_id["memory.peak"]
    assert "records/reads.parquet" in by_id["itl.p95"]
    assert "records/reads.parquet" not in by_id["ttft.p95"]
    assert ["records/exchanges.json"] == by_id["TC-L1-COMP-SMOLLM2-001"]


def test_the_worst_verdict_stands_for_all() -> None:
    assert worst(["PASS", "FAIL", "INCONCLUSIVE"]) == "FAIL"
    assert worst(["PASS", "INCONCLUSIVE", "SKIPPED"]) == "INCONCLUSIVE"
    assert worst(["SKIPPED", "PASS"]) == "PASS"
    assert worst([]) is None


def test_the_summary_has_failures_and_successes_apart() -> None:
    found = metrics.summary(records(requests=20, ttft_s=0.1, failed=[0, 1]))
    ttft = found["ttft"]
    assert (20, 18) == (ttft["n"], ttft["success_only"]["n"])
    assert 0.9 * 0.1 + 0.1 * 60 == pytest.approx(ttft["mean"])
    assert (0.1, 0.1, None) == (ttft["p50"], ttft["p90"], ttft["p95"])
    assert (0.1, 0.1) == pytest.approx((ttft["success_only"]["mean"], ttft["success_only"]["max"]))
    assert {"attempted": 20, "ok": 18} == {key: found["counts"][key] for key in ("attempted", "ok")}
    assert ({"failed": 2, "ok": 18}, {"headers": 2}) == (
        found["counts"]["by_outcome"], found["counts"]["by_error_phase"],
    )  # fmt: skip
    assert {"short": 20} == found["counts"]["by_class"]
    assert ({"prompt": 720, "output": 576, "cached": 0}, 0.1) == (found["tokens"], found["error_rate"])


def test_the_summary_holds_littles_law() -> None:
    flow = metrics.summary(records(requests=200, warmup=0))["concurrency"]
    assert flow["in_flight"] == pytest.approx(1, abs=0.01)
    assert flow["disagreement"] < 0.02


def test_the_summary_of_nothing_is_null() -> None:
    run = records(requests=3)
    empty = {name: getattr(run, name).iloc[:0] for name in ("schedule", "requests", "reads", "phases")}
    found = metrics.summary(replace(run, **empty))
    assert (None, None, None) == (
        found["error_rate"], found["ttft"]["mean"], found["throughput_tokens"]["window"],
    )  # fmt: skip
    assert found["concurrency"]["in_flight"] is None


def test_resources_are_cores_and_bytes_of_each_source() -> None:
    frame = metrics.resources(records(requests=20))
    assert {"process": 0.9, "client": 0.05, "host": 0.97} == pytest.approx(
        frame.groupby("source")["cpu_cores"].mean().to_dict()
    )
    assert {"process": 250e6, "client": 60e6} == frame.groupby("source")["rss_bytes"].max().dropna().to_dict()
    assert frame.groupby("source")["cpu_cores"].first().notna().all()
    assert ["trial", "time_s", "source", "cpu_cores", "rss_bytes"] == list(frame)


def test_processor_time_that_goes_back_is_no_use_of_less_than_none() -> None:
    run = records(requests=5)
    of_process = (run.series["source"] == "process") & (run.series["name"] == "cpu_seconds")
    value = run.series["value"].where(~of_process, -run.series["value"])
    frame = metrics.resources(replace(run, series=run.series.assign(value=value)))
    assert {0.0} == set(frame.loc[frame["source"] == "process", "cpu_cores"].dropna())


def test_two_samples_are_enough_for_the_cores_between_them() -> None:
    series = pd.DataFrame({"trial": [1, 1], "time_s": [0.0, 2.0], "value": [5.0, 8.0]})
    assert [1.5, 1.5] == list(cores_used(series, 1, np.array([0.0, 1.0, 2.0])))
    assert [True, True] == np.isnan(cores_used(series[:1], 1, np.array([0.0, 1.0, 2.0]))).tolist()


def test_samples_at_the_ends_of_the_window_count() -> None:
    run = records(requests=4, warmup=0, loop="open")  # two seconds
    series = pd.DataFrame({"trial": [1] * 5, "time_s": [-0.5, 0.0, 1.9, 2.0, 2.1]})
    found = coverage(run, series)
    assert found is not None
    assert (1.5, 1.9, 0.15) == pytest.approx((found.rate_hz, found.largest_gap_s, found.share))


def test_resources_of_processes_sampled_together_are_added_up() -> None:
    run = records(requests=5)
    twice = replace(run, series=run.series.loc[run.series.index.repeat(2)].reset_index(drop=True))
    cores = metrics.resources(twice).groupby("source")["cpu_cores"].mean()
    assert cores["process"] == pytest.approx(1.8)


def test_a_certificate_says_which_load_it_holds_for_scale_included() -> None:
    stages = [
        {"name": "calm", "rate": 2, "duration": "30 s"},
        {"name": "up", "rate": {"from": 2, "to": 8}, "duration": "10 s"},
    ]
    given = {"load.stages": stages, "load.rate": None, "load.requests": None, "load.scale": 0.5}
    made = certificate.build(records(loop="open", profile=given))
    assert ["calm: 1 req/s for 30 s", "up: 1 to 4 req/s for 10 s"] == made["measurement"]["stages"]
    assert ("rate" not in made["measurement"], 0.5) == (True, made["measurement"]["scale"])
    assert "Users and rates are the profile's times 0.5: all this holds for that load only." in made["notes"]


def test_of_many_stages_a_certificate_says_how_many_and_between_which_rates() -> None:
    def said(count: int) -> list[str]:
        stages = [
            {"name": f"s{n}", "rate": {"from": n, "to": n + 1}, "duration": "1 s"} for n in range(count)
        ]
        given = {"load.stages": stages, "load.rate": None, "load.requests": None}
        return certificate.build(records(loop="open", profile=given))["measurement"]["stages"]

    assert 20 == len(said(20))
    assert ["21 of them: 0 to 21 req/s"] == said(21)


def test_a_certificate_says_that_the_times_were_scaled() -> None:
    stages = [{"name": "calm", "rate": 2, "duration": "300 s"}]
    given = {"load.stages": stages, "load.rate": None, "load.requests": None, "load.time_scale": 0.1}
    made = certificate.build(records(loop="open", profile=given))
    assert (["calm: 2 req/s for 30 s"], 0.1) == (
        made["measurement"]["stages"], made["measurement"]["time_scale"],
    )  # fmt: skip
    note = "The load's times are the profile's times 0.1: all this holds for that load only."
    assert note in made["notes"]
    plain = certificate.build(records(loop="open"))
    assert "time_scale" not in plain["measurement"]
    assert not [each for each in plain["notes"] if "times are" in each]


def test_a_certificate_says_that_turns_are_taken_as_independent() -> None:
    plain = records(requests=8, warmup=0)
    turns = changed(plain, "schedule", turn=[0, 1] * 4)
    note = "So are the turns of a conversation; where they are alike, intervals are too narrow."
    assert [False, True] == [note in certificate.build(run)["notes"] for run in (plain, turns)]


def test_a_certificate_says_how_long_users_thought() -> None:
    drawn = {"distribution": "exponential", "mean": "2 s"}
    made = certificate.build(records(profile={"load.think_time": drawn, "load.time_scale": 0.5}))
    assert (1.0, "exponential") == (
        made["measurement"]["think_time_s"], made["measurement"]["think_time_distribution"],
    )  # fmt: skip
    steady = certificate.build(records(profile={"load.think_time": "2 s"}))["measurement"]
    assert (2.0, False) == (steady["think_time_s"], "think_time_distribution" in steady)


def test_users_are_certified_as_they_were_scaled() -> None:
    made = certificate.build(records(users=4, profile={"load.scale": 0.5}))
    assert 2 == made["measurement"]["users"]
