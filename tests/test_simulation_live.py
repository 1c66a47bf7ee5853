"""A server compared with itself: the splits, and what a table of them says."""

import numpy as np
from records_by_hand import records

from hxbench.judge.measured import Measured
from simulation.live import splits, statistics, table


def test_each_split_deals_every_trial_to_one_of_two_equal_arms() -> None:
    dealt = list(splits(40))
    assert [list(range(40))] * 100 == [sorted([*one, *other]) for one, other in dealt]
    assert {(20, 20)} == {(one.size, other.size) for one, other in dealt}
    assert len({tuple(sorted(one)) for one, _ in dealt}) == 100


def test_there_is_one_value_a_trial_of_each_statistic() -> None:
    found = statistics(Measured(records(requests=20, trials=3, ttft_s=0.1, gap_s=0.01, tokens=11)))
    assert {
        ("ttft", "p50"),
        ("ttft", "p95"),
        ("ttft", "p99"),
        ("e2e", "p50"),
        ("e2e", "p95"),
        ("e2e", "p99"),
    } | {("tokens", "throughput")} == set(found)
    np.testing.assert_allclose([0.1] * 3, found["ttft", "p95"])
    np.testing.assert_allclose([0.2] * 3, found["e2e", "p99"])
    assert (3,) == found["tokens", "throughput"].shape


def test_noise_alone_never_fails_and_is_shown() -> None:
    logs = np.random.default_rng(3).normal(0, 0.02, 40)
    [*_, (line, keeps)] = table({("ttft", "p50"): np.exp(logs)})
    assert (f"| ttft | p50 | +10% | {logs.std(ddof=1):.1%} | 100 | 0 | 0 |", True) == (line, keeps)


def test_more_noise_than_a_margin_holds_leaves_it_undecided() -> None:
    logs = np.random.default_rng(3).normal(0, 0.5, 40)
    [*_, (line, keeps)] = table({("tokens", "throughput"): np.exp(logs)})
    assert keeps
    assert int(line.split("|")[-3]) > 50
