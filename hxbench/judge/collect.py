"""Collects the evidence each objective rests on."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hxbench import units
from hxbench.judge import resources
from hxbench.judge.evidence import ALPHA_PASS, QUANTILES, Evidence, Missing, ObservedEvidence, all_hold
from hxbench.judge.inference import MeanEvidence, QuantileEvidence, ShareEvidence
from hxbench.judge.measured import Measured
from hxbench.judge.requests import window_lengths
from hxbench.judge.samples import MAY_BE_UNDEFINED, Sample, by_trial, sample, trials_of
from hxbench.plan.objectives import LATENCIES, Objective
from hxbench.records.run_directory import Records
from hxbench.stats.dependence import Worth, worth
from hxbench.stats.means import BATCHES, batch_means, mean_of
from hxbench.stats.quantiles import ROUNDING

Values = NDArray[np.float64]

FEWEST_FOR_A_MEAN = 2 * BATCHES
LEAST_COVERAGE = 0.95  # share of the window that samples must vouch for

_NO_REQUESTS = "no request was attempted; a run that measures some would decide it"
_ONE_TRIAL = "repeatability not assessed (one trial)"


def evidence_for(measured: Measured, objective: Objective) -> Evidence:
    """Returns what the records say about one objective."""
    if objective.metric in LATENCIES:
        return _latency(measured, objective)
    return _EVIDENCE[objective.metric](measured, objective)


def _latency(measured: Measured, objective: Objective) -> Evidence:
    values = sample(measured, objective.metric)
    if not len(measured.attempted):
        return Missing(_NO_REQUESTS)
    if not values.requests:
        return Missing(
            f"{objective.metric} was measured for no request; answers streamed in several reads have it"
        )
    if objective.statistic == "mean":
        return _mean_latency(measured, objective, values)
    if objective.statistic == "max":
        return ObservedEvidence(objective, float(values.in_order[-1]), int(values.values.size))
    return quantile_evidence(objective, values, _repeatability(measured), alpha=_alpha(measured))


def _alpha(measured: Measured) -> float:
    """Returns what a PASS may err with at one of the planned looks."""
    return ALPHA_PASS / measured.records.profile.load.looks


def quantile_evidence(
    objective: Objective, values: Sample, *notes: str, alpha: float = ALPHA_PASS
) -> QuantileEvidence:
    """Returns what the values say about one of their quantiles."""
    noun = "gaps" if objective.metric == "itl" else "requests"
    found = values.worth(QUANTILES[objective.statistic], alpha)
    method = _joined(f"Clopper-Pearson on the share of {noun} over the limit", _worth_said(found), *notes)
    return QuantileEvidence(objective, values.in_order, found.n_eff, values.requests, noun, method, alpha)


def _worth_said(found: Worth) -> str:
    """Returns the effective sample size, in requests, and what made it so."""
    parts = [f"n_eff {units.number(found.n_eff)} of {units.number(found.n)} requests"]
    parts.append(f"VIF {units.number(found.inflation)}" + (f" ({found.source})" if found.source else ""))
    if found.design_effect is not None:
        parts.append(f"design effect of trials {units.number(found.design_effect)}")
    return ", ".join(parts)


def _mean_latency(measured: Measured, objective: Objective, values: Sample) -> Evidence:
    """A mean over trials; with one trial over batches of it, which says nothing about repeatability."""
    trials = values.capped_by_trial(measured.records.profile.limits.total)
    one, n = len(trials) == 1, int(values.values.size)
    mean = mean_of(batch_means(trials[0]) if one else np.array([each.mean() for each in trials]))
    if mean is None:
        why = f"{units.count(n)} values are too few for a mean: {FEWEST_FOR_A_MEAN} are needed"
        return Missing(why, n, None if objective.metric == "itl" else FEWEST_FOR_A_MEAN)
    method = _joined(_t_over(len(trials)), "failures count as the total time limit", _repeatability(measured))
    return MeanEvidence(objective, mean, n, values.requests, method, _alpha(measured))


def _t_over(trials: int) -> str:
    over = f"{BATCHES} batch means in time order" if trials == 1 else f"{trials} trials"
    return f"t-interval over {over}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _repeatability(measured: Measured) -> str:
    return "" if measured.records.profile.load.trials > 1 else _ONE_TRIAL


def _error_rate(measured: Measured, objective: Objective) -> Evidence:
    return _share(measured, objective, ~measured.attempted["ok"].to_numpy(dtype="bool"), "failed")


def _goodput(measured: Measured, objective: Objective) -> Evidence:
    return _share(measured, objective, ~good_requests(measured), "failed or missed an objective")


def _share(measured: Measured, objective: Objective, bad: NDArray[np.bool_], noun: str) -> Evidence:
    if not bad.size:
        return Missing(_NO_REQUESTS)
    trials, note = trials_of(measured.attempted), _repeatability(measured)
    return share_evidence(objective, bad, trials, noun, note, alpha=_alpha(measured))


def share_evidence(
    objective: Objective,
    bad: NDArray[np.bool_],
    trials: NDArray[np.int64],
    noun: str,
    *notes: str,
    alpha: float = ALPHA_PASS,
) -> ShareEvidence:
    """Returns what the requests, bad or not in time order, say about their share."""
    found = worth({noun: by_trial(bad.astype(np.float64), trials)}, bad.size, alpha=alpha)
    method = _joined("Clopper-Pearson", _worth_said(found), *notes)
    return ShareEvidence(objective, int(bad.sum()), bad.size, found.n_eff, noun, method, alpha)


def good_requests(measured: Measured) -> NDArray[np.bool_]:
    """Tells for each of the N requests whether it succeeded and met every latency objective by itself.

    A limit on itl is held against the same statistic of the request's own gaps. What need not exist and
    does not, such as tpot after a single read, is met.
    """
    good = measured.attempted["ok"].to_numpy(dtype="bool").copy()
    for objective in measured.records.profile.objectives:
        if objective.metric == "itl":
            good &= _own_gaps_hold(measured, objective)
        elif objective.metric in LATENCIES:
            values = measured.attempted[f"{objective.metric}_s"].to_numpy(dtype="float64")
            absent_is_good = np.isnan(values) & (objective.metric in MAY_BE_UNDEFINED)
            good &= all_hold(values, objective) | absent_is_good
    return good


def _own_gaps_hold(measured: Measured, objective: Objective) -> NDArray[np.bool_]:
    """A quantile holds when so many gaps do as its rank says; without gaps every statistic does."""
    gaps = sample(measured, "itl")
    if not gaps.requests:
        return np.ones(len(measured.attempted), dtype=np.bool_)
    if objective.statistic == "mean":
        sums = np.bincount(gaps.owners, weights=gaps.values, minlength=gaps.counts.size)
        return all_hold(sums / np.maximum(gaps.counts, 1), objective)  # of none it is 0, below any limit
    held = gaps.counted(all_hold(gaps.values, objective))
    share = QUANTILES.get(objective.statistic, 1.0)  # 1: all of them, for its maximum
    enough: NDArray[np.bool_] = held >= np.ceil(gaps.counts * share - ROUNDING)
    return enough


def _throughput(measured: Measured, objective: Objective) -> Evidence:
    of_tokens = objective.metric == "throughput_tokens"
    rate = measured.token_rate if of_tokens else measured.request_rate
    if not rate.slices:
        return Missing("no token count is known; a server that states its usage would decide it")
    return mean_in_time(measured, objective, list(rate.slices.values()))


def mean_in_time(
    measured: Measured, objective: Objective, slices: Sequence[Values], samples: int | None = None
) -> Evidence:
    """A mean over time, from equal slices of each trial's measured window; of `samples`, where counted."""
    independent = slices[0] if len(slices) == 1 else np.array([values.mean() for values in slices])
    mean = mean_of(independent)
    if mean is None or not len(measured.attempted):
        return Missing(_NO_REQUESTS)
    n = len(measured.attempted)
    method = _joined(_t_over(len(slices)), _repeatability(measured))
    return MeanEvidence(objective, mean, samples or n, n, method, _alpha(measured))


def _memory(measured: Measured, objective: Objective) -> Evidence:
    records = measured.records
    series = resources.sampled(records, "process", "rss_bytes")
    if series.empty:
        return _not_sampled(records, "memory was")
    unseen = resources.unseen(records.series) or unseen_because(resources.coverage(records, series))
    return ObservedEvidence(objective, float(series["value"].max()), len(series), unseen)


def _not_sampled(records: Records, what: str) -> Missing:
    decides = resources.unseen(records.series) or "a run on the server's machine would decide it"
    return Missing(f"the server's {what} not sampled; {decides}")


def _cpu(measured: Measured, objective: Objective) -> Evidence:
    records = measured.records
    series = resources.sampled(records, "process", "cpu_seconds")
    if series.empty:
        return _not_sampled(records, "CPU time was")
    unseen = resources.unseen(records.series) or unseen_because(resources.coverage(records, series))
    by_second = objective.statistic == "max"
    cores = [
        resources.cores_used(
            series, trial, _whole_seconds(s) if by_second else np.linspace(0, s, BATCHES + 1)
        )
        for trial, s in window_lengths(records).items()
    ]
    if not cores or np.isnan(np.concatenate(cores)).any() or (unseen is not None and not by_second):
        return Missing(unseen or "a trial has fewer than two samples of the server's CPU time", len(series))
    if by_second:
        each = np.concatenate(cores)
        method = "observed maximum of one-second means"
        return ObservedEvidence(objective, float(each.max()), int(each.size), unseen, method)
    return mean_in_time(measured, objective, cores)


def _whole_seconds(length_s: float) -> Values:
    return np.arange(0.0, max(math.floor(length_s), 1) + 1) * min(length_s, 1.0)


def unseen_because(coverage: resources.Coverage | None) -> str | None:
    """Returns why samples may have missed something; None when they cover the window well enough."""
    if coverage is None:
        return "no trial reached its measured window"
    if coverage.share >= LEAST_COVERAGE and coverage.largest_gap_s <= resources.LONGEST_GAP_S:
        return None
    covered, gap = units.share(coverage.share), units.duration(coverage.largest_gap_s)
    needed = f"{units.share(LEAST_COVERAGE)} and at most {units.duration(resources.LONGEST_GAP_S)} are needed"
    return f"samples cover {covered} of the window with a gap of {gap}; {needed}"


_EVIDENCE: dict[str, Callable[[Measured, Objective], Evidence]] = {
    "error_rate": _error_rate,
    "goodput": _goodput,
    "throughput_tokens": _throughput,
    "throughput_requests": _throughput,
    "memory": _memory,
    "cpu": _cpu,
}
