"""Output lengths: read, written back, drawn."""

from collections import Counter
from random import Random
from statistics import median
from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.layers import resolve
from hxbench.plan.lengths import Lengths, fixed
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.plan.workload import Prompt

PROMPTS = tuple(Prompt(f"p{number}", ({"role": "user", "content": "Hi"},), "c") for number in range(5))
UNIFORM = {"distribution": "uniform", "from": 50, "to": 150}
LOGNORMAL = {"distribution": "lognormal", "median": 200, "sigma": 0.5, "from": 20, "to": 1000}


def profile(output_tokens: Any, **load: Any) -> Profile:
    overrides = {"target.model": "m", "workload.output_tokens": output_tokens, **load}
    return resolve(None, overrides={key: (value, "x") for key, value in overrides.items()}).profile


@pytest.mark.parametrize("written", [64, UNIFORM, LOGNORMAL])
def test_lengths_are_written_as_they_are_read(written):
    document = profile(written).model_dump(mode="json", by_alias=True)
    assert written == document["workload"]["output_tokens"]
    assert profile(written) == Profile.model_validate(document)


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        (': expected a whole number, got "many"', "many"),
        (": expected a whole number, got 1.5", 1.5),
        (": expected a number of 1 or more, got 0", 0),
        (": expected a number of at most 1000000, got 1000001", 1_000_001),
        (".distribution: expected uniform or lognormal, got null", {"from": 1, "to": 2}),
        ('.distribution: expected uniform or lognormal, got "normal"', {"distribution": "normal"}),
        (".distribution: expected uniform or lognormal, got a list", {"distribution": ["uniform"]}),
        (".to: required, missing", {"distribution": "uniform", "from": 1}),
        (".too: unknown key; did you mean to", {**UNIFORM, "too": 3}),
        (".median: unknown key; expected one of distribution, from, to", {**UNIFORM, "median": 3}),
        (".to: expected a number above 50, got 50", {**UNIFORM, "to": 50}),
        (".from: expected a number of 1 or more, got 0", {**UNIFORM, "from": 0}),
        (".sigma: expected a number above 0 and at most 5, got 0", {**LOGNORMAL, "sigma": 0}),
        (".sigma: expected a number above 0 and at most 5, got true", {**LOGNORMAL, "sigma": True}),
    ],
)
def test_lengths_that_cannot_be_drawn_are_refused(expected, written):
    with pytest.raises(ProfileError) as caught:
        profile(written)
    assert f"workload.output_tokens{expected}" == str(caught.value).partition(": ")[2]


def test_each_length_of_a_uniform_distribution_is_as_likely_as_another():
    drawn = Counter(Lengths(3, 6).draw(generator) for generator in [Random(1)] for _ in range(4000))
    assert {3, 4, 5, 6} == drawn.keys()
    assert [1000] * 4 == pytest.approx(list(drawn.values()), abs=110)  # four standard deviations


def test_lognormal_lengths_have_their_median_and_stay_within_their_bounds():
    generator = Random(1)
    drawn = [Lengths(100, 400, 200, 0.7).draw(generator) for _ in range(4000)]
    assert 200 == pytest.approx(median(drawn), rel=0.05)
    assert (100, 400) == (min(drawn), max(drawn))
    below = sum(length < 200 / 2**0.5 for length in drawn)  # ln √2 / 0.7 = 0.495 standard deviations: 31 %
    assert 0.31 == pytest.approx(below / 4000, abs=0.03)


def test_a_schedule_draws_its_lengths_from_the_seed():
    one, other = (profile(UNIFORM, **{"load.requests": 40, "workload.seed": seed}) for seed in (1, 2))
    lengths = [row.max_tokens for row in build(one, PROMPTS, 1)]
    assert lengths == [row.max_tokens for row in build(one, PROMPTS, 1)]
    assert lengths != [row.max_tokens for row in build(other, PROMPTS, 1)]
    assert lengths != [row.max_tokens for row in build(one, PROMPTS, 2)]
    assert all(50 <= length <= 150 for length in lengths)
    assert 20 < len(set(lengths))
    fixed = profile(64, **{"load.requests": 40})
    assert [row.prompt_id for row in build(fixed, PROMPTS, 1)] == [
        row.prompt_id for row in build(one, PROMPTS, 1)
    ]


def test_a_prompts_own_length_goes_before_the_distribution():
    own = (Prompt("own", PROMPTS[0].messages, "c", max_tokens=fixed(7)),)
    assert {7} == {row.max_tokens for row in build(profile(UNIFORM, **{"load.requests": 9}), own, 1)}


def test_a_distribution_above_the_limit_of_tokens_is_refused():
    with pytest.raises(ProfileError, match=r"5000 output tokens are above limits\.tokens, 4999"):
        profile(UNIFORM, **{"load.requests": 100, "limits.tokens": 4999})
