"""Every verdict on a run: of its limits, and of the single requests, each as the ledger leaves it."""

from collections.abc import Sequence

from hxbench.judge import checks, ledger
from hxbench.judge.gates import Gate, evaluate
from hxbench.judge.measured import Measured
from hxbench.judge.verdicts import SKIPPED, Verdict
from hxbench.plan.catalogue import Entry, cases, select
from hxbench.plan.objectives import LATENCIES
from hxbench.plan.profile import Profile
from hxbench.plan.prometheus import PREFIX
from hxbench.stats.quantiles import finite


def judged(measured: Measured, entries: Sequence[ledger.Entry]) -> list[Verdict]:
    """Returns every verdict as the ledger leaves it, in the order of the cases."""
    profile = measured.records.profile
    verdicts = _verdicts(measured, cases(profile))
    return [ledger.applied(each, entries, _rests_on(each.metric, profile)) for each in verdicts]


def _verdicts(measured: Measured, catalogue: Sequence[Entry]) -> list[Verdict]:
    """Those of objectives, of the checks chosen, and of what sets no limit."""
    records = measured.records
    chosen = select(records.profile.checks, records.profile.component)
    gates = evaluate(measured)
    found: list[Verdict] = []
    for entry in catalogue:
        mine = [_of_gate(entry, gate) for gate in gates if gate.objective.metric in entry.metrics]
        if entry in chosen:
            mine += checks.verdicts(records, entry)
        if entry in chosen and not mine:
            mine = [_no_limit(entry)]
        found += mine
    return found


def _of_gate(entry: Entry, gate: Gate) -> Verdict:
    objective, evidence, decision = gate.objective, gate.evidence, gate.decision
    return Verdict(
        id=f"{objective.metric}.{objective.statistic}",
        case=entry.id,
        requirement=", ".join(entry.requirements),
        verdict=decision.verdict,
        reason=decision.reason,
        method=evidence.method,
        records=_tables(objective.metric),
        metric=objective.metric,
        statistic=objective.statistic,
        estimate=finite(evidence.estimate),
        unit=objective.unit,
        interval=(finite(decision.interval[0]), finite(decision.interval[1])),
        interval_kind=evidence.interval_kind,
        confidence=decision.confidence,
        n=evidence.n,
        n_eff=evidence.n_eff,
        comparator=objective.comparator,
        limit=objective.limit,
        needed_n=decision.needed_n,
    )


def _rests_on(metric: str | None, profile: Profile) -> frozenset[str]:
    """Returns the metrics whose errors a verdict inherits: of goodput, failures and all limited latencies."""
    if metric is None:
        return frozenset()
    latencies = {each.metric for each in profile.objectives if each.metric in LATENCIES}
    return frozenset({metric, "error_rate", *latencies} if metric == "goodput" else {metric})


def _tables(metric: str) -> tuple[str, ...]:
    """Returns the files a metric is computed from."""
    if metric in ("memory", "cpu"):
        return ("records/series.parquet", "records/phases.parquet")
    if metric.startswith(PREFIX):
        return ("records/series.parquet", "records/prometheus.json", "records/phases.parquet")
    reads = ("records/reads.parquet",) if metric in ("itl", "throughput_tokens", "goodput") else ()
    return ("records/schedule.parquet", "records/requests.parquet", *reads, "records/phases.parquet")


def _no_limit(entry: Entry) -> Verdict:
    return Verdict(
        id=entry.id,
        case=entry.id,
        requirement=", ".join(entry.requirements),
        verdict=SKIPPED,
        reason="the profile sets no limit",
        method="none",
        records=(),
    )
