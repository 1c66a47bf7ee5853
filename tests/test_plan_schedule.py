import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.arrivals import constant, poisson
from hxbench.plan.lengths import fixed
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.plan.workload import Prompt

PROMPTS = tuple(Prompt(f"p{number}", ({"role": "user", "content": "Hi"},), "c") for number in range(5))
CASES = {
    case["id"]: case
    for case in json.loads(Path(__file__).with_name("reference_cases.json").read_text())["cases"]
}


def profile(load: dict[str, Any], limits: dict[str, Any] | None = None) -> Profile:
    return Profile.model_validate(
        {
            "target": {"model": "m"},
            "workload": {"output_tokens": 10, "seed": 3},
            "load": load,
            "limits": limits or {},
        }
    )


def phases(rows) -> dict[str, int]:
    return dict(Counter(row.phase for row in rows))


def test_poisson_arrivals_are_those_of_the_reference_case():
    expected = CASES["SCHED-poisson"]["expected"]["arrival_s"]
    generator = Random(20240607)
    times = [time / 5.0 for time in islice(poisson(generator), 10)]
    assert pytest.approx(expected, rel=1e-12) == times


def test_constant_arrivals_are_evenly_apart_from_zero_on():
    assert [0.0, 1.0, 2.0, 3.0] == list(islice(constant(), 4))


def test_a_closed_loop_of_n_requests_has_exactly_n_measured_rows():
    rows = build(profile({"requests": 7, "users": 2, "warmup": "1 s"}), PROMPTS, 1)
    assert {"warmup": 7, "measure": 7} == phases(rows)
    assert {None} == {row.due_offset_ns for row in rows}
    assert ["warmup", "measure"] == list(dict.fromkeys(row.phase for row in rows))


def test_each_user_finds_a_row_to_warm_up_with():
    assert {"warmup": 8, "measure": 3} == phases(build(profile({"requests": 3, "users": 8}), PROMPTS, 1))


def test_without_warm_up_there_are_no_warm_up_rows():
    assert {"measure": 7} == phases(build(profile({"requests": 7, "warmup": "0 s"}), PROMPTS, 1))
    timed = profile({"measure": "1 s", "warmup": "0 s"}, {"requests": 9})
    assert {"measure": 9} == phases(build(timed, PROMPTS, 1))


def test_a_timed_closed_loop_shares_what_the_limits_allow_by_time():
    rows = build(profile({"measure": "30 s", "warmup": "10 s"}, {"requests": 400}), PROMPTS, 1)
    assert {"warmup": 100, "measure": 300} == phases(rows)


def test_each_trial_has_an_equal_share_of_the_limits():
    rows = build(profile({"measure": "30 s", "warmup": "10 s", "trials": 4}, {"requests": 400}), PROMPTS, 2)
    assert {"warmup": 25, "measure": 75} == phases(rows)


def test_tokens_asked_for_stay_within_their_limit():
    rows = build(profile({"measure": "30 s", "warmup": "10 s"}, {"tokens": 405}), PROMPTS, 1)
    assert 400 == sum(row.max_tokens for row in rows)


def test_a_prompt_that_asks_for_its_own_length_gets_it():
    long = Prompt("long", PROMPTS[0].messages, "c", max_tokens=fixed(99))
    assert {99} == {row.max_tokens for row in build(profile({"requests": 3}), (long,), 1)}


@pytest.mark.parametrize(
    ("load", "limits"),
    [
        ({"requests": 10, "users": 2}, {"requests": 11}),
        ({"measure": "9 s", "users": 3}, {"requests": 5}),
        ({"rate": 2, "measure": "10 s", "warmup": "0 s", "arrivals": "poisson"}, {"requests": 20}),
    ],
)
def test_a_load_above_the_limits_is_refused(load, limits):
    with pytest.raises(
        ProfileError,
        match=r"^unnamed: load: needs \d+ or more requests a trial, warm-up included; the limits",
    ):
        build(profile(load, limits), PROMPTS, 1)


def test_no_prompts_are_no_load():
    with pytest.raises(ProfileError, match="allow 0"):
        build(profile({"requests": 1}), (), 1)


def test_a_constant_open_loop_is_due_at_every_interval():
    rows = build(profile({"rate": 4, "arrivals": "constant", "warmup": "1 s", "measure": "2 s"}), PROMPTS, 1)
    assert {"warmup": 4, "measure": 8} == phases(rows)
    assert [0, 250_000_000, 500_000_000] == [row.due_offset_ns for row in rows[:3]]
    assert 1_000_000_000 == next(row.due_offset_ns for row in rows if row.phase == "measure")
    assert 2_750_000_000 == rows[-1].due_offset_ns


def test_a_poisson_open_loop_is_in_order_inside_its_time_and_split_by_due_time():
    rows = build(profile({"rate": 50, "warmup": "2 s", "measure": "8 s"}), PROMPTS, 1)
    dues = [row.due_offset_ns for row in rows]
    assert dues == sorted(dues)
    assert 0 < dues[0] < dues[-1] < 10e9
    assert all((row.phase == "warmup") == (row.due_offset_ns < 2e9) for row in rows)
    assert 500 == pytest.approx(len(rows), abs=4 * 500**0.5)  # four standard deviations of a Poisson count


def test_an_open_loop_of_n_requests_ends_after_n_measured_arrivals():
    rows = build(profile({"rate": 50, "warmup": "1 s", "requests": 20}), PROMPTS, 1)
    assert 20 == phases(rows)["measure"]


def test_the_same_seed_and_trial_give_the_same_rows_and_another_trial_gives_others():
    given = profile({"rate": 50, "measure": "2 s"})
    assert build(given, PROMPTS, 1) == build(given, PROMPTS, 1)
    first, second = (build(given, PROMPTS, trial) for trial in (1, 2))
    assert [row.due_offset_ns for row in first[:5]] != [row.due_offset_ns for row in second[:5]]
    assert [row.prompt_id for row in first[:50]] != [row.prompt_id for row in second[:50]]


def test_rows_can_be_told_apart_and_read():
    rows = build(profile({"requests": 20}), PROMPTS, 2)
    assert ["t2-000001", "t2-000002"] == [row.request_id for row in rows[:2]]
    assert 40 == len({row.request_id for row in rows})
    assert 40 == len({row.seed for row in rows})
    assert all(0 <= row.seed < 2**31 for row in rows)
    first = rows[0]
    assert ("main", None, "t2-000001", 0, "c") == (
        first.stage, first.user, first.conversation, first.turn, first.prompt_class,
    )  # fmt: skip


def test_each_prompt_comes_once_before_any_comes_again():
    rows = build(profile({"requests": 10, "warmup": "0 s"}), PROMPTS, 1)
    assert (
        {"p0", "p1", "p2", "p3", "p4"}
        == {row.prompt_id for row in rows[:5]}
        == {row.prompt_id for row in rows[5:]}
    )


def test_the_load_worker_imports_no_more_than_the_standard_library():
    code = "import sys, hxbench.plan.schedule; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pydantic", "yaml", "numpy", "pandas"} & set(loaded)
