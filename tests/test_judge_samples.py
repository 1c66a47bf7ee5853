"""The values a gate looks at, and how many independent requests they are worth."""

import numpy as np
import pytest
from records_by_hand import records

from hxbench.judge.measured import Measured
from hxbench.judge.samples import EMPTY, Sample, sample


def one_each(*trials: list[float]) -> Sample:
    """A sample of trials of requests with one value each."""
    values = np.concatenate([np.array(each, dtype=float) for each in trials])
    return Sample(
        values, np.arange(values.size), np.repeat(np.arange(len(trials)), [len(each) for each in trials])
    )


def test_what_nobody_measured_has_no_values_and_no_requests() -> None:
    assert (0, 0, 0, 0) == (EMPTY.values.size, EMPTY.owners.size, EMPTY.trial_of.size, EMPTY.requests)


def test_over_a_level_are_the_values_beyond_that_nearest_rank() -> None:
    # rank 4 of 8: over 4 are none of the first trial and all of the second
    assert pytest.approx(4 * 0.5 / 0.25) == one_each([1, 2, 3, 4], [5, 6, 7, 8]).worth(0.5).design_effect


def test_beside_the_largest_value_nothing_else_is_over_the_one_before_it() -> None:
    # rank 7 of 8 at 0.8 is a tie of six; the largest alone is over it: 1/4 and 0 of the trials
    found = one_each([1, 2, 2, 9], [2, 2, 2, 2]).worth(0.8)
    assert pytest.approx(4 * (1 / 32) / (1 / 8 * 7 / 8)) == found.design_effect


def test_where_the_quantile_is_the_largest_value_those_at_it_are_over() -> None:
    # rank 8 of 8 at 0.95: the 9 of the first trial
    found = one_each([1, 2, 3, 9], [4, 5, 6, 7]).worth(0.95)
    assert pytest.approx(4 * (1 / 32) / (1 / 8 * 7 / 8)) == found.design_effect


def test_dependence_around_the_median_counts_for_a_high_quantile() -> None:
    found = one_each([3.0, *[1.0] * 10, *[2.0] * 9] * 10).worth(0.95)  # those over it are evenly apart
    assert "level 0.5" == found.source
    assert found.n_eff < 200 / 5


def test_the_last_of_the_levels_is_the_one_in_question() -> None:
    # around the median the trials are alike; beyond 0.75 is the last value of the second alone
    found = one_each([1, 1, 3, 3], [1, 1, 3, 4]).worth(0.75)
    assert pytest.approx(4 * (1 / 32) / (1 / 8 * 7 / 8)) == found.design_effect


def test_every_failure_is_one_infinite_gap_where_nobody_has_any() -> None:
    found = sample(Measured(records(requests=3, warmup=0, failed=range(3))), "itl")
    assert ([np.inf] * 3, [0, 1, 2]) == (found.values.tolist(), found.owners.tolist())


def test_a_mean_counts_failures_as_the_limit_and_changes_nothing_without_any() -> None:
    assert [1.0, 60.0] == Sample(np.array([1.0, np.inf]), np.arange(2), np.ones(2, int)).capped(60.0).tolist()
    assert [1.0, 2.0] == Sample(np.array([1.0, 2.0]), np.arange(2), np.ones(2, int)).capped(60.0).tolist()


@pytest.mark.parametrize("requests", [1, 4096, 4097])
def test_flags_are_counted_for_each_request_however_many_there_are(requests: int) -> None:
    owners = np.repeat(np.arange(requests), 2)
    found = Sample(np.zeros(owners.size), owners, np.zeros(requests, int))
    assert [1] * requests == found.counted(np.tile([True, False], requests)).tolist()
    assert [2] * requests == found.counts.tolist()
