"""Ratios of two arms of trials, and how many trials they need."""

import math

import numpy as np
import pytest
import reference
from scipy.stats import nct, norm, t

from hxbench.stats.ratios import ratio_of, trials_per_arm

MARGINS = {"P50 +10%": (0.5, 1.1), "P95 +15%": (0.95, 1.15), "P99 +20%": (0.99, 1.2)}


def test_the_ratio_is_that_of_the_reference_case() -> None:
    case = reference.case("NI-ratio")
    given, expected = case["input"], case["expected"]
    found = ratio_of(
        np.array(given["log_q95_candidate"]), np.array(given["log_q95_baseline"]), alpha=given["alpha"]
    )
    assert found is not None
    assert [expected[name] for name in ("ratio", "lower95_ratio", "upper95_ratio", "df")] == pytest.approx(
        [found.value, *found.bounds, found.degrees], rel=1e-9
    )


def test_an_arm_of_one_trial_says_nothing() -> None:
    assert ratio_of(np.array([0.1]), np.array([0.1, 0.2]), alpha=0.05) is None
    assert ratio_of(np.array([0.1, 0.2]), np.array([0.1]), alpha=0.05) is None
    assert ratio_of(np.array([0.1, 0.2]), np.array([0.1, 0.3]), alpha=0.05) is not None


@pytest.mark.parametrize("name", reference.case("NI-R")["expected"])
def test_trials_per_arm_are_those_of_the_reference_case(name: str) -> None:
    given = {key: float(value) for key, value in (part.split("=") for part in name.split(","))}
    found = {}
    for gate, (p, margin) in MARGINS.items():
        within = given["sigma"] * math.sqrt(p * (1 - p)) / norm.pdf(norm.ppf(p)) / math.sqrt(given["N"])
        found[gate] = trials_per_arm(margin, math.hypot(given["tau"], within))
    found["throughput -5%"] = trials_per_arm(0.95, given["tau"] or 1e-9)
    assert reference.case("NI-R")["expected"][name] == found


def test_a_margin_of_nothing_is_never_shown() -> None:
    with pytest.raises(ValueError, match="expected a margin other than 1"):
        trials_per_arm(1.0, 0.05)


def test_an_unchanged_candidate_is_within_its_margin_as_often_as_planned() -> None:
    trials, generator = trials_per_arm(1.15, 0.05), np.random.default_rng(9)
    runs = [ratio_of(*generator.normal(0, 0.05, (2, trials)), alpha=0.05) for _ in range(600)]
    passed = sum(run is not None and run.bounds.high <= 1.15 for run in runs) / 600
    assert passed > 0.9 - 0.03


def test_a_power_that_is_just_reached_is_enough() -> None:
    reached = float(nct.sf(t.isf(0.05, 12), 12, math.log(1.1) / (0.05 * math.sqrt(2 / 7))))
    assert 7 == trials_per_arm(1.1, 0.05, power=reached)
    assert 8 == trials_per_arm(1.1, 0.05, power=math.nextafter(reached, 1))
