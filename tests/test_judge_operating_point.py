"""One load of a sweep in numbers, and what several of them suggest, from records made by hand."""

import math

import numpy as np
import pytest
from records_by_hand import changed, records

from hxbench.judge import scaling
from hxbench.judge.measured import Measured
from hxbench.judge.operating_point import LATENCIES, operating_point
from hxbench.judge.samples import sample
from hxbench.stats.quantiles import quantile_interval


def test_a_load_has_its_counts_rates_and_percentiles() -> None:
    point = operating_point(Measured(records(requests=100, warmup=0, ttft_s=0.99, gap_s=0.0, tokens=10)))
    assert (100, 0, 0.0) == (point["n"], point["failed"], point["error_rate"])
    assert 1.0 == pytest.approx(point["achieved_per_s"], rel=0.02)
    assert 10.0 == pytest.approx(point["tokens_per_s"], rel=0.02)
    assert [0.99] * 3 == pytest.approx([point[f"ttft_{level}_s"] for level in ("p50", "p95", "p99")])
    assert 0.0 == point["tpot_p50_s"]
    assert math.isnan(point["offered_per_s"])


def test_an_interval_is_that_of_its_order_statistics_at_the_effective_number() -> None:
    measured = Measured(records(requests=200))
    point, values = operating_point(measured), sample(measured, "ttft")
    worth = values.worth(0.5).n_eff
    ends = quantile_interval(values.in_order, 0.5, alpha_low=0.025, alpha_high=0.025, n_eff=worth)
    assert ends == (point["ttft_p50_low_s"], point["ttft_p50_high_s"])
    assert worth == point["n_eff"]
    assert point["ttft_p50_low_s"] < point["ttft_p50_s"] < point["ttft_p50_high_s"]


@pytest.mark.parametrize(("requests", "known"), [(19, False), (20, True)])
def test_a_percentile_of_too_few_values_is_no_number(requests: int, known: bool) -> None:
    point = operating_point(Measured(records(requests=requests, warmup=0)))
    assert known != math.isnan(point["ttft_p95_s"])
    assert math.isnan(point["ttft_p95_high_s"])  # 20 values bound no p95 from above


def test_failures_are_infinite_and_counted() -> None:
    point = operating_point(Measured(records(requests=20, warmup=0, failed=range(12))))
    assert (12, 0.6) == (point["failed"], point["error_rate"])
    assert math.isinf(point["ttft_p50_s"])
    assert math.isnan(point["ttft_p50_high_s"])


def test_an_open_loop_is_offered_what_was_due() -> None:
    point = operating_point(Measured(records(requests=40, warmup=0, loop="open")))
    assert 2.0 == pytest.approx(point["offered_per_s"])


def test_a_load_of_which_nothing_was_measured_has_no_numbers() -> None:
    point = operating_point(Measured(changed(records(requests=3), "schedule", phase="warmup")))
    assert 0 == point["n"]
    assert all(math.isnan(point[f"{name}_p50_s"]) for name in LATENCIES)
    assert math.isnan(point["error_rate"])
    assert math.isnan(point["n_eff"])


LOADS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


def test_the_law_is_found_in_throughput_that_follows_it_and_the_knee_where_it_bends() -> None:
    throughput = 10 * LOADS / (1 + 0.05 * (LOADS - 1) + 0.002 * LOADS * (LOADS - 1))
    found = scaling.advice(LOADS, throughput, is_closed=True)
    assert found.law is not None
    assert (0.05, 0.002) == pytest.approx((found.law.sigma, found.law.kappa), rel=1e-3)
    assert math.sqrt(0.95 / 0.002) == pytest.approx(found.law.peak, rel=1e-3)
    assert 16 == found.knee


def test_an_open_loop_has_a_knee_and_no_law_of_users() -> None:
    found = scaling.advice(LOADS, np.minimum(LOADS, 8.0), is_closed=False)
    assert (None, 8) == (found.law, found.knee)


@pytest.mark.parametrize(
    "throughput", [np.zeros(6), np.full(6, np.nan), np.r_[1.0, 2.0, 3.0, np.nan, 0.0, np.nan]]
)
def test_too_few_loads_with_throughput_suggest_nothing(throughput: np.ndarray) -> None:
    assert scaling.Advice(None, None) == scaling.advice(LOADS, throughput, is_closed=True)


def test_a_fit_that_comes_to_no_end_suggests_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: object) -> None:
        raise RuntimeError("Optimal parameters not found")

    monkeypatch.setattr(scaling, "universal_scalability", endless)
    assert scaling.advice(LOADS, LOADS, is_closed=True).law is None
