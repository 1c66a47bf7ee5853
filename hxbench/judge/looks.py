"""Planned looks: what the limits say after some of the trials, and whether a run may end there.

Each look judges all that was recorded by then at its share of the error probabilities (Bonferroni), so that a
run errs no more often than with one look, whichever it ends at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hxbench import units
from hxbench.judge import threats
from hxbench.judge.evidence import ALPHA_FAIL, ALPHA_PASS
from hxbench.judge.judging import judged
from hxbench.judge.measured import Measured
from hxbench.judge.verdicts import FAIL, PASS, Verdict
from hxbench.records.run_directory import Records, open_records


@dataclass(frozen=True)
class Look:
    """What the limits said after so many trials; `undecided` are those neither passed nor failed."""

    after_trials: int
    alpha_pass: float
    alpha_fail: float
    undecided: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the look as JSON has it."""
        return asdict(self) | {"undecided": list(self.undecided)}


def recorded_trials(records: Records) -> int:
    """Returns how many trials were begun."""
    return int(records.schedule["trial"].max()) if len(records.schedule) else 0


def is_decided(run_dir: Path) -> bool:
    """Tells of what is recorded so far whether every limit is decided by it, as `judge` would."""
    return not undecided(_judged(open_records(run_dir)))


def undecided(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Returns the ids of the limits that are neither passed nor failed."""
    return tuple(each.id for each in verdicts if each.metric is not None and each.verdict not in (PASS, FAIL))


def taken(records: Records, verdicts: Sequence[Verdict]) -> list[Look]:
    """Returns the planned looks that a run has come to; the verdicts are those of the whole run.

    A run that was cut short was never looked at where it stopped.
    """
    trials, whole = recorded_trials(records), records.ending["state"] == "complete"
    looks = [
        _look(records, after, _judged(until(records, after)))
        for after in records.profile.looks_after
        if after < trials
    ]
    at_the_end = trials in records.profile.looks_after and whole
    return [*looks, _look(records, trials, verdicts)] if at_the_end else looks


def _look(records: Records, after: int, verdicts: Sequence[Verdict]) -> Look:
    looks = records.profile.load.looks
    return Look(after, ALPHA_PASS / looks, ALPHA_FAIL / looks, undecided(verdicts))


def _judged(records: Records) -> list[Verdict]:
    measured = Measured(records)
    return judged(measured, threats.entries(measured))


def contradictions(records: Records) -> Iterator[str]:
    """Yields why a run that says it came to its end cannot have ended after so many trials."""
    trials, planned = recorded_trials(records), records.profile.looks_after
    if trials not in planned:
        after = ", ".join(map(str, planned))
        yield f"records/schedule.parquet: ends after trial {trials}, at no planned look (after {after})"
    elif trials < planned[-1] and (still := undecided(_judged(records))):
        yield (
            f"records/schedule.parquet: ends after trial {trials} of {planned[-1]}, where not every limit "
            f"is decided ({', '.join(still)})"
        )


def until(records: Records, trials: int) -> Records:
    """Returns what had been recorded after so many trials."""

    def of_those(name: str) -> Any:
        frame = getattr(records, name)
        return frame[frame["trial"] <= trials].reset_index(drop=True)

    tables = {name: of_those(name) for name in ("schedule", "requests", "series", "phases")}
    reads, clock, calibration = records.reads, records.clock, dict(records.calibration)
    if "beside" in calibration:  # one row a trial
        calibration["beside"] = calibration["beside"][:trials]
    return replace(
        records,
        **tables,
        reads=reads[reads["request_id"].isin(tables["requests"]["request_id"])].reset_index(drop=True),
        clock=clock[clock["monotonic_ns"] <= tables["phases"]["end_ns"].max()].reset_index(drop=True),
        exchanges=[each for each in records.exchanges if each["trial"] <= trials],
        watched=[each for each in records.watched if each["trial"] <= trials],
        calibration=calibration,
    )


def notes(records: Records, looks: Sequence[Look]) -> Iterator[str]:
    """Yields what a reader must know of a run that ended at one of several planned looks."""
    planned, trials = records.profile.looks_after, recorded_trials(records)
    if len(planned) == 1 or not looks or looks[-1].after_trials != trials:
        return
    last = looks[-1]
    decided = "not every limit" if last.undecided else "every limit"
    yield (
        f"Ended at look {len(looks)} of {len(planned)}, after {trials} of {planned[-1]} trials: {decided} is "
        f"decided. Each look errs with its share: {units.share(last.alpha_pass)} for a PASS, "
        f"{units.share(last.alpha_fail)} for all FAILs."
    )
    before = [str(look.after_trials) for look in looks[:-1] if not look.undecided]
    if before:
        yield (
            f"Every limit was decided after {before[0]} trials already; the later ones were recorded all the "
            "same, and the verdicts rest on all of them."
        )
