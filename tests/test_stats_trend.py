"""Mann-Kendall and Theil-Sen."""

import numpy as np
import pytest
import reference
from scipy.stats import theilslopes

from hxbench.stats.trend import trend


@pytest.mark.parametrize("name", reference.ids("trend", "mann_kendall_theil_sen"))
def test_a_trend_is_that_of_the_reference_case(name: str) -> None:
    case = reference.case(name)
    expected, found = case["expected"], trend(np.array(case["input"]["x"]))
    assert expected["s"] == found.s
    assert [expected["z"], expected["p"], expected["sen_slope"]] == pytest.approx(
        [found.z, found.p_value, found.slope], rel=1e-9
    )
    assert expected["sen_ci95_scipy"] == pytest.approx(list(found.interval), rel=1e-9)


def test_ties_are_counted() -> None:
    # 1 1 2 2 3: 8 rising pairs; variance (5 * 4 * 15 - 2 * 2 * 1 * 9) / 18 = 14.67
    found = trend(np.array([1.0, 1.0, 2.0, 2.0, 3.0]))
    assert (8, 7 / np.sqrt(264 / 18)) == (found.s, pytest.approx(found.z))


def test_a_falling_series_is_the_rising_one_turned() -> None:
    values = np.array(reference.case("MK-leak")["input"]["x"])
    up, down = trend(values), trend(values[::-1])
    assert (-up.s, -up.z, up.p_value) == (down.s, down.z, down.p_value)
    assert -up.slope == pytest.approx(down.slope)


def test_slopes_are_a_unit_of_the_times_given() -> None:
    times = np.array([0.0, 10.0, 30.0, 40.0])
    found = trend(2 * times, times)
    assert (2.0, 6) == (found.slope, found.s)


def test_the_interval_has_the_confidence_asked_for() -> None:
    values = np.array(reference.case("MK-flat-noise")["input"]["x"])
    expected = theilslopes(values, np.arange(40), 0.9)
    assert (expected.low_slope, expected.high_slope) == tuple(trend(values, confidence=0.9).interval)


def test_what_never_changes_has_no_trend() -> None:
    found = trend(np.full(20, 3.0))
    assert (0, 0.0, 1.0, 0.0) == (found.s, found.z, found.p_value, found.slope)
