"""When requests are due: processes of rate 1, stretched by the rate of each stage."""

from itertools import islice, pairwise
from math import sqrt
from random import Random
from statistics import mean, pvariance
from typing import Any

import pytest
from scipy import stats

from hxbench.plan.arrivals import Stretch, constant, gamma, places, poisson, stretches
from hxbench.plan.load import Load

SECOND = 1_000_000_000


def load(**given: Any) -> Load:
    return Load.model_validate({"warmup": "0 s", "arrivals": "constant"} | given)


def stage(name: str, rate: Any, duration: str) -> dict[str, Any]:
    return {"name": name, "rate": rate, "duration": duration}


def due_s(given: Load, seed: int = 1, trial: int = 1) -> list[float]:
    return [(place.due_offset_ns or 0) / SECOND for place in places(given, seed, trial)]


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise([0.0, *times])]


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gamma_gaps_are_one_on_average_and_their_variance_is_one_by_the_burstiness(burstiness):
    found = gaps(list(islice(gamma(Random(7), burstiness), 40_000)))
    assert 1.0 == pytest.approx(mean(found), abs=0.04)
    assert 1 / burstiness == pytest.approx(pvariance(found), rel=0.08)
    assert stats.kstest(found, stats.gamma(burstiness, scale=1 / burstiness).cdf).pvalue > 0.001


def test_poisson_gaps_are_exponential():
    found = gaps(list(islice(poisson(Random(7)), 20_000)))
    assert stats.kstest(found, stats.expon.cdf).pvalue > 0.001


def test_a_ramp_solves_the_integral_of_its_rate():
    ramp = Stretch("measure", "up", 2.0, 1.0, 3.0)  # until t there come t + t²/2
    assert 4.0 == ramp.arrivals
    assert [0.0, sqrt(3) - 1, sqrt(5) - 1, sqrt(7) - 1, 2.0] == pytest.approx([*map(ramp.after, range(5))])
    down = Stretch("measure", "down", 2.0, 3.0, 1.0)  # until t there come 3t - t²/2
    assert [0.0, 3 - sqrt(7), 3 - sqrt(5), 3 - sqrt(3), 2.0] == pytest.approx([*map(down.after, range(5))])


def test_a_ramp_may_come_up_from_nothing_and_go_down_to_it() -> None:
    up = Stretch("measure", "up", 2.0, 0.0, 4.0)  # until t there come t²
    assert [0.0, 0.0, 1.0, sqrt(3), 2.0] == pytest.approx([*map(up.after, (-1e-12, 0, 1, 3, 4))])
    down = Stretch("measure", "down", 2.0, 4.0, 0.0)  # until t there come 4t - t²
    assert [0.0, 2 - sqrt(3), 1.0, 2.0] == pytest.approx([*map(down.after, (0, 1, 3, 4))])


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_in_a_pause_nobody_comes(arrivals: str) -> None:
    stages = [
        stage("night", {"from": 0, "to": 0}, "5 s"),
        stage("day", 10, "5 s"),
        stage("evening", {"from": 0, "to": 0}, "5 s"),
    ]
    found = due_s(load(arrivals=arrivals, stages=stages))
    assert 5 <= found[0] <= found[-1] < 10
    assert 50 == pytest.approx(len(found), abs=4 * sqrt(50))


def test_a_steady_stretch_without_end_has_equal_gaps():
    steady = Stretch("measure", "main", float("inf"), 4.0, 4.0)
    assert [0.0, 0.25, 0.5] == [*map(steady.after, islice(constant(), 3))]


def test_stages_follow_each_other_at_their_rates():
    given = load(stages=[stage("calm", 2, "1 s"), stage("spike", 8, "1 s"), stage("soak", 1, "2 s")])
    found = [*places(given, 1, 1)]
    assert ["calm"] * 2 + ["spike"] * 8 + ["soak"] * 2 == [place.stage for place in found]
    assert [0, 0.5, *[1 + index / 8 for index in range(8)], 2, 3] == due_s(given)
    assert {"measure"} == {place.phase for place in found}


def test_a_stage_that_ramps_joins_the_next_without_a_gap():
    given = load(stages=[stage("up", {"from": 1, "to": 3}, "2 s"), stage("top", 3, "1 s")])
    expected = [0, sqrt(3) - 1, sqrt(5) - 1, sqrt(7) - 1, 2, 2 + 1 / 3, 2 + 2 / 3]
    assert expected == pytest.approx(due_s(given), abs=1e-9)
    assert ["up"] * 4 + ["top"] * 3 == [place.stage for place in places(given, 1, 1)]


def test_a_fraction_of_a_request_is_carried_into_the_next_stage():
    given = load(stages=[stage("a", 1, "1.5 s"), stage("b", 2, "1 s")])
    assert [0, 1, 1.75, 2.25] == due_s(given)


def test_the_warm_up_has_the_first_stages_rate_and_name():
    given = load(warmup="1 s", stages=[stage("up", {"from": 2, "to": 4}, "1 s")])
    assert [("warmup", "up")] * 2 + [("measure", "up")] * 3 == [place[:2] for place in places(given, 1, 1)]
    assert [("warmup", 1.0, 2.0, 2.0), ("measure", 1.0, 2.0, 4.0)] == [
        (each.phase, each.seconds, each.begin, each.end) for each in stretches(given)
    ]


def test_as_many_come_in_a_stage_as_its_mean_rate_says():
    given = load(arrivals="poisson", stages=[stage("up", {"from": 10, "to": 190}, "20 s")])
    assert 2000 == pytest.approx(given.expected_arrivals)
    found = due_s(given)
    assert 2000 == pytest.approx(len(found), abs=4 * sqrt(2000))
    first_half = sum(time < 10 for time in found)
    assert 550 == pytest.approx(first_half, abs=4 * sqrt(550))  # the mean rate of the first half is 55
    assert found == sorted(found)


@pytest.mark.parametrize("arrivals", [{"arrivals": "poisson"}, {"arrivals": "gamma", "burstiness": 0.5}])
def test_a_seed_gives_the_same_pattern_at_any_rate_and_another_seed_another(arrivals):
    slow, fast = (load(rate=rate, requests=50, **arrivals) for rate in (1, 4))
    assert due_s(slow) == due_s(slow)
    assert due_s(slow) == pytest.approx([4 * time for time in due_s(fast)], abs=1e-8)
    assert due_s(slow) != due_s(slow, seed=2)
    assert due_s(slow) != due_s(slow, trial=2)


def test_what_a_load_measures_is_known_beforehand():
    staged = load(stages=[stage("a", 2, "10 s"), stage("b", {"from": 2, "to": 4}, "10 s")])
    assert (20.0, 50.0) == (staged.measured_s, staged.expected_arrivals)
    assert (10.0, 30.0) == ((steady := load(rate=3, measure="10 s")).measured_s, steady.expected_arrivals)
    assert (None, 7) == ((counted := load(rate=3, requests=7)).measured_s, counted.expected_arrivals)
    assert (60.0, None) == ((closed := load(arrivals=None, users=2)).measured_s, closed.expected_arrivals)


def test_a_scale_multiplies_rates_and_users_but_no_time():
    stages = [stage("a", 2, "1 s"), stage("b", {"from": 2, "to": 4}, "1 s")]
    whole, double = load(stages=stages), load(stages=stages, scale=2.0)
    assert (2.0, 2.0, 5.0, 10.0) == (
        whole.measured_s, double.measured_s, whole.expected_arrivals, double.expected_arrivals,
    )  # fmt: skip
    assert [0, 0.25, 0.5, 0.75] == due_s(double)[:4]
    assert [0, 0.5] == due_s(load(rate=4, measure="1 s", scale=0.5))
    assert [25, 1, 3] == [
        load(arrivals=None, users=users, scale=scale).scaled_users
        for users, scale in ((100, 0.25), (1, 0.1), (2, 1.4))
    ]
