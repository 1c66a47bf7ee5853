"""Means over batches and trials, with Student's interval."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from hxbench.stats.means import Mean, batch_means, mean_of

VALUES = np.array([3.0, 4.0, 5.0, 4.5, 3.5])


def test_batches_are_equal_stretches_in_order() -> None:
    assert [0.5, 2.5, 4.5] == list(batch_means(np.arange(6.0), batches=3))


def test_fewer_than_two_values_a_batch_give_none() -> None:
    assert batch_means(np.arange(39.0)).size == 0
    assert batch_means(np.arange(40.0)).size == 20


def test_the_interval_agrees_with_scipy() -> None:
    mean = mean_of(VALUES)
    assert mean is not None
    expected = ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (expected.low, expected.high) == pytest.approx(
        tuple(mean.interval(alpha_low=0.025, alpha_high=0.025))
    )


def test_p_values_agree_with_scipy() -> None:
    mean = mean_of(VALUES)
    assert mean is not None
    assert ttest_1samp(VALUES, 3.5, alternative="greater").pvalue == pytest.approx(mean.p_value_above(3.5))
    assert ttest_1samp(VALUES, 4.5, alternative="less").pvalue == pytest.approx(mean.p_value_below(4.5))


def test_each_end_has_its_own_error_probability() -> None:
    mean = Mean(10.0, 1.0, 19)
    assert mean.interval(alpha_low=0.05, alpha_high=0.025) == pytest.approx(
        (10 - 1.729133, 10 + 2.093024), abs=1e-6
    )


def test_values_that_never_vary_are_certain() -> None:
    mean = mean_of(np.array([2.0, 2.0, 2.0]))
    assert mean is not None
    assert (0.0, 1.0) == (mean.p_value_above(1.9), mean.p_value_above(2.0))
    assert (0.0, 1.0) == (mean.p_value_below(2.1), mean.p_value_below(2.0))


def test_two_values_have_an_interval() -> None:
    assert Mean(2.0, 1.0, 1) == mean_of(np.array([1.0, 3.0]))


def test_one_value_has_no_interval() -> None:
    assert mean_of(np.array([1.0])) is None
    assert mean_of(np.empty(0)) is None
