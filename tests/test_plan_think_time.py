"""How long users think: as written, by the seed, and stretched with the load's other times."""

from statistics import mean
from typing import Any

import pytest
from pydantic import ValidationError
from scipy import stats

from hxbench.errors import ProfileError
from hxbench.plan.layers import resolve
from hxbench.plan.load import Load

DRAWN = {"distribution": "exponential", "mean": "2 s"}


def load(think_time: Any, **more: Any) -> Load:
    return Load.model_validate({"think_time": think_time} | more)


def test_a_duration_is_always_the_same_and_none_is_no_time() -> None:
    assert {2.0} == {load("2 s").thinking_s(1, f"t1-{n}") for n in range(5)}
    assert 0.0 == load(None).thinking_s(1, "t1-1")


def test_an_exponential_one_has_its_mean_and_its_shape() -> None:
    found = [load(DRAWN).thinking_s(1, f"t1-{n:06d}") for n in range(4000)]
    assert 2.0 == pytest.approx(mean(found), abs=0.15)
    assert stats.kstest(found, stats.expon(scale=2).cdf).pvalue > 0.001


def test_the_same_seed_and_request_think_for_the_same_time_and_others_for_another() -> None:
    given = load(DRAWN)
    assert given.thinking_s(1, "t1-000001") == given.thinking_s(1, "t1-000001")
    assert 4 == len({given.thinking_s(seed, name) for seed in (1, 2) for name in ("t1-000001", "t1-000002")})


@pytest.mark.parametrize("written", ["2 s", DRAWN])
def test_it_is_written_as_it_is_read(written: Any) -> None:
    document = load(written).model_dump(mode="json")
    assert written == document["think_time"]
    assert load(written) == Load.model_validate(document)


def test_a_drawn_one_of_constant_distribution_is_a_duration() -> None:
    assert load("2 s") == load({"distribution": "constant", "mean": "2 s"})


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        ("load.think_time: expected a number above 0, got 0 s", "0 s"),
        ("load.think_time: expected a duration such as 500 ms, got soon", "soon"),
        ("load.think_time: expected a duration, got a list", ["1 s"]),
        (
            "load.think_time.distribution: expected 'constant' or 'exponential', got \"normal\"",
            {**DRAWN, "distribution": "normal"},
        ),
        ("load.think_time.mean: required, missing", {"distribution": "exponential"}),
        ("load.think_time.mean: expected a number above 0, got -1 s", {**DRAWN, "mean": "-1 s"}),
        ("load.think_time.sigma: unknown key; expected one of distribution, mean", {**DRAWN, "sigma": 1}),
    ],
)
def test_what_is_no_time_is_refused(expected: str, written: Any) -> None:
    with pytest.raises(ProfileError) as caught:
        resolve(None, overrides={"target.model": ("m", "--set"), "load.think_time": (written, "--set")})
    assert expected == str(caught.value).partition(": ")[2]


def test_a_time_scale_stretches_the_load_but_neither_rates_nor_warm_up() -> None:
    half = load("2 s", users=3, ramp_up="4 s", warmup="5 s", measure="60 s", time_scale=0.5)
    assert (1.0, 2.0, 30.0, 5.0, 3) == (
        half.thinking_s(1, "a"), half.ramp_up_s, half.measured_s, half.warmup, half.scaled_users,
    )  # fmt: skip
    stage = {"name": "up", "rate": {"from": 2, "to": 4}, "duration": "10 s"}
    tenth = Load.model_validate({"stages": [stage], "time_scale": 0.1})
    [(name, rate, seconds)] = tenth.slopes
    assert ("up", 2.0, 4.0, 1.0, 3.0) == (name, rate.begin, rate.end, seconds, tenth.expected_arrivals)
    steady = Load.model_validate({"rate": 4, "measure": "10 s", "time_scale": 2.0})
    assert (20.0, 80.0) == (steady.measured_s, steady.expected_arrivals)
    assert load("2 s", time_scale=0.25).thinking_s(1, "a") == load("0.5 s").thinking_s(1, "a")


def test_a_ramp_that_the_time_scale_makes_longer_than_the_warm_up_is_refused() -> None:
    given = {"users": 3, "ramp_up": "5 s", "warmup": "10 s"}
    assert 10.0 == load(None, **given, time_scale=2.0).ramp_up_s
    with pytest.raises(ValidationError, match=r"ramp_up\n  is longer than load\.warmup"):
        load(None, **given, time_scale=2.1)


@pytest.mark.parametrize("factor", [0.0, 0.00009, 1000.5, float("nan")])
def test_a_time_scale_beyond_sense_is_refused(factor: float) -> None:
    assert 0.0001 == load(None, time_scale=0.0001).time_scale
    with pytest.raises(ValidationError, match="time_scale"):
        load(None, time_scale=factor)
