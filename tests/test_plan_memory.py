"""The steps of a memory check, and what is said of numbers that make none."""

from typing import Any

import pytest

from hxbench.errors import InputError
from hxbench.judge import leak
from hxbench.plan.memory import FEWEST_CYCLES, Step, steps


def test_the_steps_are_those_of_the_requirements() -> None:
    assert (
        Step("at once", 1, 1, 200),
        Step("at once", 2, 2, 200),
        Step("at once", 4, 4, 200),
        Step("at once", 8, 8, 200),
        Step("at once", 16, 16, 200),
        Step("growth", 1, 20, 50),
        Step("own servers", 4, 4, 50, servers=4),
        Step("one server", 4, 10, 50),
    ) == steps()


def test_checks_are_chosen_by_name_and_done_in_one_order() -> None:
    assert ["growth", "leak"] == [step.name for step in steps("leak, growth")]
    assert (Step("leak", 1, 10, 50, cycles=7),) == steps("leak", cycles=7)
    assert (Step("leak", 1, 10, 50, cycles=8, under_load_s=1800),) == steps("leak", leak_time="30 min")
    assert [3, 5] == [step.users for step in steps("at once", at_once=[3, 5], tokens=2000)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"checks": "leek"}, "memory: checks: unknown check leek; did you mean leak"),
        ({"checks": ""}, "memory: checks: expected some of at once, growth, servers, leak, got none"),
        ({"at_once": ""}, "memory: at_once: expected rising numbers such as 1, 2, 4, got none"),
        ({"at_once": "2, 1"}, "memory: at_once: expected rising numbers such as 1, 2, 4, got 2, 1"),
        ({"at_once": "0"}, "memory: at_once: expected 1 to 256, got 0"),
        ({"at_once": "257"}, "memory: at_once: expected 1 to 256, got 257"),
        ({"at_once": "many"}, "memory: at_once: expected a whole number such as 400, got many"),
        ({"tokens": 0}, "memory: tokens: expected 1 to 2000, got 0"),
        ({"tokens": 2001}, "memory: tokens: expected 1 to 2000, got 2001"),
        ({"cycles": 6}, "memory: cycles: expected 7 to 10000, got 6"),
        ({"leak_time": "30 min"}, "memory: leak_time: has no place without the check leak: --checks leak"),
        (
            {"checks": "leak", "leak_time": "30"},
            "memory: leak_time: expected a duration such as 500 ms, got 30",
        ),
        (
            {"checks": "leak", "leak_time": "0 s"},
            "memory: leak_time: expected more than 0 s and at most 24 h, got 0 s",
        ),
        (
            {"checks": "leak", "leak_time": "25 h"},
            "memory: leak_time: expected more than 0 s and at most 24 h, got 25 h",
        ),
    ],
)
def test_wrong_numbers_are_refused_with_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        steps(**given)
    assert message == str(refused.value)


def test_as_many_cycles_are_asked_for_as_the_verdict_needs() -> None:
    assert leak.WARM_UP_CYCLES + leak.FEWEST_CYCLES == FEWEST_CYCLES
