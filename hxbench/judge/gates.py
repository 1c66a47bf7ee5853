"""The gates: what each objective's evidence decides, and which objective no plan of requests can decide."""

from dataclasses import dataclass

from hxbench import units
from hxbench.judge import watched
from hxbench.judge.collect import FEWEST_FOR_A_MEAN, evidence_for
from hxbench.judge.evidence import ALPHA_FAIL, ALPHA_PASS, QUANTILES, Decision, Evidence, from_below
from hxbench.judge.measured import Measured
from hxbench.plan.objectives import LATENCIES, Objective
from hxbench.plan.profile import Profile
from hxbench.stats.dependence import students_factor
from hxbench.stats.multiplicity import holm_levels
from hxbench.stats.sample_size import smallest_passing_n

_WITH_THE_LAST = "the first token is seen with the last, which is what e2e measures"
_IN_ONE_PIECE = {
    **dict.fromkeys(("itl", "tpot"), "no time between tokens is seen"),
    **dict.fromkeys(("ttft", "ttft_dispatch", "ttfo"), _WITH_THE_LAST),
}


@dataclass(frozen=True)
class Gate:
    """One objective, its evidence and its decision."""

    objective: Objective
    evidence: Evidence
    decision: Decision


def evaluate(measured: Measured) -> list[Gate]:
    """Returns one gate an objective, in the profile's order, then one a limit on what Prometheus said.

    Each PASS errs with ALPHA_PASS, all FAILs together with ALPHA_FAIL (Holm), divided by the planned looks.
    """
    profile = measured.records.profile
    objectives, alpha = profile.all_objectives, ALPHA_FAIL / profile.load.looks
    own = [evidence_for(measured, objective) for objective in profile.objectives]
    evidence = [*own, *(watched.evidence(measured, each) for each in objectives[len(own) :])]
    tested = [p for each in evidence if (p := each.p_fail) is not None]
    levels = iter(holm_levels(tested, alpha))
    return [
        Gate(objective, each, each.decide(alpha if each.p_fail is None else next(levels)))
        for objective, each in zip(objectives, evidence, strict=True)
    ]


def unanswerable(profile: Profile) -> list[str]:
    """Returns one sentence a limit that the planned requests, or samples, could not pass at all."""
    most = planned_requests(profile)
    sentences = [_why_unanswerable(objective, profile, most) for objective in profile.objectives]
    return [*(sentence for sentence in sentences if sentence is not None), *watched.unanswerable(profile)]


def unseen_in_one_piece(profile: Profile) -> list[str]:
    """Returns one sentence an objective on single tokens where answers come in one piece, without them."""
    if profile.workload.stream:
        return []
    return [
        f"objectives.{metric}: " + why
        for metric in dict.fromkeys(objective.metric for objective in profile.objectives)
        if (why := _IN_ONE_PIECE.get(metric))
    ]


def planned_requests(profile: Profile) -> int:
    """Returns the most requests a profile can measure; in closed loop by time only its cap is known."""
    load = profile.load
    if load.requests is not None:
        return load.requests * load.trials
    if load.expected_arrivals is not None:
        return min(int(load.expected_arrivals) * load.trials, profile.limits.requests)
    return profile.limits.requests


def _why_unanswerable(objective: Objective, profile: Profile, most: int) -> str | None:
    name = f"objectives.{objective.metric}.{objective.statistic}"
    needed = fewest_requests(objective, profile.load.trials, profile.load.looks)
    if needed is None:
        return f"{name}: no number of requests proves {units.value(objective.limit, objective.unit)}"
    if needed <= most:
        return None
    planned = f"{units.count(most)} requests cannot pass it even without a miss"
    return f"{name}: {planned}: it needs at least {units.count(needed)}"


def fewest_requests(objective: Objective, trials: int, looks: int = 1) -> int | None:
    """Returns the smallest number of requests that can pass an objective; None when none can."""
    alpha = ALPHA_PASS / looks
    if objective.statistic in QUANTILES:
        return smallest_passing_n(1 - QUANTILES[objective.statistic], alpha, students_factor(trials, alpha))
    if objective.statistic == "share":
        allowed = 1 - objective.limit if from_below(objective) else objective.limit
        return smallest_passing_n(allowed, alpha, students_factor(trials, alpha))
    needs_batches = objective.statistic == "mean" and objective.metric in LATENCIES and trials == 1
    # the values of an itl are gaps: how many a request has is not known beforehand
    return FEWEST_FOR_A_MEAN if needs_batches and objective.metric != "itl" else 1
