"""The relative gate: both sides of its margin, upwards and downwards, and too little to say."""

import math

import numpy as np
import pytest
import reference

from hxbench.judge.relative import ALPHA, MARGINS, compare
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS

EVEN = np.log([0.99, 1.0, 1.01])
REACH = 0.0174  # of the log ratio of two such arms: t(4) at 5 % is 2.132, the standard error 0.00816


def test_the_reference_case_is_decided_as_it_says() -> None:
    case = reference.case("NI-ratio")
    given, expected = case["input"], case["expected"]
    found = compare(
        np.array(given["log_q95_candidate"]), np.array(given["log_q95_baseline"]), given["margin_ratio"]
    )
    assert given["alpha"] == ALPHA
    assert expected["verdict"] == found.verdict
    assert [expected["ratio"], expected["lower95_ratio"], expected["upper95_ratio"]] == pytest.approx(
        [found.ratio, *found.interval], rel=1e-9
    )
    assert (
        "the ratio is 1.1; the true one lies between 1.09 and 1.11, at most 1.15 is allowed" == found.finding
    )


@pytest.mark.parametrize(
    ("margin", "factor", "expected"),
    [
        (1.1, 1.1 * math.exp(-REACH - 0.001), PASS),
        (1.1, 1.1 * math.exp(-REACH + 0.001), INCONCLUSIVE),
        (1.1, 1.1 * math.exp(REACH - 0.001), INCONCLUSIVE),
        (1.1, 1.1 * math.exp(REACH + 0.001), FAIL),
        (0.95, 0.95 * math.exp(REACH + 0.001), PASS),
        (0.95, 0.95 * math.exp(REACH - 0.001), INCONCLUSIVE),
        (0.95, 0.95 * math.exp(-REACH + 0.001), INCONCLUSIVE),
        (0.95, 0.95 * math.exp(-REACH - 0.001), FAIL),
    ],
)
def test_a_margin_passes_on_one_side_of_the_interval_and_fails_on_the_other(
    margin: float, factor: float, expected: str
) -> None:
    assert expected == compare(EVEN + math.log(factor), EVEN, margin).verdict


@pytest.mark.parametrize("margin", [MARGINS["p50"], MARGINS["throughput"]])
def test_a_bound_at_the_margin_passes_and_does_not_fail(margin: float) -> None:
    # exactly at it: the bound of one comparison is the margin of the next
    low, high = compare(EVEN, EVEN, margin).interval
    assert low is not None
    assert high is not None
    assert [PASS, INCONCLUSIVE] == [compare(EVEN, EVEN, each).verdict for each in (high, high - 1e-12)]
    assert [PASS, INCONCLUSIVE] == [compare(EVEN, EVEN, each).verdict for each in (low, low + 1e-12)]
    moved = EVEN + math.log(1.1)
    fails_above, _ = compare(moved, EVEN, 1.2).interval
    assert fails_above is not None
    assert [INCONCLUSIVE, FAIL] == [
        compare(moved, EVEN, each).verdict for each in (fails_above, fails_above - 1e-12)
    ]
    _, fails_below = compare(-moved, EVEN, 0.9).interval
    assert fails_below is not None
    assert [INCONCLUSIVE, FAIL] == [
        compare(-moved, EVEN, each).verdict for each in (fails_below, fails_below + 1e-12)
    ]


@pytest.mark.parametrize("failed", [math.inf, math.nan, -math.inf])
def test_a_trial_without_a_value_leaves_it_undecided(failed: float) -> None:
    spoiled = np.append(EVEN, failed)
    assert [(INCONCLUSIVE, "a trial has no finite value")] * 2 == [
        (found.verdict, found.finding) for found in (compare(spoiled, EVEN, 1.1), compare(EVEN, spoiled, 1.1))
    ]


def test_an_arm_of_one_trial_or_none_decides_nothing() -> None:
    for few in (EVEN[:1], EVEN[:0]):
        found = compare(few, EVEN, 1.1)
        assert (INCONCLUSIVE, "two trials an arm are needed at least", None, (None, None)) == (
            found.verdict, found.finding, found.ratio, found.interval,
        )  # fmt: skip


def test_an_unchanged_candidate_fails_and_one_at_the_margin_passes_no_more_often_than_allowed() -> None:
    generator = np.random.default_rng(20260110)
    arms = generator.normal(0, 0.05, (1000, 2, 5))
    at_margin = [compare(a + math.log(1.15), b, 1.15).verdict for a, b in arms]
    assert at_margin.count(PASS) / 1000 == pytest.approx(ALPHA, abs=0.02)
    assert at_margin.count(FAIL) / 1000 == pytest.approx(ALPHA, abs=0.02)
    assert 0 == [compare(a, b, 1.15).verdict for a, b in arms].count(FAIL)


def test_a_margin_says_which_way_it_holds() -> None:
    assert compare(EVEN, EVEN, 0.95).finding.endswith("at least 0.95 is allowed")
    assert compare(EVEN, EVEN, 1.1).finding.endswith("at most 1.1 is allowed")


def test_a_margin_of_one_is_a_most() -> None:
    lower, higher = compare(EVEN - 0.1, EVEN, 1.0), compare(EVEN + 0.1, EVEN, 1.0)
    assert (PASS, FAIL) == (lower.verdict, higher.verdict)
    assert lower.finding.endswith("at most 1 is allowed")
