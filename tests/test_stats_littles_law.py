"""Requests in flight, and Little's law."""

import numpy as np
import pytest
import reference

from hxbench.stats.littles_law import flow, seconds_in_flight

CASE = reference.case("LITTLE-exact")
STAYS = np.array(CASE["input"]["intervals"], dtype=float)
STARTS, ENDS = STAYS[:, 0], STAYS[:, 1]


def test_the_law_is_exact_on_a_window_that_begins_and_ends_empty() -> None:
    found = flow(STARTS, ENDS, window=(0.0, 10.0))
    assert found is not None
    expected = CASE["expected"]
    assert (expected["lambda"], expected["W"], expected["L"]) == pytest.approx(
        (found.rate, found.stay, found.in_flight)
    )
    assert found.disagreement == pytest.approx(0.0, abs=1e-12)


def test_stays_across_the_ends_disagree() -> None:
    found = flow(np.array([-10.0]), np.array([5.0]), window=(0.0, 10.0))
    assert found is not None
    assert (0.5, 0.1, 15.0) == (found.in_flight, found.rate, found.stay)
    assert found.disagreement == pytest.approx(2.0)


def test_nothing_in_flight_disagrees_with_nothing() -> None:
    found = flow(np.array([1.0]), np.array([1.0]), window=(0.0, 2.0))
    assert found is not None
    assert found.disagreement == 0.0


@pytest.mark.parametrize("window", [(20.0, 30.0), (5.0, 5.0)])
def test_a_window_that_nothing_leaves_has_no_flow(window: tuple[float, float]) -> None:
    assert flow(STARTS, ENDS, window=window) is None


def test_a_stay_that_ends_as_the_window_begins_was_before_it() -> None:
    assert flow(np.array([0.0]), np.array([5.0]), window=(5.0, 10.0)) is None


def test_time_in_flight_adds_up() -> None:
    spent = seconds_in_flight(np.array([0.0, 1.0]), np.array([2.0, 4.0]), np.array([0.0, 1.0, 2.0, 4.0, 9.0]))
    assert [0.0, 1.0, 3.0, 5.0, 5.0] == list(spent)
