"""The Universal Scalability Law."""

import numpy as np
import pytest
import reference

from hxbench.stats.scalability import universal_scalability

LOADS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])


def law(load: np.ndarray, rate: float, sigma: float, kappa: float) -> np.ndarray:
    return rate * load / (1 + sigma * (load - 1) + kappa * load * (load - 1))


def test_the_fit_is_the_published_one() -> None:
    case = reference.case("USL-specsdm91")
    expected = case["expected"]
    found = universal_scalability(np.array(case["input"]["N"], float), np.array(case["input"]["X"]))
    assert found is not None
    assert [expected["lambda"], expected["sigma"], expected["kappa"], expected["peak_N"]] == pytest.approx(
        [found.rate, found.sigma, found.kappa, found.peak], rel=2e-4
    )
    assert [expected["se"][at] for at in (2, 0, 1)] == pytest.approx(found.standard_errors, rel=2e-4)
    assert expected["peak_X"] == pytest.approx(found.throughput(expected["peak_N"]), rel=2e-4)
    reach = 2.776445 * expected["se"][1]  # t, 4 degrees of freedom
    assert expected["kappa"] - reach == pytest.approx(found.kappa_interval.low, rel=1e-3)
    assert expected["kappa"] + reach == pytest.approx(found.kappa_interval.high, rel=1e-3)


def test_data_made_by_the_law_give_it_back() -> None:
    found = universal_scalability(LOADS, law(LOADS, 100.0, 0.04, 2e-4))
    assert found is not None
    assert (100.0, 0.04, 2e-4) == pytest.approx((found.rate, found.sigma, found.kappa), rel=1e-6)
    assert reference.case("USL-synth")["expected"]["peak_N"] == pytest.approx(found.peak, rel=1e-6)


def test_without_coherency_there_is_no_peak() -> None:
    found = universal_scalability(LOADS[:5], law(LOADS[:5], 50.0, 0.1, 0.0))
    assert found is not None
    assert (0.1, None) == (pytest.approx(found.sigma, rel=1e-5), found.peak)
    assert abs(found.kappa) < 1e-8


def test_a_kappa_that_may_be_0_shows_no_peak() -> None:
    noise = np.random.default_rng(3).normal(1.0, 0.05, 5)
    found = universal_scalability(LOADS[:5], law(LOADS[:5], 100.0, 0.04, 1e-5) * noise)
    assert found is not None
    assert found.kappa_interval.low < 0 < found.kappa_interval.high
    assert found.peak is None


def test_three_loads_are_too_few() -> None:
    assert universal_scalability(LOADS[:3], law(LOADS[:3], 100.0, 0.04, 1e-5)) is None
    assert universal_scalability(LOADS[:4], law(LOADS[:4], 100.0, 0.04, 1e-5)) is not None


def test_what_falls_from_the_start_has_no_peak_inside() -> None:
    found = universal_scalability(LOADS, law(LOADS, 100.0, 1.2, 0.01))
    assert found is not None
    assert found.peak is None
