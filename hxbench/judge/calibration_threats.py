"""What the calibration of a run says of its instrument, for the ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hxbench import units
from hxbench.judge.instrument_threats import Found
from hxbench.judge.measured import Measured
from hxbench.stats.quantiles import nearest_rank

TO_TOKENS = ("ttft", "ttft_dispatch", "ttfb", "ttfo", "e2e")
NOTHING_COMPARED = "no stream was compared with the reference server"


def before(measured: Measured) -> Found:
    """Returns the p99 error of ttft before the load, in seconds: the median of a fixed number of tries.

    Runs from before the tries were kept hold the best of up to three.
    """
    found = measured.records.calibration.get("before")
    if found is None:
        return None, "not calibrated: `hxbench certify` does it, `hxbench run` does not"
    tries = found.get("tries", [found])
    if "error" in found or not tries or any(row.get("ttft_p99_s") is None for row in tries):
        return None, _why(found)
    in_order = sorted(tries, key=lambda row: row["ttft_p99_s"])
    median = in_order[len(in_order) // 2]
    return median["ttft_p99_s"], f"{_errors(median)} ({median['name']} before the load{_others(tries)})"


def _others(tries: Sequence[Mapping[str, Any]]) -> str:
    if len(tries) > 1:
        p99s = ", ".join(units.duration(row["ttft_p99_s"]) for row in tries)
        return f", the median of {len(tries)} tries: {p99s}"
    attempts = tries[0].get("attempts", 1)
    return f", the best of {attempts}, the others were not kept" if attempts > 1 else ""


def beside(measured: Measured) -> Found:
    """Returns the p99 error of itl of a slow stream beside the load, in seconds, of the worst trial."""
    worst, why = _worst_beside(measured, "itl_p99_s")
    if worst is None:
        return None, why
    return worst["itl_p99_s"], f"{_errors(worst)} ({worst['name']} beside the load)"


def beside_first_token(measured: Measured) -> Found:
    """Returns the p99 error of ttft of that stream as a share of what it bears on, of the worst trial.

    That is the tightest limit on a time to a token or, where there is none, the measured median ttft: an
    error can mislead a verdict only as far as it is large beside the limit that the verdict is about.
    Gaps are stamped by the kernel at both ends and have a limit in seconds; the dispatch is stamped by the
    program, which a busy server on the same machine can hold up, and few streams fit beside a load, so
    that this p99 is nearly always the largest error seen.
    """
    worst, why = _worst_beside(measured, "ttft_p99_s")
    limits = [each.limit for each in measured.records.profile.objectives if each.metric in TO_TOKENS]
    bears_on = min(limits) if limits else _median_ttft(measured)
    if worst is None or not bears_on:
        return None, why
    called = "the tightest limit" if limits else "the median ttft"
    against = f"the p99 error of {worst['ttft_n']} ttft is {units.duration(worst['ttft_p99_s'])}"
    return worst["ttft_p99_s"] / bears_on, f"{against}, {called} {units.duration(bears_on)}"


def _median_ttft(measured: Measured) -> float | None:
    return nearest_rank(np.sort(measured.attempted["ttft_s"].dropna().to_numpy()), 0.5)


def _worst_beside(measured: Measured, key: str) -> tuple[Mapping[str, Any] | None, str]:
    """Returns the trial with the largest error, or None and why: it is not known of every trial."""
    rows = measured.records.calibration.get("beside", [])
    unknown = [row for row in rows if row.get(key) is None]
    if unknown or not rows:
        return None, _why(unknown[0] if unknown else {})
    return max(rows, key=lambda row: row[key]), NOTHING_COMPARED


def _errors(row: Mapping[str, Any]) -> str:
    names = [name for name in ("ttft", "itl", "arrival") if row.get(f"{name}_n")]
    errors = ", ".join(
        f"of {row[f'{name}_n']} {name} {units.duration(row[f'{name}_p99_s'])}" for name in names
    )
    return f"p99 error {errors}"


def _why(row: Mapping[str, Any]) -> str:
    return str(row.get("error") or NOTHING_COMPARED)
