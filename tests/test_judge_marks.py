"""Marks at both sides of each edge, and the numbers they look at."""

import math

import pytest
from records_by_hand import changed, records

from hxbench.judge import certificate as certificates
from hxbench.judge.marks import COVERAGE, ERROR_RATE, LATENCY, VULNERABILITIES, Mark
from hxbench.judge.panels import Number, levels, performance
from hxbench.records.run_directory import Records


@pytest.mark.parametrize(
    ("mark", "value", "colour"),
    [
        (LATENCY, 0.0, "green"), (LATENCY, 1.0, "green"), (LATENCY, 1.0001, "yellow"),
        (LATENCY, 1.5, "yellow"), (LATENCY, 1.9999, "yellow"), (LATENCY, 2.0, "red"),
        (LATENCY, math.inf, "red"),
        (ERROR_RATE, 1 / 1000, "green"), (ERROR_RATE, 2 / 1000, "yellow"), (ERROR_RATE, 5 / 1000, "yellow"),
        (ERROR_RATE, 9 / 1000, "yellow"), (ERROR_RATE, 10 / 1000, "red"), (ERROR_RATE, 1.0, "red"),
        (COVERAGE, 1.0, "green"), (COVERAGE, 95 / 100, "green"), (COVERAGE, 9499 / 10000, "yellow"),
        (COVERAGE, 90 / 100, "yellow"), (COVERAGE, 8501 / 10000, "yellow"), (COVERAGE, 85 / 100, "red"),
        (COVERAGE, 0.0, "red"),
        (VULNERABILITIES, 0, "green"), (VULNERABILITIES, 1, "yellow"), (VULNERABILITIES, 4, "yellow"),
        (VULNERABILITIES, 5, "red"),
        (LATENCY, None, "not measured"), (COVERAGE, math.nan, "not measured"),
        (VULNERABILITIES, None, "not measured"),
    ],
)  # fmt: skip
def test_green_up_to_the_green_mark_red_from_the_red_mark(mark: Mark, value: float, colour: str) -> None:
    assert colour == mark.of(value)


def numbers(run: Records) -> dict[str, Number]:
    return {each.name: each for each in performance(certificates.build(run))}


def test_latency_is_from_the_request_to_its_last_token() -> None:
    found = numbers(records(requests=100, ttft_s=0.1, gap_s=[0.01] * 94 + [0.05] * 6))
    assert 0.1 + 31 * (0.94 * 0.01 + 0.06 * 0.05) == pytest.approx(found["average_latency_ms"].value)
    assert 0.1 + 31 * 0.05 == pytest.approx(found["p95_latency_ms"].value)


def test_a_name_says_the_unit_of_what_is_exported() -> None:
    found = numbers(records(requests=100, failed=[3], ttft_s=0.25, gap_s=0.0))
    mean_ms = (99 * 250 + 60_000) / 100  # a request that failed took the time limit
    assert mean_ms == pytest.approx(found["average_latency_ms"].exported)
    assert ("s", 250.0) == (found["p95_latency_ms"].unit, found["p95_latency_ms"].exported)
    assert ("share", 1.0) == (found["error_rate_percentage"].unit, found["error_rate_percentage"].exported)


def test_failures_that_reach_the_95th_percentile_are_infinite_and_not_unmeasured() -> None:
    found = numbers(records(requests=100, failed=range(6)))["p95_latency_ms"]
    assert (math.inf, math.inf) == (found.value, found.exported)
    assert "red" == LATENCY.of(found.value)


def test_what_was_not_measured_has_no_number() -> None:
    found = numbers(changed(records(requests=3), "schedule", phase="warmup"))
    counted = ("average_latency_ms", "p95_latency_ms", "error_rate_percentage")
    assert {None} == {found[name].value for name in counted}


def test_a_certificate_is_of_its_own_level_alone() -> None:
    assert {1: None, 2: "FAILED", 3: None, 4: None} == levels({"level": 2, "status": "FAILED"})
