"""Each gate on both sides of its limit, on nothing, and on too little."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_by_hand import SECOND, changed, records

from hxbench.judge import gates, inference
from hxbench.judge.collect import quantile_evidence, share_evidence, unseen_because
from hxbench.judge.evidence import all_hold, holds
from hxbench.judge.gates import Gate
from hxbench.judge.inference import ShareEvidence
from hxbench.judge.measured import Measured
from hxbench.judge.resources import Coverage
from hxbench.judge.samples import sample
from hxbench.plan.objectives import Comparator, Objective
from hxbench.plan.profile import Profile
from hxbench.records.run_directory import Records
from hxbench.stats.means import Mean
from hxbench.stats.proportions import Interval, clopper_pearson


def judged(run: Records) -> Gate:
    [gate] = gates.evaluate(Measured(run))
    return gate


def with_ttft(objective: object, values: Sequence[float] | np.ndarray[Any, Any], **more: Any) -> Gate:
    profile = {"objectives": {"ttft": objective}}
    return judged(records(requests=len(values), ttft_s=values, profile=profile, **more))


def spread(count: int, of: int) -> list[int]:
    """Returns positions evenly apart, as if each request had its own luck."""
    return [int((each + 0.5) * of / count) for each in range(count)]


def missed(count: int, of: int) -> np.ndarray[Any, Any]:
    values = np.full(of, 0.25)
    values[spread(count, of)] = 0.6
    return values


def test_a_quantile_passes_up_to_the_last_miss_its_bound_allows() -> None:
    # 3 of 200: upper bound at alpha 0.025 is 4.3 %; 4 of 200: 5.04 %
    assert with_ttft({"p95": "500 ms"}, missed(3, 200)).decision.verdict == "PASS"
    assert with_ttft({"p95": "500 ms"}, missed(4, 200)).decision.verdict == "INCONCLUSIVE"


def test_a_quantile_fails_from_the_first_miss_its_bound_does_not_allow() -> None:
    # P(at least 16 of 200 at 5 %) is 0.0444, at least 15: 0.078
    assert with_ttft({"p95": "500 ms"}, missed(15, 200)).decision.verdict == "INCONCLUSIVE"
    assert with_ttft({"p95": "500 ms"}, missed(16, 200)).decision.verdict == "FAIL"


def test_a_p_value_at_its_level_does_not_fail() -> None:
    evidence = with_ttft({"p95": "500 ms"}, missed(16, 200)).evidence
    assert evidence.p_fail is not None
    assert "INCONCLUSIVE" == evidence.decide(evidence.p_fail).verdict
    assert "FAIL" == evidence.decide(math.nextafter(evidence.p_fail, 1)).verdict


@pytest.mark.parametrize(
    ("high", "verdict"), [(1 - 0.95, "PASS"), (math.nextafter(1 - 0.95, 1), "INCONCLUSIVE")]
)
def test_a_bound_at_what_is_allowed_passes(
    high: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "clopper_pearson", lambda *_, **__: Interval(0.0, high))
    assert verdict == with_ttft({"p95": "500 ms"}, missed(4, 200)).decision.verdict


def test_the_interval_shown_decides_as_the_gate_does() -> None:
    values = np.sort(np.random.default_rng(5).exponential(0.1, 200))
    found = sample(Measured(records(requests=200, ttft_s=values)), "ttft")
    for limit_s in np.arange(0.15, 0.5, 0.01):
        decision = quantile_evidence(Objective("ttft", "p95", "<=", limit_s, "s"), found).decide(0.05)
        low, high = decision.interval
        assert (high is not None and high <= limit_s) == (decision.verdict == "PASS")
        assert (low is not None and low > limit_s) == (decision.verdict == "FAIL")


def test_a_pass_is_held_against_0025_and_a_lone_fail_against_005() -> None:
    assert with_ttft({"p95": "500 ms"}, missed(3, 200)).decision.confidence == 0.975
    assert with_ttft({"p95": "500 ms"}, missed(16, 200)).decision.confidence == 0.95


@pytest.mark.parametrize(("comparator", "verdict"), [("<=", "PASS"), ("<", "FAIL")])
def test_a_value_at_the_limit_misses_only_a_strict_one(comparator: str, verdict: str) -> None:
    values = np.full(100, 0.5)
    for statistic in ("p95", "max"):
        assert verdict == with_ttft({statistic: f"{comparator} 500 ms"}, values).decision.verdict


def test_the_estimate_is_the_quantile_by_nearest_rank() -> None:
    values = np.random.default_rng(6).permutation(np.arange(1, 101) / 1000)
    assert 0.095 == pytest.approx(with_ttft({"p95": "500 ms"}, values).evidence.estimate)


def test_failures_are_beyond_any_limit() -> None:
    gate = with_ttft({"p95": "1 h"}, np.full(100, 0.1), failed=spread(20, 100))
    assert ("FAIL", None) == (gate.decision.verdict, gate.evidence.estimate)
    assert gate.decision.finding.startswith("20 of 100 requests missed the limit; ")


def test_a_good_request_without_its_first_token_is_a_failure() -> None:
    run = records(requests=100, warmup=0, profile={"objectives": {"ttft": {"p95": "10 s"}}})
    holes = run.requests["first_token_ns"].mask(np.isin(np.arange(100), spread(30, 100)))
    assert judged(changed(run, "requests", first_token_ns=holes)).decision.verdict == "FAIL"


def test_too_few_requests_say_how_many_would_do() -> None:
    decision = with_ttft({"p95": "500 ms"}, missed(0, 71)).decision
    assert ("INCONCLUSIVE", 72) == (decision.verdict, decision.needed_n)
    assert decision.reason.endswith("; 72 requests in all would decide it if this stays so")
    assert with_ttft({"p95": "500 ms"}, missed(0, 72)).decision.verdict == "PASS"


def test_five_requests_cannot_pass_a_p99_but_can_fail_it() -> None:
    assert with_ttft({"p99": "500 ms"}, missed(0, 5)).decision.needed_n == 368
    assert with_ttft({"p99": "500 ms"}, missed(5, 5)).decision.verdict == "FAIL"


def test_a_share_at_its_limit_is_too_close_for_more_requests() -> None:
    decision = with_ttft({"p95": "500 ms"}, missed(5, 100)).decision
    assert ("INCONCLUSIVE", None) == (decision.verdict, decision.needed_n)
    assert decision.reason.endswith("; too close to the limit for more requests to decide it")


EVERY_OBJECTIVE = [
    ("ttft", {"p95": "1 h"}),
    ("itl", {"p95": "1 h"}),
    ("itl", {"mean": "1 h"}),
    ("tpot", {"mean": "1 h"}),
    ("e2e", {"max": "1 h"}),
    ("error_rate", "100 %"),
    ("goodput", "0.1 %"),
    ("throughput_tokens", "0.001"),
    ("throughput_requests", "0.001"),
    ("cpu", {"mean": "100 cores"}),
]


@pytest.mark.parametrize(("metric", "limit"), EVERY_OBJECTIVE)
def test_no_data_never_passes(metric: str, limit: object) -> None:
    run = records(requests=4, warmup=0, profile={"objectives": {metric: limit}})
    nothing = {name: getattr(run, name).iloc[:0] for name in ("schedule", "requests", "reads")}
    decision = judged(replace(run, **nothing)).decision
    assert decision.verdict == "INCONCLUSIVE"
    assert decision.reason == "no request was attempted; a run that measures some would decide it"


@pytest.mark.parametrize(("metric", "limit"), [*EVERY_OBJECTIVE, ("memory", "1 TB"), ("cpu", {"max": "100"})])
def test_an_easy_limit_is_passed_by_good_data(metric: str, limit: object) -> None:
    run = records(requests=200, profile={"objectives": {metric: limit}})
    assert judged(run).decision.verdict == "PASS"


def test_a_metric_that_no_answer_has_is_missing() -> None:
    run = records(requests=100, tokens=1, profile={"objectives": {"itl": {"p50": "1 s"}}})
    gate = judged(run)
    assert ("INCONCLUSIVE", 0) == (gate.decision.verdict, gate.evidence.n)
    assert (
        gate.decision.reason == "itl was measured for no request; answers streamed in several reads have it"
    )


def test_a_latency_that_no_good_answer_has_is_missing() -> None:
    run = records(requests=100, tokens=1, failed=[0], profile={"objectives": {"tpot": {"p50": "1 s"}}})
    assert judged(run).decision.reason.startswith("tpot was measured for no request; ")


def test_answers_without_a_tpot_are_left_out_of_its_gate() -> None:
    run = records(requests=100, warmup=0, profile={"objectives": {"tpot": {"p90": "1 s"}}})
    one_read = changed(run, "requests", deltas=[1] * 30 + [32] * 70)
    assert judged(one_read).evidence.n == 70


def test_the_gaps_of_one_request_count_as_one_observation() -> None:
    run = records(requests=60, tokens=101, gap_s=0.01, profile={"objectives": {"itl": {"p95": "20 ms"}}})
    gate = judged(run)
    assert (6000, 60.0) == (gate.evidence.n, pytest.approx(gate.evidence.n_eff))
    assert ("INCONCLUSIVE", 72) == (gate.decision.verdict, gate.decision.needed_n)


def test_itl_fails_when_too_many_requests_are_slow() -> None:
    gaps = np.where(np.isin(np.arange(200), spread(60, 200)), 0.03, 0.01)
    run = records(requests=200, gap_s=gaps, profile={"objectives": {"itl": {"p95": "20 ms"}}})
    assert judged(run).decision.verdict == "FAIL"
    slack = records(requests=200, gap_s=gaps, profile={"objectives": {"itl": {"p95": "40 ms"}}})
    assert judged(slack).decision.verdict == "PASS"


def test_gaps_of_requests_that_depend_on_each_other_are_worth_fewer_requests() -> None:
    alternating = np.repeat(np.tile([0.01, 0.03], 10), 10)  # ten slow requests after ten fast ones
    values = sample(Measured(records(requests=200, gap_s=alternating)), "itl")
    found = values.worth(0.5)
    assert (200.0, "20 batches") == (pytest.approx(found.n), found.source)
    assert 19.0 == pytest.approx(found.n_eff)  # 20 batches, each of one kind


def test_a_failed_request_stands_for_as_many_infinite_gaps_as_a_good_one_has() -> None:
    values = sample(Measured(records(requests=10, tokens=5, gap_s=0.01, failed=[2, 7])), "itl")
    assert (40, 8) == (values.values.size, int(np.isinf(values.values).sum()))
    assert 10 == pytest.approx(values.worth(0.95).n)


def test_gaps_fail_when_every_request_did() -> None:
    run = records(requests=5, warmup=0, failed=range(5), profile={"objectives": {"itl": {"p95": "1 h"}}})
    assert ("FAIL", 5) == (judged(run).decision.verdict, judged(run).evidence.n)


def test_requests_of_unequal_length_are_worth_fewer() -> None:
    run = records(requests=2, tokens=5, warmup=0)
    short = replace(run, reads=run.reads.drop(index=[3, 4]))
    assert sample(Measured(short), "itl").worth(0.95).n == pytest.approx((2 + 4) ** 2 / (4 + 16))


def in_bursts(count: int, of: int, length: int) -> np.ndarray[Any, Any]:
    """Values of which `count` miss the limit, `length` of them one after another."""
    values = np.full(of, 0.25)
    for start in spread(count // length, of):
        values[start : start + length] = 0.6
    return values


def test_misses_in_bursts_decide_less_than_as_many_apart() -> None:
    apart, together = (
        with_ttft({"p90": "500 ms"}, missed(20, 400)),
        with_ttft({"p90": "500 ms"}, in_bursts(20, 400, 10)),
    )
    assert ("PASS", "INCONCLUSIVE") == (apart.decision.verdict, together.decision.verdict)
    assert 400.0 == apart.evidence.n_eff
    assert together.evidence.n_eff < 400 / 8


def test_what_more_requests_would_decide_grows_with_the_dependence() -> None:
    apart, together = (
        with_ttft({"p95": "500 ms"}, missed(4, 200)),
        with_ttft({"p95": "500 ms"}, in_bursts(4, 200, 2)),
    )
    assert apart.decision.needed_n is not None
    inflated = apart.decision.needed_n * 200 / together.evidence.n_eff
    assert together.decision.needed_n == math.ceil(inflated - 1e-9)
    assert together.evidence.n_eff < 200


def test_misses_in_bursts_fail_a_share_less_surely() -> None:
    def failed(positions: Sequence[int]) -> Gate:
        return judged(records(requests=400, failed=positions, profile={"objectives": {"error_rate": "5 %"}}))

    apart, together = failed(spread(40, 400)), failed(range(100, 140))
    assert ("FAIL", 400.0) == (apart.decision.verdict, apart.evidence.n_eff)
    assert "INCONCLUSIVE" == together.decision.verdict
    assert together.evidence.n_eff < 20
    assert "VIF" in together.evidence.method
    assert "(failed)" in together.evidence.method or "(20 batches)" in together.evidence.method


def test_a_failure_beyond_every_quantile_still_shows_its_bursts() -> None:
    failing = [each for start in range(0, 200, 20) for each in range(start, start + 12)]
    gate = with_ttft({"p50": "1 h"}, np.full(200, 0.1), failed=failing)
    assert gate.evidence.n_eff < 200 / 5


def test_trials_that_disagree_are_worth_fewer_requests() -> None:
    bad = np.arange(100) % 10 == 0
    same = share_of_bad([bad] * 5)
    other = share_of_bad([bad] * 4 + [np.arange(100) % 2 == 0])
    assert 500 * (1.95996 / 2.77645) ** 2 == pytest.approx(same.n_eff, rel=1e-4)  # Student's, of five trials
    assert other.n_eff < 500 / 10
    assert "design effect of trials 0" in same.method
    assert "design effect of trials 21.7" in other.method  # 100 * var([0.1] * 4 + [0.5]) / (0.18 * 0.82)


def share_of_bad(trials: Sequence[np.ndarray[Any, Any]]) -> ShareEvidence:
    numbers = np.repeat(np.arange(len(trials)), [each.size for each in trials])
    objective = Objective("error_rate", "share", "<", 0.2, "share")
    return share_evidence(objective, np.concatenate(trials), numbers, "failed")


def test_a_mean_passes_when_its_whole_interval_does() -> None:
    values = np.tile([0.1, 0.2], 100)  # mean 0.15 exactly in each batch
    assert with_ttft({"mean": "151 ms"}, values).decision.verdict == "PASS"
    assert with_ttft({"mean": "149 ms"}, values).decision.verdict == "FAIL"


def test_a_mean_near_its_limit_is_undecided_and_says_how_much_more() -> None:
    values = np.random.default_rng(2).normal(0.2, 0.05, 200)
    decision = with_ttft({"mean": "200 ms"}, values).decision
    assert decision.verdict == "INCONCLUSIVE"
    assert decision.interval[0] < 0.2 < decision.interval[1]  # type: ignore[operator]
    assert decision.needed_n is not None
    assert decision.needed_n > 200


@pytest.mark.parametrize(("limit", "needed"), [(1.1, 1753), (0.9, 1196)])  # 400 * 2.093^2, 400 * 1.729^2
def test_a_mean_needs_as_many_more_as_the_end_of_its_interval_is_too_far(limit: float, needed: int) -> None:
    objective = Objective("ttft", "mean", "<=", limit, "s")
    decision = inference.MeanEvidence(objective, Mean(1.0, 0.1, 19), 400, 400, "").decide(0.05)
    assert ("INCONCLUSIVE", needed) == (decision.verdict, decision.needed_n)


def test_a_mean_of_values_that_are_all_at_the_limit() -> None:
    values = np.full(80, 0.5)
    assert with_ttft({"mean": "<= 500 ms"}, values).decision.verdict == "PASS"
    strict = with_ttft({"mean": "< 500 ms"}, values).decision
    assert ("INCONCLUSIVE", None) == (strict.verdict, strict.needed_n)


def test_a_mean_counts_failures_as_the_total_time_limit() -> None:
    gate = with_ttft({"mean": "1 s"}, np.full(100, 0.5), failed=range(10))
    assert gate.evidence.estimate == pytest.approx(0.9 * 0.5 + 0.1 * 60)
    assert "failures count as the total time limit" in gate.evidence.method


def test_a_mean_of_gaps_says_how_many_requests_would_do() -> None:
    gaps = np.random.default_rng(4).normal(0.01, 0.001, 100)
    run = records(requests=100, gap_s=gaps, profile={"objectives": {"itl": {"mean": "10.05 ms"}}})
    decision = judged(run).decision
    assert decision.verdict == "INCONCLUSIVE"
    assert decision.needed_n is not None
    assert 100 < decision.needed_n < 3100
    few = records(requests=3, tokens=5, profile={"objectives": {"itl": {"mean": "10 ms"}}})
    assert (12, None) == (judged(few).evidence.n, judged(few).decision.needed_n)


def test_a_mean_needs_two_values_a_batch() -> None:
    decision = with_ttft({"mean": "1 s"}, np.full(39, 0.5)).decision
    assert ("INCONCLUSIVE", 40) == (decision.verdict, decision.needed_n)
    assert decision.reason == "39 values are too few for a mean: 40 are needed"
    assert with_ttft({"mean": "1 s"}, np.full(40, 0.5)).decision.verdict == "PASS"


def test_with_several_trials_a_mean_is_taken_over_them() -> None:
    run = records(requests=5, trials=3, profile={"objectives": {"ttft": {"mean": "1 s"}}})
    gate = judged(run)
    assert ("PASS", 3.0) == (gate.decision.verdict, gate.evidence.n_eff)
    assert gate.evidence.method == "t-interval over 3 trials; failures count as the total time limit"


def test_one_trial_says_that_it_is_one() -> None:
    assert with_ttft({"p50": "1 s"}, np.full(9, 0.1)).evidence.method.endswith(
        "over the limit; n_eff 9 of 9 requests, VIF 1; repeatability not assessed (one trial)"
    )


def test_the_largest_value_speaks_for_itself() -> None:
    values = missed(1, 50)
    assert with_ttft({"max": "600 ms"}, values).decision.verdict == "PASS"
    gate = with_ttft({"max": "599 ms"}, values)
    assert ("FAIL", "observed maximum") == (gate.decision.verdict, gate.evidence.method)
    assert gate.decision.interval == (None, None)


def test_the_largest_value_is_infinite_when_a_request_failed() -> None:
    gate = with_ttft({"max": "1 h"}, np.full(50, 0.1), failed=[7])
    assert ("FAIL", None) == (gate.decision.verdict, gate.evidence.estimate)
    assert gate.decision.reason == "the largest of 50 values is that of a request that failed"


def errors(count: int, of: int, limit: str) -> Gate:
    return judged(
        records(requests=of, failed=spread(count, of), profile={"objectives": {"error_rate": limit}})
    )


def test_an_error_rate_passes_fails_or_waits() -> None:
    # one-sided bounds of 10 in 400: at most 4.55 %, at least 1.37 %
    assert errors(10, 400, "4.6 %").decision.verdict == "PASS"
    assert errors(10, 400, "4.5 %").decision.verdict == "INCONCLUSIVE"
    assert errors(10, 400, "1.4 %").decision.verdict == "INCONCLUSIVE"
    assert errors(10, 400, "1.3 %").decision.verdict == "FAIL"


def test_one_percent_of_errors_needs_368_requests_without_one() -> None:
    assert errors(0, 367, "1 %").decision.needed_n == 368
    assert errors(0, 368, "1 %").decision.verdict == "PASS"


def test_an_error_rate_of_everything_passes_unless_strict() -> None:
    assert errors(5, 5, "<= 100 %").decision.verdict == "PASS"
    assert errors(5, 5, "< 100 %").decision.verdict == "INCONCLUSIVE"


def test_an_error_rate_shows_the_interval_that_decided() -> None:
    gate = errors(10, 400, "4.6 %")
    expected = clopper_pearson(10, 400, alpha_low=0.05, alpha_high=0.025)
    assert (0.025, tuple(expected)) == (gate.evidence.estimate, gate.decision.interval)


OF_GOODPUT = {"ttft": {"p95": "450 ms"}, "tpot": {"p95": "40 ms"}}


def goodput(limit: str, **more: Any) -> Gate:
    run = records(profile={"objectives": {**OF_GOODPUT, "goodput": limit}}, **more)
    return gates.evaluate(Measured(run))[-1]


def test_goodput_is_that_of_the_reference_case() -> None:
    ttft = [0.1, 0.45, 0.451, 0.1, 0.1, 0.1]
    tpot = [0.02, 0.02, 0.02, 0.041, 0.04, 0.02]
    gate = goodput("50 %", requests=6, warmup=0, ttft_s=ttft, gap_s=tpot, failed=[5])
    assert (0.5, 6) == (gate.evidence.estimate, gate.evidence.n)
    assert gate.decision.finding.startswith("3 of 6 requests failed or missed an objective")


def test_goodput_passes_and_fails() -> None:
    # 10 bad of 400: the good share is at least 95.45 %; P(10 or more bad of 400 at 1 %) is 0.008
    values = missed(10, 400)
    assert goodput("95.4 %", requests=400, ttft_s=values).decision.verdict == "PASS"
    assert goodput("95.5 %", requests=400, ttft_s=values).decision.verdict == "INCONCLUSIVE"
    assert goodput("99 %", requests=400, ttft_s=values).decision.verdict == "FAIL"
    bad = clopper_pearson(10, 400, alpha_low=0.05 / 3, alpha_high=0.025)  # three gates share the 5 %
    found = goodput("95.4 %", requests=400, ttft_s=values).decision.interval
    assert (1 - bad.high, 1 - bad.low) == found


@pytest.mark.parametrize(
    ("statistic", "good"), [("p50", 3), ("p95", 2), ("max", 2), ("mean", 2)], ids=lambda value: str(value)
)
def test_goodput_holds_a_limit_on_itl_against_the_same_statistic_of_each_request(
    statistic: str, good: int
) -> None:
    objectives = {"itl": {statistic: "20 ms"}, "goodput": "1 %"}
    run = records(
        requests=4, warmup=0, tokens=5, gap_s=[0.01, 0.01, 0.01, 0.03], profile={"objectives": objectives}
    )
    one_long = run.reads["received_ns"].where(np.arange(20) != 14, run.reads["received_ns"] + SECOND)
    gate = gates.evaluate(Measured(changed(run, "reads", received_ns=one_long)))[-1]
    assert good / 4 == gate.evidence.estimate


def test_goodput_asks_no_gaps_of_an_answer_that_came_in_one_read() -> None:
    objectives = {"itl": {"mean": "20 ms"}, "goodput": "1 %"}
    run = records(requests=4, warmup=0, tokens=1, profile={"objectives": objectives})
    assert gates.evaluate(Measured(run))[-1].evidence.estimate == 1.0


def throughput(limit: str, **more: Any) -> Gate:
    return judged(records(profile={"objectives": {"throughput_tokens": limit}}, **more))


def test_throughput_passes_below_its_interval_and_fails_above() -> None:
    gate = throughput(">= 70")
    low, high = gate.decision.interval
    assert low is not None
    assert high is not None
    assert gate.decision.verdict == "PASS"
    assert throughput(f">= {low - 0.01:.2f}").decision.verdict == "PASS"
    assert throughput(f">= {low + 0.01:.2f}").decision.verdict == "INCONCLUSIVE"
    assert throughput(f">= {high - 0.01:.2f}").decision.verdict == "INCONCLUSIVE"
    assert throughput(f">= {high + 0.01:.2f}").decision.verdict == "FAIL"


def test_throughput_over_trials_has_one_value_each() -> None:
    gate = throughput(">= 40", trials=4, requests=10)
    assert ("PASS", 4.0) == (gate.decision.verdict, gate.evidence.n_eff)


def test_throughput_without_usage_is_undecided() -> None:
    run = records(requests=40, profile={"objectives": {"throughput_tokens": "1"}})
    decision = judged(changed(run, "requests", output_tokens=None)).decision
    assert decision.reason == "no token count is known; a server that states its usage would decide it"


def memory(limit: str, run: Records | None = None) -> Gate:
    made = run or records(requests=40)
    profile = records(requests=40, profile={"objectives": {"memory": limit}}).profile
    return judged(replace(made, profile=profile))


def test_memory_is_the_largest_sample() -> None:
    assert memory("250 MB").decision.verdict == "PASS"
    assert memory("249 MB").decision.verdict == "FAIL"
    assert memory("< 250 MB").decision.verdict == "FAIL"


def without_samples(first: float, last: float) -> Records:
    """A run whose sampler was silent from `first` to `last` seconds of the measured window."""
    run = records(requests=40)
    zero = run.phases["start_ns"].iloc[1]
    time_s = (run.series["time_ns"] - zero) / SECOND
    silent = (time_s > first) & (time_s < last) & (run.series["source"] == "process")
    return replace(run, series=run.series[~silent])


def test_memory_with_a_gap_in_its_samples_is_undecided_unless_it_is_above() -> None:
    gate = memory("300 MB", without_samples(3.0, 4.2))
    assert gate.decision.verdict == "INCONCLUSIVE"
    assert gate.decision.reason == (
        "the largest of 213 values is 250 MB, but samples cover 93.3 % of the window with a gap of 1.3 s; "
        "95 % and at most 1 s are needed"
    )
    assert memory("200 MB", without_samples(3.0, 4.2)).decision.verdict == "FAIL"


@pytest.mark.parametrize(
    ("share", "gap_s", "enough"), [(0.95, 1.0, True), (0.949, 1.0, False), (0.95, 1.001, False)]
)
def test_samples_have_to_cover_95_percent_without_a_gap_above_a_second(
    share: float, gap_s: float, enough: bool
) -> None:
    assert enough == (unseen_because(Coverage(share, gap_s, 10.0)) is None)


def test_short_gaps_in_the_samples_are_no_matter() -> None:
    assert memory("300 MB", without_samples(3.0, 3.7)).decision.verdict == "PASS"


def test_memory_that_nobody_sampled_is_undecided() -> None:
    run = records(requests=40)
    remote = replace(run, series=run.series[run.series["source"] != "process"])
    decision = memory("1 GB", remote).decision
    assert (
        decision.reason
        == "the server's memory was not sampled; a run on the server's machine would decide it"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("processes_gone", "one ended"),
        ("processes_replaced", "one ended and its id is another's"),
        ("processes_denied", "permission denied"),
    ],
)
def test_memory_of_a_server_that_was_not_seen_whole_is_undecided_unless_it_is_above(
    name: str, reason: str
) -> None:
    run = records(requests=40)
    told = run.series.tail(1).assign(source="process", name=name, value=1.0)
    unseen = replace(run, series=pd.concat([run.series, told], ignore_index=True))
    said = f"not every process of the server was sampled: {reason}"
    decision = memory("300 MB", unseen).decision
    assert "INCONCLUSIVE" == decision.verdict
    assert decision.reason.endswith(f"is 250 MB, but {said}")
    assert "FAIL" == memory("200 MB", unseen).decision.verdict
    alone = replace(run, series=told)
    assert f"the server's memory was not sampled; {said}" == memory("1 GB", alone).decision.reason


def test_memory_without_a_measured_window_is_undecided() -> None:
    run = records(requests=40)
    decision = memory("1 GB", replace(run, phases=run.phases.iloc[:0])).decision
    assert decision.reason.endswith("but no trial reached its measured window")


def cpu(statistic: str, limit: str, run: Records | None = None) -> Gate:
    made = run or records(requests=40)
    profile = records(requests=40, profile={"objectives": {"cpu": {statistic: limit}}}).profile
    return judged(replace(made, profile=profile))


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_cpu_on_both_sides_of_its_limit(statistic: str) -> None:
    assert cpu(statistic, "0.91").decision.verdict == "PASS"
    assert cpu(statistic, "0.89").decision.verdict == "FAIL"


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_cpu_with_a_gap_in_its_samples_is_undecided(statistic: str) -> None:
    assert cpu(statistic, "2 cores", without_samples(3.0, 4.2)).decision.verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_cpu_that_nobody_sampled_is_undecided(statistic: str) -> None:
    run = records(requests=40)
    remote = replace(run, series=run.series[run.series["source"] != "process"])
    decision = cpu(statistic, "2 cores", remote).decision
    assert decision.reason == (
        "the server's CPU time was not sampled; a run on the server's machine would decide it"
    )


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_cpu_with_one_sample_is_undecided(statistic: str) -> None:
    run = records(requests=1, warmup=0, tokens=2, ttft_s=0.1)
    inside = run.series[run.series["time_ns"] == run.series["time_ns"].iloc[10]]
    decision = cpu(statistic, "2 cores", replace(run, series=inside)).decision
    assert ("INCONCLUSIVE", None) == (decision.verdict, decision.needed_n)
    assert decision.reason == "a trial has fewer than two samples of the server's CPU time"


def test_cpu_of_a_window_below_a_second_is_one_value() -> None:
    run = records(requests=1, warmup=0, profile={"objectives": {"cpu": {"max": "2"}}})
    assert ("PASS", 1) == (judged(run).decision.verdict, judged(run).evidence.n)


def test_fails_share_their_error_probability() -> None:
    # 16 of 200 alone fails p95 (p = 0.044); beside an objective that passes, 0.025 is the level
    objectives = {"ttft": {"p95": "500 ms", "p50": "500 ms"}}
    run = records(requests=200, ttft_s=missed(16, 200), profile={"objectives": objectives})
    assert ["INCONCLUSIVE", "PASS"] == [gate.decision.verdict for gate in gates.evaluate(Measured(run))]


def test_what_infers_nothing_takes_no_part_in_the_sharing() -> None:
    objectives = {"ttft": {"p95": "500 ms", "max": "1 s"}, "memory": "1 GB"}
    run = records(requests=200, ttft_s=missed(16, 200), profile={"objectives": objectives})
    assert ["FAIL", "PASS", "PASS"] == [gate.decision.verdict for gate in gates.evaluate(Measured(run))]


def planned(objectives: dict[str, Any], **load: Any) -> Profile:
    base: dict[str, Any] = {"objectives": objectives}
    return records(requests=1, profile=base | {f"load.{key}": value for key, value in load.items()}).profile


def test_a_gate_that_cannot_be_passed_is_named_with_what_it_needs() -> None:
    assert gates.unanswerable(planned({"ttft": {"p99": "1 s", "p50": "1 s"}}, requests=6)) == [
        "objectives.ttft.p99: 6 requests cannot pass it even without a miss: it needs at least 368"
    ]


def test_a_gate_that_can_just_be_passed_is_not_named() -> None:
    assert [] == gates.unanswerable(planned({"ttft": {"p99": "1 s"}}, requests=368))
    assert 1 == len(gates.unanswerable(planned({"ttft": {"p99": "1 s"}}, requests=367)))


def test_limits_on_single_tokens_have_nothing_to_look_at_in_answers_of_one_piece() -> None:
    objectives = {"ttft": {"p95": "1 s", "p50": "1 s"}, "itl": {"p50": "1 s"}, "e2e": {"p50": "1 s"}}
    streamed = planned(objectives, requests=100)
    assert [] == gates.unseen_in_one_piece(streamed)
    whole = streamed.workload.model_copy(update={"stream": False})
    assert [
        "objectives.ttft: the first token is seen with the last, which is what e2e measures",
        "objectives.itl: no time between tokens is seen",
    ] == gates.unseen_in_one_piece(streamed.model_copy(update={"workload": whole}))


def test_trials_add_up_to_what_students_factor_leaves_of_them() -> None:
    # 368 / (1.960 / 4.303)^2 = 1769 of three trials
    assert [] == gates.unanswerable(planned({"ttft": {"p99": "1 s"}}, requests=590, trials=3))
    assert 1 == len(gates.unanswerable(planned({"ttft": {"p99": "1 s"}}, requests=589, trials=3)))


@pytest.mark.parametrize(("requests", "verdict"), [(116, "PASS"), (115, "INCONCLUSIVE")])
def test_the_fewest_requests_of_three_trials_pass_without_a_miss(requests: int, verdict: str) -> None:
    for given in ({"ttft": {"p95": "1 s"}}, {"error_rate": "5 %"}):
        run = records(requests=requests, trials=3, profile={"objectives": given})
        assert verdict == judged(run).decision.verdict
        planned_so = planned(given, requests=requests, trials=3)
        assert (verdict == "PASS") == (gates.unanswerable(planned_so) == [])


def test_a_miss_in_each_trial_is_worth_no_more_than_none() -> None:
    clean, missing = np.zeros(66), np.eye(1, 66)[0]
    worth = [share_of_bad([trial == 1] * 3).n_eff for trial in (clean, missing)]
    assert worth[0] == worth[1] < 198 / 4


@pytest.mark.parametrize(("measure", "sentences"), [("184 s", 0), ("183 s", 1)])
def test_in_open_loop_rate_and_time_say_how_many_there_will_be(measure: str, sentences: int) -> None:
    load = {"loop": "open", "users": None, "rate": "2 req/s", "requests": None, "measure": measure}
    assert sentences == len(gates.unanswerable(planned({"ttft": {"p99": "1 s"}}, **load)))


@pytest.mark.parametrize(("cap", "sentences"), [(368, 0), (367, 1)])
def test_in_closed_loop_by_time_only_the_cap_is_known(cap: int, sentences: int) -> None:
    profile = records(
        requests=1,
        profile={
            "objectives": {"ttft": {"p99": "1 s"}},
            "load.requests": None,
            "load.measure": "60 s",
            "limits.requests": cap,
        },
    ).profile
    assert sentences == len(gates.unanswerable(profile))


def test_some_limits_no_run_can_prove() -> None:
    assert gates.unanswerable(planned({"goodput": "100 %"}, requests=1000)) == [
        "objectives.goodput.share: no number of requests proves 100 %"
    ]


def test_an_error_rate_and_a_mean_need_their_number_too() -> None:
    objectives = {"error_rate": "1 %", "ttft": {"mean": "1 s"}, "itl": {"mean": "1 s"}, "goodput": "95 %"}
    named = [sentence.split(":")[0] for sentence in gates.unanswerable(planned(objectives, requests=39))]
    assert ["objectives.error_rate.share", "objectives.ttft.mean", "objectives.goodput.share"] == named


def test_means_over_trials_and_what_infers_nothing_need_no_number() -> None:
    objectives = {
        "ttft": {"mean": "1 s", "max": "1 s"},
        "memory": "1 GB",
        "cpu": {"mean": "1"},
        "throughput_tokens": "1",
    }
    assert [] == gates.unanswerable(planned(objectives, requests=1, trials=3))


def test_the_fewest_requests_of_a_gate_that_needs_no_number_is_one() -> None:
    assert 1 == gates.fewest_requests(Objective("ttft", "max", "<=", 1.0, "s"), 1)
    assert 1 == gates.fewest_requests(Objective("ttft", "mean", "<=", 1.0, "s"), 3)
    assert 40 == gates.fewest_requests(Objective("ttft", "mean", "<=", 1.0, "s"), 1)


@pytest.mark.parametrize(
    ("comparator", "expected"),
    [
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
    ],
)
def test_each_comparator_holds_below_at_or_above_the_limit(
    comparator: Comparator, expected: list[bool]
) -> None:
    objective = Objective("throughput_tokens", "rate", comparator, 2.0, "tok/s")
    assert expected == [holds(value, objective) for value in (1.0, 2.0, 3.0)]
    assert expected == all_hold(np.array([1.0, 2.0, 3.0]), objective).tolist()


def test_a_decision_states_the_confidence_of_its_interval() -> None:
    objective = Objective("error_rate", "share", "<=", 0.05, "share")
    decided = [ShareEvidence(objective, bad, 400, 400.0, "failed", "").decide(0.01) for bad in (0, 20, 80)]
    assert [("PASS", 0.975), ("INCONCLUSIVE", 0.975), ("FAIL", 0.99)] == [
        (each.verdict, each.confidence) for each in decided
    ]


def test_goodput_takes_a_single_gap_for_the_mean_and_none_for_good() -> None:
    objectives = {"itl": {"mean": "20 ms"}, "goodput": "1 %"}
    run = records(
        requests=4, warmup=0, tokens=3, gap_s=[0.03, 0.03, 0.01, 0.01], profile={"objectives": objectives}
    )
    cut = replace(run, reads=run.reads.drop(index=[2, 4, 5]))  # the first has one gap, the second none
    assert 3 / 4 == gates.evaluate(Measured(cut))[-1].evidence.estimate


def with_cpu(cores: Sequence[float], statistic: str) -> Gate:
    """A run whose server uses so many cores in each second of a measured window that is a little longer."""
    run = records(requests=40, profile={"objectives": {"cpu": {statistic: "9"}}})
    start_ns = int(run.phases["start_ns"].iloc[1]) // SECOND * SECOND  # when a sample was taken
    starts = run.phases["start_ns"].where(run.phases.index != 1, start_ns)
    ends = run.phases["end_ns"].where(run.phases.index != 1, start_ns + int((len(cores) + 0.5) * SECOND))
    time_s = (run.series["time_ns"] - start_ns) / SECOND
    used = np.interp(time_s.to_numpy(dtype=float), np.arange(len(cores) + 1), np.cumsum([0.0, *cores]))
    values = run.series["value"].mask(run.series["name"] == "cpu_seconds", used)
    return judged(changed(changed(run, "series", value=values), "phases", start_ns=starts, end_ns=ends))


def test_the_mean_of_cpu_is_taken_over_the_whole_window_in_20_slices() -> None:
    evidence = with_cpu([3.0, 1.0, 1.0, 1.0, 2.0], "mean").evidence
    assert (20.0, pytest.approx(8 / 5.5)) == (evidence.n_eff, evidence.estimate)


@pytest.mark.parametrize("cores", [[3.0, 1.0, 1.0], [1.0, 1.0, 3.0]])
def test_the_largest_use_of_cpu_is_that_of_any_whole_second(cores: list[float]) -> None:
    evidence = with_cpu(cores, "max").evidence
    assert (3, pytest.approx(3.0)) == (evidence.n, evidence.estimate)


def test_a_mean_of_one_trial_says_of_what_it_is_taken() -> None:
    assert (
        "t-interval over 20 batch means in time order; failures count as the total time limit; "
        "repeatability not assessed (one trial)"
    ) == with_ttft({"mean": "1 s"}, np.full(40, 0.5)).evidence.method


@pytest.mark.parametrize(
    ("metric", "lost", "good"), [("tpot", "last_token_ns", 4), ("ttft", "first_token_ns", 3)]
)
def test_goodput_takes_for_good_only_what_need_not_exist(metric: str, lost: str, good: int) -> None:
    objectives = {metric: {"p95": "1 s"}, "goodput": "1 %"}
    run = records(requests=4, warmup=0, profile={"objectives": objectives})
    cut = changed(run, "requests", **{lost: run.requests[lost].mask(run.requests.index == 2)})
    assert good / 4 == gates.evaluate(Measured(cut))[-1].evidence.estimate


def test_looked_at_once_a_p99_needs_368_requests_and_twice_437() -> None:
    # 0.99^n is at most 0.025, or half of it
    p99 = Objective("ttft", "p99", "<=", 1.0, "s")
    assert (368, 437) == (gates.fewest_requests(p99, 1), gates.fewest_requests(p99, 1, looks=2))
