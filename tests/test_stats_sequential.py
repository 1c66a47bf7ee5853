"""MLPerf's early stopping, and the e-process, against what looking again and again does."""

import numpy as np
import pytest
import reference
from scipy.stats import binom

from hxbench.stats.proportions import upper_bound
from hxbench.stats.sequential import e_value, over_budget, queries_needed


@pytest.mark.parametrize("name", reference.ids("early_stopping", "min_underlatency_queries"))
def test_queries_needed_are_those_of_loadgen(name: str) -> None:
    case = reference.case(name)
    over = np.array(case["input"]["overlatency_t"])
    assert list(case["expected"].values()) == list(queries_needed(over, case["input"]["p"]) - over)


def test_the_budget_is_that_of_the_reference_case() -> None:
    expected = reference.case("ES-budget-0.9")["expected"]
    assert expected == {n: over_budget(int(n), 0.9) for n in expected}


def test_the_budget_is_that_of_the_published_example() -> None:
    assert 77 == over_budget(10_000, 0.99)


@pytest.mark.parametrize(("percent", "n"), reference.case("ES-floor")["expected"].items())
def test_below_the_published_floor_there_is_no_estimate(percent: str, n: int) -> None:
    level = float(percent) / 100
    assert (0, 1) == (over_budget(n - 1, level), over_budget(n, level))


def crossing(decides: np.ndarray, allowed: float) -> float:
    """The exact probability that the count over the limit ever reaches a state of `decides`, n by count."""
    alive, crossed = np.array([1.0]), 0.0
    for row in decides:
        alive = np.convolve(alive, [1 - allowed, allowed])
        now = row[: alive.size]
        crossed += float(alive[now].sum())
        alive[now] = 0.0
    return crossed


def test_looking_after_every_query_passes_as_often_as_the_reference_case_says() -> None:
    expected = reference.case("ES-peek")["expected"]
    over, sizes = np.arange(1001), np.arange(1, 1001)
    passes = binom.cdf(over, sizes[:, None], 0.01) < 0.05
    assert expected["every query to n=1000"] == pytest.approx(crossing(passes, 0.01), abs=1e-9)
    only_last = passes & (sizes == 1000)[:, None]
    assert expected["single look n=1000"] == pytest.approx(crossing(only_last, 0.01), abs=1e-9)
    assert passes[999, 5] == (upper_bound(5, 1000, 0.05) < 0.01)


def test_an_e_process_may_be_looked_at_after_every_query() -> None:
    n, most, allowed = 150, 12, 0.1  # more misses than that are no evidence any more
    passes = np.zeros((n, n + 1), dtype=bool)
    for size in range(1, n + 1):
        passes[size - 1, :most] = [
            over <= size and e_value(over, size, allowed) >= 20 for over in range(most)
        ]
    assert e_value(most, n, allowed) < 20
    assert 0.005 < crossing(passes, allowed) <= 0.05
    assert crossing(passes, 2 * allowed) < 0.005


@pytest.mark.parametrize("n", [1, 10, 400])
def test_a_bet_at_the_limit_is_fair_and_beyond_it_loses(n: int) -> None:
    stakes = [e_value(over, n, 0.05) for over in range(n + 1)]
    assert 1.0 == pytest.approx(float(np.dot(binom.pmf(np.arange(n + 1), n, 0.05), stakes)))
    assert np.dot(binom.pmf(np.arange(n + 1), n, 0.1), stakes) < 1.0


def test_no_query_is_no_evidence() -> None:
    assert 1.0 == pytest.approx(e_value(0, 0, 0.05))


def test_queries_without_a_miss_become_evidence() -> None:
    enough = next(n for n in range(1, 1000) if e_value(0, n, 0.05) >= 40)
    assert 72 < enough < 200  # one look needs 72


def test_evidence_beyond_all_measure_is_finite() -> None:
    assert np.isfinite(e_value(0, 1_000_000, 0.5))
