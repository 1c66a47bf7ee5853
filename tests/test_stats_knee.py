"""Kneedle."""

import numpy as np
import pytest
import reference

from hxbench.stats.knee import elbow, knee

CASE = reference.case("KNEE-fig2")
X, Y = np.array(CASE["input"]["x"]), np.array(CASE["input"]["y"])


def test_the_knee_is_that_of_the_paper() -> None:
    assert CASE["expected"]["knee_index"] == knee(X, Y)


def test_the_units_of_the_axes_do_not_matter() -> None:
    assert CASE["expected"]["knee_index"] == knee(3 + 50 * X, 1000 * Y)


def test_the_elbow_of_an_mm1_queue_is_where_latency_steepens() -> None:
    load = np.linspace(0.05, 0.95, 19)
    found = elbow(load, 1 / (1 - load))
    assert found is not None
    assert 0.8 == pytest.approx(load[found])


def test_the_elbow_is_the_knee_turned_round() -> None:
    assert 9 - CASE["expected"]["knee_index"] == elbow(-X[::-1], -Y[::-1])


def test_a_line_has_none() -> None:
    assert knee(X, 2 * X) is None
    assert elbow(X, 2 * X) is None


def test_a_flat_or_a_short_curve_has_none() -> None:
    assert knee(X, np.ones(10)) is None
    assert knee(X[:2], Y[:2]) is None


def test_a_bump_that_the_curve_does_not_leave_is_no_knee() -> None:
    x = np.arange(11.0) / 10
    above = np.array([0, 0.05, 0.04, 0.08, 0.2, 0.3, 0.35, 0.3, 0.2, 0.1, 0])  # 0.05 falls by 0.01 only
    assert 6 == knee(x, x + above)


def test_a_maximum_falls_off_by_a_step_at_least() -> None:
    x = np.arange(5.0) / 4
    assert knee(x, np.array([0.0, 0.45, 0.6, 0.8, 1.0])) is None  # 0.2 above, and 0 again: less than 0.25
    assert 1 == knee(x, np.array([0.0, 0.55, 0.6, 0.8, 1.0]))  # 0.3
