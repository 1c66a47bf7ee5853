"""Nearest rank and the intervals of order statistics."""

import math
from typing import Any

import numpy as np
import pytest
import reference

from hxbench.stats.proportions import p_value_above, upper_bound
from hxbench.stats.quantiles import finite, nearest_rank, order_statistic_ranks, quantile_interval, rank

ALPHA = {"alpha_low": 0.025, "alpha_high": 0.025}


@pytest.mark.parametrize("name", ["PCT-5", "PCT-100", "PCT-100c"])
def test_nearest_rank_is_that_of_the_reference_cases(name: str) -> None:
    case = reference.case(name)
    values = np.arange(1.0, 101.0) if case["input"]["x"] == "1..100" else np.array(case["input"]["x"], float)
    assert case["expected"]["nearest_rank_ceil(np)"] == nearest_rank(values, case["input"]["p"])


def test_nearest_rank_of_ten_at_94_percent_is_the_last() -> None:
    assert nearest_rank(np.arange(1.0, 11.0), 0.94) == 10


def test_rounding_of_the_level_costs_no_rank() -> None:
    assert 100 * 0.07 > 7
    assert nearest_rank(np.arange(1.0, 101.0), 0.07) == 7


def test_the_lowest_rank_is_the_first() -> None:
    assert (1, 1, 1, 2) == (rank(10, 0.0), rank(10, 0.01), rank(10, 0.1), rank(10, 0.11))


def test_a_failure_is_the_largest_value() -> None:
    assert nearest_rank(np.array([1.0, 2.0, math.inf]), 0.5) == 2.0
    assert nearest_rank(np.array([1.0, 2.0, math.inf]), 0.9) == math.inf


def test_no_values_have_no_quantile() -> None:
    assert nearest_rank(np.empty(0), 0.5) is None


@pytest.mark.parametrize("name", reference.ids("quantile_ci", "order_statistic_ci_ranks"))
def test_ranks_are_those_of_the_reference_cases(name: str) -> None:
    case: Any = reference.case(name)
    tail = (1 - case["input"]["confidence"]) / 2
    ranks = order_statistic_ranks(case["input"]["n"], case["input"]["p"], alpha_low=tail, alpha_high=tail)
    assert (case["expected"]["lower_rank"], case["expected"]["upper_rank"]) == (ranks.low, ranks.high)


def test_two_values_bound_a_p95_from_below_with_both() -> None:
    # both over: 0.05^2 = 0.0025
    ranks = order_statistic_ranks(2, 0.95, **ALPHA)
    assert (1, None) == (ranks.low, ranks.high)


def test_no_values_have_no_ranks() -> None:
    ranks = order_statistic_ranks(0, 0.95, **ALPHA)
    assert (ranks.low, ranks.high) == (None, None)


def test_the_interval_is_the_gate_turned_round() -> None:
    values = np.sort(np.random.default_rng(3).exponential(size=400))
    for n_eff in (400.0, 130.5):
        low, high = quantile_interval(values, 0.95, **ALPHA, n_eff=n_eff)
        for limit in values[340:]:
            over = float((values > limit).sum()) / 400 * n_eff
            assert (high is not None and limit >= high) == (upper_bound(over, n_eff, 0.025) <= 1 - 0.95)
            assert (low is not None and limit < low) == (p_value_above(over, n_eff, 1 - 0.95) < 0.025)


def test_a_bound_on_a_failure_is_no_bound() -> None:
    values = np.array([1.0] * 80 + [math.inf] * 20)
    assert quantile_interval(values, 0.9, **ALPHA) == (None, None)


def test_only_a_finite_value_is_one() -> None:
    assert [1.0, None, None, None] == [finite(each) for each in (1.0, math.inf, math.nan, None)]


def test_a_bound_of_just_what_is_allowed_still_passes() -> None:
    level = 1 - upper_bound(1, 5, 0.05)
    assert 1 - level == upper_bound(1, 5, 0.05)
    assert 4 == order_statistic_ranks(5, level, alpha_low=0.05, alpha_high=0.05).high


def test_a_p_value_of_just_alpha_does_not_fail_yet() -> None:
    alpha = p_value_above(9, 100, 1 - 0.95)
    assert [91, 92] == [
        order_statistic_ranks(100, 0.95, alpha_low=each, alpha_high=0.05).low
        for each in (alpha, math.nextafter(alpha, 1))
    ]
