"""Clopper-Pearson bounds and the p-values that go with them."""

import pytest
import reference
from scipy.stats import binom, binomtest

from hxbench.stats.proportions import (
    clopper_pearson,
    lower_bound,
    p_value_above,
    upper_bound,
)

CASES = reference.case("GATE-clopper")["expected"]


@pytest.mark.parametrize("name", CASES)
def test_bounds_are_those_of_the_reference_cases(name: str) -> None:
    over, n = map(int, name.split("/"))
    expected = CASES[name]
    interval = clopper_pearson(over, n, alpha_low=0.025, alpha_high=0.025)
    assert expected["two_sided"] == pytest.approx(list(interval), rel=1e-9)
    assert expected["one_sided_upper95"] == pytest.approx(upper_bound(over, n, 0.05), rel=1e-9)


def test_bounds_agree_with_scipy() -> None:
    expected = binomtest(7, 90).proportion_ci(0.95, method="exact")
    interval = clopper_pearson(7, 90, alpha_low=0.025, alpha_high=0.025)
    assert (expected.low, expected.high) == pytest.approx(tuple(interval))


def test_nothing_over_has_no_lower_bound() -> None:
    assert lower_bound(0, 100, 0.05) == 0.0


def test_everything_over_has_no_upper_bound() -> None:
    assert upper_bound(100, 100, 0.05) == 1.0


def test_no_data_says_nothing() -> None:
    assert tuple(clopper_pearson(0, 0, alpha_low=0.025, alpha_high=0.025)) == (0.0, 1.0)


def test_p_value_above_is_the_binomial_tail() -> None:
    assert binom.sf(6, 100, 0.05) == pytest.approx(p_value_above(7, 100, 0.05))


def test_at_least_nothing_is_certain() -> None:
    assert p_value_above(0, 100, 0.05) == 1.0


def test_p_value_and_lower_bound_say_the_same() -> None:
    for over in range(1, 40):
        beyond = lower_bound(over, 200, 0.01) > 0.05
        assert beyond == (p_value_above(over, 200, 0.05) < 0.01)


def test_a_single_miss_has_the_p_value_of_at_least_one() -> None:
    assert 1 - 0.95**10 == pytest.approx(p_value_above(1, 10, 0.05))
    assert 1.0 == p_value_above(0, 10, 0.05)
