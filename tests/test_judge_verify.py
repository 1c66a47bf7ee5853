"""Two JSON documents compared, value by value, and records that contradict themselves."""

import math
from dataclasses import replace
from typing import Any

import pytest
from records_by_hand import changed, frame, records

from hxbench.judge.consistency import contradictions
from hxbench.judge.verify import Group, Verification, differences, plain, values


@pytest.mark.parametrize(
    ("held", "given", "said"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a: holds 1, the records give 2"]),
        ({"a": 1}, {"a": 1.0}, ["a: holds 1, the records give 1.0"]),
        ({"a": 1}, {"a": True}, ["a: holds 1, the records give true"]),
        ({"a": None}, {"a": 0}, ["a: holds null, the records give 0"]),
        ({"a": "PASS"}, {"a": "FAIL"}, ['a: holds "PASS", the records give "FAIL"']),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a.b[1]: holds 2, the records give 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: holds 1 entries, the records give 2"]),
        ({"a": []}, {"a": {}}, ["a: holds [], the records give {}"]),
        ({}, {"a": 1}, ["a: is missing, the records give 1"]),
        ({"a": 1}, {}, ["a: holds 1, the records give no such value"]),
        (3, 4, [": holds 3, the records give 4"]),
    ],
)
def test_each_difference_names_its_path_and_both_values(held: Any, given: Any, said: list[str]) -> None:
    assert said == list(differences(held, given))


def test_a_float_may_differ_by_a_billionth_of_its_size_and_no_more() -> None:
    assert [] == list(differences(0.5, 0.5 * (1 + 0.9e-9)))
    assert 1 == len(list(differences(0.5, 0.5 * (1 + 1.1e-9))))
    assert 1 == len(list(differences(0.0, 1e-300)))


def test_a_long_value_is_cut_in_the_message() -> None:
    [said] = differences("x" * 500, "y")
    assert said.startswith(': holds "xxx')
    assert len(said) < 200


def test_values_are_counted_at_every_depth() -> None:
    assert 5 == values({"a": 1, "b": [2, "three"], "c": {"d": None, "e": 4.0}})


def test_tuples_become_what_json_gives_back_and_nan_is_refused() -> None:
    assert {"a": [1, [2]]} == plain({"a": (1, (2,))})
    with pytest.raises(ValueError, match="Out of range"):
        plain({"a": math.nan})


def test_a_verification_gathers_the_faults_of_its_groups() -> None:
    groups = (Group("one", "looked", ("a", "b")), Group("two", "looked"))
    found = Verification("run", "CERTIFIED", groups, ("note",))
    assert ("a", "b") == found.faults
    assert {"run": "run", "verified": False, "status": "CERTIFIED", "notes": ["note"]} == {
        key: value for key, value in found.as_dict().items() if key != "groups"
    }
    assert {"name": "one", "says": "looked", "faults": ["a", "b"]} == found.as_dict()["groups"][0]


TIMED = {"load.requests": None, "load.measure": "10 s"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"loop": "open"},
        {"trials": 3},
        {"users": 4},
        {"failed": {0, 5}},
        {"warmup": 0},
        {"tokens": 1},
    ],
)
def test_records_as_they_are_made_do_not_contradict_themselves(more: dict[str, Any]) -> None:
    assert [] == contradictions(records(requests=20, **more))


@pytest.mark.parametrize(
    ("asked", "broken"), [("20 s", False), ("22 s", False), ("23 s", True), ("60 s", True)]
)
def test_a_window_a_tenth_shorter_than_asked_for_was_stopped_early(asked: str, *, broken: bool) -> None:
    run = records(requests=40, loop="open", profile=TIMED | {"load.measure": asked})
    said = f"records/phases.parquet: trial 1 measured 20 s, the profile asks for {asked}"
    assert [said] * broken == contradictions(run)


def test_a_closed_loop_may_run_out_of_requests_before_its_time() -> None:
    assert [] == contradictions(records(requests=40, profile=TIMED | {"load.measure": "60 s"}))


def test_a_run_that_did_not_end_may_lack_rows_and_windows_but_not_contradict_itself() -> None:
    run = records(requests=40, loop="open", profile=TIMED | {"load.measure": "60 s"})
    killed = replace(run, ending={"state": "killed", "reason": "x"}, requests=run.requests.iloc[:30])
    cut = replace(killed, reads=run.reads[run.reads["request_id"].isin(killed.requests["request_id"])])
    assert [] == contradictions(cut)
    wrong = changed(cut, "requests", http_status=500)
    assert any("called ok whose HTTP status is not 200" in each for each in contradictions(wrong))


def test_a_phase_that_a_kill_left_open_has_no_end_to_hold_requests_against() -> None:
    run = records(requests=20)
    ends = [*run.phases["end_ns"][:2], None]
    late = changed(changed(run, "phases", end_ns=ends), "requests", done_ns=run.requests["done_ns"] + 10**12)
    assert [] == contradictions(replace(late, ending={"state": "killed", "reason": "x"}))


def test_a_rule_names_the_file_how_many_rows_and_the_first() -> None:
    run = records(requests=5, warmup=0)
    errors = [None, "reset", None, "reset", None]
    said = "records/requests.parquet: 2 requests called ok with an error (first: t1-000001)"
    assert [said] == contradictions(changed(run, "requests", error=errors))


def test_no_requests_at_all_contradict_nothing() -> None:
    run = records(requests=1, warmup=0)
    empty = {name: frame(name, {}) for name in ("schedule", "requests", "reads", "clock", "series", "phases")}
    assert [] == contradictions(replace(run, **empty, ending={"state": "killed", "reason": "x"}))
    lost = "records/schedule.parquet: ends after trial 0, at no planned look (after 1)"
    assert lost in contradictions(replace(run, **empty))


def test_a_count_that_is_not_stated_is_no_contradiction() -> None:
    run = records(requests=5)
    unstated = changed(run, "requests", output_tokens=None, token_source=None, prompt_tokens=None)
    assert [] == contradictions(unstated)
