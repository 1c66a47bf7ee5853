"""The table by stage: what was asked for, came due and was sent, and how the answers were."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from records_by_hand import SECOND, START_NS, changed, frame, records

from hxbench.judge import metrics
from hxbench.records.run_directory import Records

STAGES = [
    {"name": "calm", "rate": 2, "duration": "4 s"},
    {"name": "up", "rate": {"from": 2, "to": 6}, "duration": "2 s"},
    {"name": "never", "rate": 9, "duration": "2 s"},
]


def staged(trials: int = 1, **more: Any) -> Records:
    """Two requests a second: eight in the stage calm and four in up; the third stage never began."""
    given = {"load.stages": STAGES, "load.rate": None, "load.requests": None}
    run = records(requests=12, warmup=0, trials=trials, loop="open", ttft_s=0.1, profile=given, **more)
    run = changed(run, "schedule", stage=(["calm"] * 8 + ["up"] * 4) * trials)
    starts = [START_NS + trial * 1000 * SECOND for trial in range(trials)]
    phases = [
        frame(
            "phases",
            {
                "trial": trial, "target": "main", "phase": "measure", "stage": ["calm", "up"],
                "start_ns": [start, start + 4 * SECOND], "end_ns": [start + 4 * SECOND, start + 6 * SECOND],
            },
        )
        for trial, start in enumerate(starts, start=1)
    ]  # fmt: skip
    return replace(run, phases=pd.concat(phases, ignore_index=True))


def rows(run: Records) -> dict[str, dict[str, Any]]:
    return {each["stage"]: each for each in metrics.summary(run)["stages"]}


@pytest.mark.parametrize("trials", [1, 3])
def test_each_stage_has_its_own_rates_over_all_trials(trials: int) -> None:
    found = rows(staged(trials))
    assert ["calm", "up", "never"] == list(found)
    assert [(4.0 * trials, 8 * trials), (2.0 * trials, 4 * trials)] == [
        (found[name]["seconds"], found[name]["requests"]) for name in ("calm", "up")
    ]
    for key, expected in (("requested_per_s", [2, 4]), ("due_per_s", [2, 2]), ("achieved_per_s", [2, 2])):
        assert expected == pytest.approx([found[name][key] for name in ("calm", "up")]), key


def test_what_is_sent_late_is_counted_where_it_was_sent_and_timed_where_it_was_due() -> None:
    run = staged()
    late = [*run.requests["dispatched_ns"]]
    late[7] += SECOND  # due at 3.5 s, sent at 4.5 s
    first = [*run.requests["first_token_ns"]]
    first[7] += SECOND
    found = rows(changed(run, "requests", dispatched_ns=late, first_token_ns=first))
    assert [7 / 4, 5 / 2] == [found[name]["achieved_per_s"] for name in ("calm", "up")]
    assert [1.1, 0.1] == pytest.approx([found[name]["ttft_p95"] for name in ("calm", "up")])
    assert [1.0, 0.0] == pytest.approx([found[name]["send_lag_p99"] for name in ("calm", "up")], abs=1e-6)


def test_failures_are_infinite_and_belong_to_their_stage() -> None:
    found = rows(staged(failed=(0, 8, 9)))
    assert [1 / 8, 0.5] == [found[name]["error_rate"] for name in ("calm", "up")]
    assert [0.1, 0.1] == pytest.approx([found[name]["ttft_p50"] for name in ("calm", "up")])
    assert [None, None] == [found[name]["ttft_p95"] for name in ("calm", "up")]


def test_a_stage_that_never_began_has_no_figures() -> None:
    never = rows(staged())["never"]
    asked = {"stage": "never", "requests": 0, "requested_per_s": 9.0}
    assert asked == {key: value for key, value in never.items() if value is not None}


def test_records_without_the_times_of_stages_have_no_rates_but_the_answers() -> None:
    run = staged()
    one = frame(
        "phases",
        {
            "trial": 1, "target": "main", "phase": "measure", "stage": "main", "start_ns": [START_NS],
            "end_ns": [START_NS + 6 * SECOND],
        },
    )  # fmt: skip
    calm = rows(replace(run, phases=one))["calm"]
    assert (8, None, None, 0.0) == (calm["requests"], calm["seconds"], calm["due_per_s"], calm["error_rate"])
    assert 0.1 == pytest.approx(calm["ttft_p50"])


def test_a_load_without_stages_has_none() -> None:
    assert [] == metrics.summary(records(requests=5))["stages"]
    assert [] == metrics.summary(records(requests=5, loop="open"))["stages"]
