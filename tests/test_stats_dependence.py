"""Variance inflation, design effect and effective sample size."""

import numpy as np
import pytest
import reference
from scipy.signal import lfilter
from scipy.stats import norm, t

from hxbench.stats import dependence
from hxbench.stats.dependence import (
    Worth,
    batch_inflation,
    design_effect,
    students_factor,
    variance_inflation,
    worth,
)

VIF_OF_AR1 = reference.case("DEP-vif-ar1")["expected"]


def over(level: float, values: np.ndarray) -> np.ndarray:
    return (values > norm.ppf(level)).astype(float)


def ar1(rho: float, n: int, seed: int = 7) -> np.ndarray:
    shocks = np.random.default_rng(seed).standard_normal(n)
    shocks[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], shocks)


def alternating(length: int, n: int) -> np.ndarray:
    return np.tile(np.repeat([0.0, 1.0], length), n // (2 * length))


@pytest.mark.parametrize("name", VIF_OF_AR1)
def test_the_inflation_of_an_ar1_is_that_of_the_reference_case(name: str) -> None:
    rho, p = (float(part.split("=")[1]) for part in name.split(","))
    found = variance_inflation([over(p, ar1(rho, 500_000))])
    assert VIF_OF_AR1[name] == pytest.approx(found, rel=0.07)


def test_blocks_of_a_long_trial_give_the_same_inflation(monkeypatch: pytest.MonkeyPatch) -> None:
    series = [over(0.95, ar1(0.9, 400_000))]
    monkeypatch.setattr(dependence, "MOST", 400_000)
    assert variance_inflation(series) == pytest.approx(VIF_OF_AR1["rho=0.9,p=0.95"], rel=0.07)
    monkeypatch.setattr(dependence, "MOST", 40_000)
    assert variance_inflation(series) == pytest.approx(VIF_OF_AR1["rho=0.9,p=0.95"], rel=0.07)


def test_the_sum_is_that_of_geyers_initial_monotone_sequence() -> None:
    # pairs 1 + 0.5, 0.2 + 0.1, 0.3 + 0.1 held to 0.3, then one that is not positive: 2 * 2.1 - 1
    covariances = np.array([1.0, 0.5, 0.2, 0.1, 0.3, 0.1, -0.3, 0.3, 0.9])
    assert (11, pytest.approx(3.2)) == dependence._initial_monotone(covariances)


def test_autocovariances_are_those_of_the_reference_case() -> None:
    case = reference.case("DEP-acf-known")
    found = dependence._autocovariances([np.array(case["input"]["x"], dtype=float)])
    assert case["expected"]["acf_biased"] == pytest.approx(list(found[:4] / found[0]))


def test_autocovariances_of_trials_are_averaged_each_around_its_own_mean() -> None:
    found = dependence._autocovariances([np.array([0.0, 1.0]), np.array([5.0, 7.0, 9.0, 7.0])])
    assert (2 * 0.25 + 8) / 6 == pytest.approx(found[0])
    assert (-0.25 + 0 + 0 + 0) / 6 == pytest.approx(found[1])


def test_what_a_trial_shows_grows_by_how_uncertain_it_is() -> None:
    # 1 1 0 0: covariances 0.25, 0.0625, -0.125, -0.0625; one pair, three lags of four values, VIF 1.5
    excess = 2 * (0.25 + 0.0625) / 0.25 - 1 - 1
    one, three = [np.array([1.0, 1.0, 0.0, 0.0])], [np.array([1.0, 1.0, 0.0, 0.0])] * 3
    assert 1 + excess * (1 + 3 / 4 + 2 * np.sqrt(2 * 3 / 4)) == pytest.approx(variance_inflation(one))
    assert 1 + excess * (1 + 3 / 4 + 2 * np.sqrt(2 * 3 / 12)) == pytest.approx(variance_inflation(three))


@pytest.mark.parametrize("series", [[], [np.empty(0)], [np.ones(50)], [np.array([1.0])], [np.zeros(1)] * 5])
def test_what_never_varies_shows_no_dependence(series: list[np.ndarray]) -> None:
    assert 1.0 == variance_inflation(series)
    assert 1.0 == batch_inflation(series)


def test_what_alternates_is_worth_no_more_than_its_number() -> None:
    assert 1.0 == variance_inflation([np.tile([0.0, 1.0], 100)])


def test_batches_that_are_each_of_one_kind_inflate_by_their_length() -> None:
    series = alternating(10, 200)  # 20 batches, ten of ones: 10 * 0.25 * 20 / 19 / 0.25
    assert 10 * 20 / 19 == pytest.approx(batch_inflation([series]))


def test_batches_need_two_values_each() -> None:
    assert 1.0 == batch_inflation([alternating(1, 38)])
    assert 2 * 20 / 19 == pytest.approx(batch_inflation([alternating(2, 40)]))


def test_trials_too_short_for_batches_are_left_out() -> None:
    assert batch_inflation([alternating(10, 200)]) == batch_inflation([alternating(10, 200), np.ones(10)])


def test_the_design_effect_is_that_of_the_formula() -> None:
    trials = [np.array([1.0] * ones + [0.0] * (10 - ones)) for ones in (2, 4, 6)]
    assert 10 * np.var([0.2, 0.4, 0.6], ddof=1) / (0.4 * 0.6) == pytest.approx(design_effect(trials))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_trials_without_any_or_only_misses_have_no_design_effect(value: float) -> None:
    assert 1.0 == design_effect([np.full(10, value)] * 3)


def test_independent_trials_have_a_design_effect_of_one_on_average() -> None:
    generator = np.random.default_rng(11)
    found = [
        design_effect([(generator.random(50) < 0.3).astype(float) for _ in range(5)]) for _ in range(800)
    ]
    assert 1.0 == pytest.approx(np.mean(found), abs=0.06)


def test_one_trial_is_worth_n_over_the_largest_inflation() -> None:
    calm, wild = np.tile([0.0, 1.0], 50), alternating(10, 100)
    expected = variance_inflation([wild])
    found = worth({"calm": [wild], "asked": [calm]}, 100, alpha=0.025)
    assert Worth(100, 100 / expected, expected, "calm") == found


def test_the_batches_of_the_last_series_count_too() -> None:
    pulses = alternating(100, 400)
    found = worth({"asked": [pulses]}, 400, alpha=0.025)
    assert max(variance_inflation([pulses]), batch_inflation([pulses])) == found.inflation


def test_nothing_that_shows_dependence_has_no_source() -> None:
    assert Worth(100, 100, 1.0, "") == worth({"asked": [np.ones(100)]}, 100, alpha=0.025)


def test_trials_are_worth_what_students_t_leaves_of_them() -> None:
    trials = [np.roll(np.tile([1.0] + [0.0] * 9, 10), shift) for shift in range(5)]
    trials[0][:60] = 1.0
    effect = design_effect(trials)
    assert 1 < effect
    expected = 500 / effect * (norm.isf(0.025) / t.isf(0.025, 4)) ** 2
    found = worth({"asked": trials}, 500, alpha=0.025)
    assert (pytest.approx(expected), effect) == (found.n_eff, found.design_effect)


def test_n_eff_is_never_above_n() -> None:
    generator = np.random.default_rng(12)
    for n in (1, 2, 3, 10, 41):
        for _ in range(20):
            series = [(generator.random(n) < 0.4).astype(float)]
            assert 0 < worth({"asked": series}, n, alpha=0.025).n_eff <= n


@pytest.mark.parametrize(("n", "used"), [(2**17, 2**17), (2**17 + 8, 2**16 + 4)])
def test_more_than_131072_values_of_a_trial_are_taken_in_blocks(n: int, used: int) -> None:
    # 0 0 0 0 1 1 1 1: VIF 2 by single values and by pairs, three lags; what differs is how sure it is
    expected = 2 + 3 / used + 2 * np.sqrt(2 * 3 / used)
    assert expected == pytest.approx(variance_inflation([alternating(4, n)]), abs=1e-4)


def test_blocks_that_are_all_alike_show_no_dependence() -> None:
    assert 1.0 == variance_inflation([alternating(1, 2**17 + 2)])


def test_pairs_that_are_all_positive_are_summed_to_the_end() -> None:
    # pairs 1.5, 0.5, 0.25; the last of an odd number has no partner
    covariances = np.array([1.0, 0.5, 0.25, 0.25, 0.125, 0.125, 0.5])
    assert (11, 2 * 2.25 - 1) == dependence._initial_monotone(covariances)


def test_a_small_inflation_has_its_source_too() -> None:
    # 0 0 0 1 1 1: covariances 1/4, 1/12, -1/12; excess 2/3, and what 3 lags of 600 values add
    found = worth({"asked": [alternating(3, 600)]}, 600, alpha=0.025)
    expected = 1 + 2 / 3 * (1 + 3 / 600 + 2 * np.sqrt(2 * 3 / 600))
    assert ("asked", pytest.approx(expected, rel=0.01)) == (found.source, found.inflation)


def test_two_trials_have_a_design_effect() -> None:
    two = [np.array([1.0, 0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])]
    found = worth({"asked": two}, 8, alpha=0.025)
    effect = 4 * (1 / 8) / (1 / 2 * 1 / 2)
    assert pytest.approx(effect) == found.design_effect
    assert pytest.approx(8 / effect * (norm.isf(0.025) / t.isf(0.025, 1)) ** 2) == found.n_eff


@pytest.mark.parametrize(
    ("effect", "ones"),
    [(0.0, ([2], [5], [8])), (0.6, ([0, 5], [1, 3, 6, 8], [0, 3, 5, 8])), (1.0, ([],) * 3)],
)
def test_trials_that_agree_more_than_chance_has_it_are_worth_what_students_t_leaves(
    effect: float, ones: tuple[list[int], ...]
) -> None:
    trials = [np.isin(np.arange(10), each).astype(float) for each in ones]
    found = worth({"asked": trials}, 30, alpha=0.025)
    left = 30 * (norm.isf(0.025) / t.isf(0.025, 2)) ** 2
    assert Worth(30, pytest.approx(left), 1.0, "", pytest.approx(effect)) == found


def test_the_spread_of_few_trials_is_known_less_well_and_that_of_one_is_not_looked_at() -> None:
    # 12.7 and 2.78 cut off 2.5 % of Student's t with 1 and 4 degrees of freedom, 1.96 of the normal
    assert [1.0, 0.0238, 0.498] == [pytest.approx(students_factor(n, 0.025), rel=0.01) for n in (1, 2, 5)]
