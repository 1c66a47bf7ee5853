"""What the calibration of a run says of its instrument, for the ledger."""

from collections.abc import Mapping
from typing import Any

from hxbench import units
from hxbench.judge.instrument_threats import Found
from hxbench.judge.measured import Measured


def before(measured: Measured) -> Found:
    """Returns the p99 error of ttft in the short calibration before the load, in seconds."""
    row = measured.records.calibration.get("before")
    if row is None:
        return None, "not calibrated: `hxbench certify` does it, `hxbench run` does not"
    if row.get("ttft_p99_s") is None:
        return None, _why(row)
    tries = f", the best of {row['attempts']}" if row["attempts"] > 1 else ""
    return row["ttft_p99_s"], f"{_errors(row)} ({row['name']} before the load{tries})"


def beside(measured: Measured) -> Found:
    """Returns the p99 error of itl of a slow stream beside the load, in seconds, of the worst trial."""
    rows = measured.records.calibration.get("beside", [])
    known = [row for row in rows if row.get("itl_p99_s") is not None]
    if not known or len(known) < len(rows):
        return None, _why(next((row for row in rows if row not in known), {}))
    worst = max(known, key=lambda row: row["itl_p99_s"])
    return worst["itl_p99_s"], f"{_errors(worst)} ({worst['name']} beside the load)"


def _errors(row: Mapping[str, Any]) -> str:
    ttft, itl = units.duration(row["ttft_p99_s"]), units.duration(row["itl_p99_s"])
    return f"p99 error of {row['ttft_n']} ttft is {ttft}, of {row['itl_n']} itl {itl}"


def _why(row: Mapping[str, Any]) -> str:
    return str(row.get("error") or "no stream was compared with the reference server")
