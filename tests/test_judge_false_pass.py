"""How often a server exactly at its limit passes, and how often one well within it does.

Each simulated run is one gate on N requests; the seeds are fixed, so the shares are too. `make statistics`
does the same at length.
"""

from functools import partial

import numpy as np
import pytest
import reference
from scipy.stats import binom

from hxbench.judge.evidence import ALPHA_FAIL, ALPHA_PASS
from hxbench.judge.inference import MeanEvidence, QuantileEvidence, ShareEvidence
from hxbench.plan.objectives import Objective
from hxbench.stats.means import batch_means, mean_of
from hxbench.stats.sample_size import required_n
from simulation import processes
from simulation.error_rates import (
    TRIALS,
    at_the_limit,
    looked_at_twice,
    mean_at_the_limit,
    mean_verdict,
    verdict,
)
from simulation.processes import Process

RUNS = 600


def shares(decided: list[str]) -> tuple[float, float]:
    """Returns the shares of PASS and of FAIL."""
    return decided.count("PASS") / len(decided), decided.count("FAIL") / len(decided)


def quantile_gate(values: np.ndarray[tuple[int], np.dtype[np.float64]], statistic: str) -> str:
    objective = Objective("ttft", statistic, "<=", 1.0, "s")
    n = len(values)
    evidence = QuantileEvidence(objective, np.sort(values), float(n), n, "requests", "")
    return evidence.decide(ALPHA_FAIL).verdict


def error_gate(bad: int, n: int) -> str:
    objective = Objective("error_rate", "share", "<", 0.01, "share")
    return ShareEvidence(objective, bad, n, float(n), "failed", "").decide(ALPHA_FAIL).verdict


@pytest.mark.parametrize(("statistic", "level"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)])
def test_a_quantile_at_its_limit_passes_and_fails_rarely(statistic: str, level: float) -> None:
    generator = np.random.default_rng(20260101)
    at_limit = [generator.exponential(-1 / np.log(1 - level), 600) for _ in range(RUNS)]
    passed, failed = shares([quantile_gate(values, statistic) for values in at_limit])
    assert passed <= ALPHA_PASS + 0.012  # two standard errors of 600 runs
    assert failed <= ALPHA_FAIL + 0.018


def test_a_server_that_misses_half_as_often_as_allowed_passes_nine_times_in_ten() -> None:
    planned = required_n(0.05, 0.025, alpha=ALPHA_PASS, power=0.9)
    generator = np.random.default_rng(20260102)
    runs = [np.where(generator.random(planned.n) < 0.025, 2.0, 0.5) for _ in range(RUNS)]
    passed, failed = shares([quantile_gate(values, "p95") for values in runs])
    assert passed == pytest.approx(binom.cdf(planned.most_over, planned.n, 0.025), abs=0.025)
    assert failed == 0.0


def test_three_times_the_allowed_misses_fail() -> None:
    generator = np.random.default_rng(20260103)
    runs = [np.where(generator.random(200) < 0.15, 2.0, 0.5) for _ in range(200)]
    passed, failed = shares([quantile_gate(values, "p95") for values in runs])
    assert passed == 0.0
    assert failed > 0.99


def test_an_error_rate_at_its_limit_passes_and_fails_no_more_often_than_it_may() -> None:
    # every count there can be, weighed by how likely it is: no luck involved
    for n in (368, 400, 1000, 5000):
        counts = np.arange(0, n // 10)
        verdicts = np.array([error_gate(int(bad), n) for bad in counts])
        likely = binom.pmf(counts, n, 0.01)
        assert likely[verdicts == "PASS"].sum() <= ALPHA_PASS
        assert likely[verdicts == "FAIL"].sum() <= ALPHA_FAIL


def test_a_mean_at_its_limit_passes_and_fails_rarely() -> None:
    generator = np.random.default_rng(20260104)
    objective = Objective("ttft", "mean", "<=", 1.0, "s")
    decided = []
    for _ in range(4 * RUNS):
        mean = mean_of(batch_means(generator.normal(1.0, 0.3, 400)))
        assert mean is not None
        decided.append(MeanEvidence(objective, mean, 400, 400, "").decide(ALPHA_FAIL).verdict)
    passed, failed = shares(decided)
    assert passed == pytest.approx(ALPHA_PASS, abs=0.01)
    assert failed == pytest.approx(ALPHA_FAIL, abs=0.015)


DEPENDENT = [
    processes.autoregressive(0.9),
    processes.slow_state(0.2, 10, 3),
    processes.queue(0.5),
    processes.queue(0.8),
]


@pytest.mark.parametrize("process", DEPENDENT, ids=lambda process: process.name)
def test_requests_that_depend_on_each_other_pass_at_the_limit_no_more_often(process: Process) -> None:
    for decided in at_the_limit(process, 1000, 1, 100).values():
        passed, failed = shares(decided)
        assert passed <= 0.05 + 0.02
        assert failed <= ALPHA_FAIL + 0.02


def test_taken_as_independent_a_queue_would_pass_at_its_limit_much_more_often() -> None:
    queue = processes.queue(0.8)
    runs = queue.draw(np.random.default_rng(20260105), 100, 1000) / queue.quantile(0.95)
    passed, _ = shares([quantile_gate(values, "p95") for values in runs])
    assert passed > 0.2


def test_trials_that_differ_pass_at_the_limit_no_more_often() -> None:
    for decided in at_the_limit(processes.trials_that_differ(0.2), 1000, 5, 100).values():
        assert shares(decided)[0] <= 0.05 + 0.02


def test_two_looks_of_half_the_error_each_err_no_more_often_than_one() -> None:
    for decided in at_the_limit(
        processes.trials_that_differ(0.2), 1000, TRIALS, 100, looked_at_twice
    ).values():
        assert shares(decided)[0] <= 0.05 + 0.02


def test_two_looks_at_an_exact_gate_keep_to_its_errors_only_when_they_share_them() -> None:
    twice = partial(looked_at_twice, at_once=mean_verdict)
    (_, once), (passed, failed), (passed_whole, failed_whole) = (
        shares(mean_at_the_limit(2000, decide)) for decide in (mean_verdict, twice, partial(twice, looks=1))
    )
    assert (passed <= ALPHA_PASS + 0.007, failed <= ALPHA_FAIL + 0.01) == (True, True)  # two standard errors
    assert passed_whole > ALPHA_PASS + 0.007
    assert failed_whole > max(ALPHA_FAIL + 0.02, once)


def test_independent_requests_keep_most_of_their_worth() -> None:
    # required_n for 90 % power, and a quarter more for what n_eff costs
    values = processes.independent().draw(np.random.default_rng(20260106), 100, 768)
    limit = processes.independent().quantile(0.975)
    passed, _ = shares([verdict(each[None], "p95", limit) for each in values])
    assert passed > 0.8


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_the_simulated_queue_has_the_quantiles_of_an_mm1(level: float) -> None:
    queue = processes.queue(0.8)
    expected = reference.case("MM1-oracle")["expected"][f"p{100 * level:g}"]
    assert expected == pytest.approx(queue.quantile(level), rel=1e-9)
    drawn = queue.draw(np.random.default_rng(20260107), 2000, 200)
    assert 1 - level == pytest.approx(np.mean(drawn > expected), abs=0.01)


@pytest.mark.parametrize(
    "process", [*DEPENDENT, processes.trials_that_differ(0.2)], ids=lambda each: each.name
)
def test_the_simulated_processes_have_the_quantiles_they_state(process: Process) -> None:
    drawn = process.draw(np.random.default_rng(20260108), 4000, 50)
    for level in (0.5, 0.95):
        assert 1 - level == pytest.approx(np.mean(drawn > process.quantile(level)), abs=0.01)
