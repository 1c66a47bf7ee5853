"""The certificate: everything a reviewer reads, as one JSON value made from the records alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hxbench import units
from hxbench.judge import looks as planned_looks
from hxbench.judge import threats, watched
from hxbench.judge.consistency import contradictions
from hxbench.judge.judging import judged
from hxbench.judge.looks import Look
from hxbench.judge.measured import Measured
from hxbench.judge.requests import window_lengths
from hxbench.judge.summary import summarised
from hxbench.judge.verdicts import FAIL, INCONCLUSIVE, PASS, SKIPPED, Verdict, worst
from hxbench.plan.catalogue import Entry, cases
from hxbench.plan.load import Load
from hxbench.plan.profile import REFERENCE, Profile
from hxbench.records.run_directory import Records

SCHEMA = 1
CERTIFIED, CONDITIONAL, FAILED, INCOMPLETE = "CERTIFIED", "CONDITIONAL", "FAILED", "INCOMPLETE"
MEASURED = "MEASURED"  # of what was not to be judged, see `results`
MOCK = "Measured against the reference server, which certifies the workbench, not a target."
NOT_RUN = "NOT RUN"
BAD_INPUTS = ("empty_prompt", "broken_json", "negative_max_tokens", "above_context")
LISTED = 4
LISTED_STAGES = 20
_EXIT = {CERTIFIED: 0, FAILED: 1, CONDITIONAL: 3, INCOMPLETE: 4}
_EXIT |= {PASS: 0, FAIL: 1, INCONCLUSIVE: 3, MEASURED: 0}  # of what is no run


def build(records: Records) -> dict[str, Any]:
    """Returns the certificate of a run; every number is finite or None.

    Takes time from the records, never from a clock, so that the same records give the same bytes.
    """
    broken = contradictions(records)  # before the frames that gates need lie in memory as well
    measured = Measured(records)
    entries = threats.entries(measured)
    catalogue = cases(records.profile)
    verdicts = judged(measured, entries)
    looks = planned_looks.taken(records, verdicts)
    table = [_row(entry, verdicts, records.profile) for entry in catalogue]
    status, reason = status_of(records, broken, verdicts, table)
    facts = records.facts
    return {
        "schema": SCHEMA,
        "hxbench": facts.get("hxbench"),
        "run": records.path.name,
        "created": facts.get("finished_utc"),
        "level": 1,
        "status": status,
        "status_reason": reason,
        "score": _score(table),
        "target": target(records.profile, records.facts),
        "profile": {"name": records.profile.name, "sha256": records.profile_sha256},
        "counts": counts(verdicts),
        "verdicts": [each.as_dict() for each in verdicts],
        "ledger": [each.as_dict() for each in entries],
        "looks": [each.as_dict() for each in looks],
        "catalogue": table,
        "summary": summarised(measured),
        "measurement": _measurement(measured),
        "declarations": _declarations(records),
        "calibration": dict(records.calibration),
        **({"prometheus": watched.asked_of(records)} if records.watched else {}),
        "notes": _notes(records, looks),
    }


def exit_status(certificate: Mapping[str, Any]) -> int:
    """Returns 0 certified or passed, 1 failed, 3 undecided, 4 incomplete; 0 also where nothing was judged."""
    return _EXIT[certificate["status"]]


def _row(entry: Entry, verdicts: Sequence[Verdict], profile: Profile) -> dict[str, Any]:
    mine = [each for each in verdicts if each.case == entry.id]
    verdict = worst([each.verdict for each in mine])
    deciding = [each for each in mine if each.verdict == verdict]
    reasons = [f"{each.id}: {each.reason}" if len(mine) > 1 else each.reason for each in deciding]
    chosen = ", ".join(profile.checks) or "none"
    return {
        "id": entry.id,
        "name": entry.name,
        "requirement": ", ".join(entry.requirements),
        "priority": entry.priority,
        "type": entry.type,
        "verdict": verdict or NOT_RUN,
        "evidence": [each.id for each in mine],
        "reason": "; ".join(reasons) or f"not among the profile's checks ({chosen})",
    }


def status_of(
    records: Records,
    broken: Sequence[str],
    verdicts: Sequence[Verdict],
    table: Sequence[Mapping[str, Any]],
) -> tuple[str, str]:
    """Returns the status and one sentence that says why; `broken` are the records' contradictions."""
    if records.ending["state"] != "complete":
        why = records.ending["reason"] or "no reason is recorded"
        return INCOMPLETE, f"The run did not come to its end: {why}."
    if broken:
        return INCOMPLETE, f"The records contradict themselves: {listed(broken)}."
    failed = [each.id for each in verdicts if each.verdict == FAIL]
    if failed:
        return FAILED, f"{len(failed)} of {len(verdicts)} verdicts failed: {', '.join(failed)}."
    if records.profile.target.server == REFERENCE:
        return CONDITIONAL, MOCK
    undecided = [each.id for each in verdicts if each.verdict == INCONCLUSIVE]
    not_run = [row["id"] for row in table if row["verdict"] == NOT_RUN]
    open_points = [f"undecided: {listed(undecided)}"] * bool(undecided)
    open_points += [f"not run: {listed(not_run)}"] * bool(not_run)
    if open_points:
        return CONDITIONAL, f"Nothing failed, but not everything is decided ({'; '.join(open_points)})."
    passed = sum(each.verdict == PASS for each in verdicts)
    if not passed:
        return CONDITIONAL, "Nothing was judged: the profile sets no limit and asks for no check."
    skipped = ", ".join(each.id for each in verdicts if each.verdict == SKIPPED)
    more = f" (not asked for: {skipped})" if skipped else ""
    return CERTIFIED, f"All {passed} verdicts that the profile asks for at level 1 passed{more}."


def listed(ids: Sequence[str]) -> str:
    """Returns ids or sentences in words, the first and a number when they are many."""
    return ", ".join(ids) if len(ids) <= LISTED else f"{ids[0]} and {len(ids) - 1} more"


def _score(table: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns the share of required cases that passed, of 100 (R2.6); None when none is required."""
    required = [row["verdict"] for row in table if row["verdict"] != SKIPPED]
    return round(100 * required.count(PASS) / len(required), 1) if required else None


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Returns how many verdicts there are of each kind."""
    counted = Counter(each.verdict for each in verdicts)
    names = {"passed": PASS, "failed": FAIL, "inconclusive": INCONCLUSIVE, "skipped": SKIPPED}
    return {name: counted[verdict] for name, verdict in names.items()}


def target(profile: Profile, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was asked, and what is known of it."""
    asked = profile.target
    return {
        "model": asked.model,
        "server": asked.server,
        "protocol": asked.protocol,
        "build": facts.get("server", {}).get("build"),
        "loaded_model": facts.get("model", {}).get("file"),
    }


def _measurement(measured: Measured) -> dict[str, Any]:
    load, trials = measured.records.profile.load, planned_looks.recorded_trials(measured.records)
    return {
        "loop": load.loop,
        **_shape(load),
        "trials": trials,
        "measured_s": sum(window_lengths(measured.records).values()),
        "requests": len(measured.attempted),
        **_instrument(measured.records),
        "repeatability": "not assessed (one trial)" if load.trials == 1 else f"{trials} trials",
    }


def _instrument(records: Records) -> dict[str, Any]:
    """Returns how the load was put on; nothing of a run recorded before that was kept."""
    facts = records.facts.get("instrument")
    if facts is None:
        return {}
    asked, obtained = facts["priority"], facts["priority_obtained"]
    shown = asked if asked == obtained else f"{asked} asked for, {obtained} obtained"
    return {"load_workers": facts["workers"], "priority": shown}


def _shape(load: Load) -> dict[str, Any]:
    """Returns what was asked for, scale included, without the keys that the load leaves out."""
    stages = [
        f"{name}: {_from_to(rate.begin, rate.end)} for {units.duration(seconds)}"
        for name, rate, seconds in load.slopes
        if name is not None
    ]
    if len(stages) > LISTED_STAGES:
        rates = [each for _, rate, _ in load.slopes for each in (rate.begin, rate.end)]
        stages = [f"{len(stages)} of them: {_from_to(min(rates), max(rates))}"]
    asked = {
        "users": load.scaled_users if load.loop == "closed" else None, "ramp_up_s": load.ramp_up_s or None,
        **_thinking(load),
        "rate": None if load.rate is None else load.rate * load.scale, "stages": stages or None,
        "trace": load.trace,
        "arrivals": load.arrivals, "burstiness": load.burstiness, "max_in_flight": load.max_in_flight,
        "scale": None if load.scale == 1 else load.scale,
        "time_scale": None if load.time_scale == 1 else load.time_scale,
    }  # fmt: skip
    return {name: value for name, value in asked.items() if value is not None}


def _from_to(begin: float, end: float) -> str:
    return f"{' to '.join(dict.fromkeys(map(units.number, (begin, end))))} req/s"


def _thinking(load: Load) -> dict[str, Any]:
    if load.think_time is None:
        return {}
    drawn = load.think_time.distribution
    return {
        "think_time_s": load.scaled(load.think_time.mean),
        "think_time_distribution": None if drawn == "constant" else drawn,
    }


def _declarations(records: Records) -> dict[str, Any]:
    """Returns for each bad input the HTTP status declared and the one seen."""
    declared: dict[str, int] = {str(name): status for name, status in records.profile.declares.items()}
    seen = {each["name"]: each["status"] for each in records.exchanges if each["name"] in BAD_INPUTS}
    return {
        name: {"declared": declared.get(name), "seen": seen.get(name)}
        for name in BAD_INPUTS
        if name in declared or name in seen
    }


def _notes(records: Records, looks: Sequence[Look]) -> list[str]:
    profile, earlier = records.profile, records.facts.get("earlier_runs")
    notes = ["Repeatability not assessed (one trial)."] if profile.load.trials == 1 else []
    notes += [*planned_looks.notes(records, looks), *watched.notes(records)]
    if not profile.workload.stream:
        notes.append("Answers were not streamed: a first token is seen with the last, at the answer's end.")
    notes += _lengths_of_prompts(records.facts.get("prompts") or {})
    notes.append(
        "Intervals allow for dependence between requests as far as the run shows it (n_eff); they do not for "
        "a slow state that it met a few times at most."
    )
    if (records.schedule["turn"] > 0).any():
        notes.append("So are the turns of a conversation; where they are alike, intervals are too narrow.")
    if profile.load.scale != 1:
        factor = units.number(profile.load.scale)
        notes.append(f"Users and rates are the profile's times {factor}: all this holds for that load only.")
    if earlier:
        notes.append(f"Attempt {earlier + 1}: earlier runs of this same profile lie beside this one.")
    if profile.load.time_scale != 1:
        factor = units.number(profile.load.time_scale)
        notes.append(f"The load's times are the profile's times {factor}: all this holds for that load only.")
    missing = profile.not_executed.model_dump(mode="json", exclude_none=True) if profile.not_executed else {}
    if missing:
        parts = ", ".join(f"{name} {value}" for name, value in missing.items())
        notes.append(f"The source's scenario asks for more than was executed: {parts}.")
    return [*notes, profile.note] if profile.note else notes


def _lengths_of_prompts(written: Mapping[str, Any]) -> list[str]:
    """Returns a sentence on the prompts that were made up to a length, where there are any."""
    made_up, exact = written.get("made_up"), written.get("exact")
    if not made_up:
        return []
    if exact is None:
        return ["Prompt lengths are by words, not checked: the server has no tokenizer to ask."]
    counted = "All" if exact == made_up else f"{units.count(exact)} of {units.count(made_up)}"
    return [f"{counted} prompts made up to a length have it by the server's tokenizer, its template apart."]
