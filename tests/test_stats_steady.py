"""MSER-5: where a warm-up ends."""

import numpy as np
import pytest
import reference

from hxbench.stats.steady import mser5


@pytest.mark.parametrize(("name", "steady"), [("MSER5-decay", True), ("MSER5-never-steady", False)])
def test_the_truncation_is_that_of_the_reference_case(name: str, steady: bool) -> None:
    case = reference.case(name)
    found = mser5(np.array(case["input"]["x"]))
    assert found is not None
    assert (case["expected"]["observations_truncated"], steady) == (found.observations, found.steady)
    assert case["expected"]["min_stat"] == pytest.approx(found.statistic, rel=1e-9)


def test_what_is_steady_from_the_start_loses_nothing() -> None:
    found = mser5(np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 10))
    assert found is not None
    assert (0, True) == (found.observations, found.steady)


def test_a_large_offset_changes_nothing() -> None:
    values = np.array(reference.case("MSER5-decay")["input"]["x"])
    found = mser5(values + 1e9)
    assert found is not None
    assert 65 == found.observations


def test_a_last_batch_that_is_not_full_is_left_out() -> None:
    assert mser5(np.append(np.arange(10.0), [99.0] * 4)) == mser5(np.arange(10.0))


def test_fewer_than_two_batches_say_nothing() -> None:
    assert mser5(np.arange(9.0)) is None
    assert mser5(np.empty(0)) is None
    assert mser5(np.ones(10)) is not None
