"""A calibration as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from hxbench import units

_HEADS = ("ttft bias", "ttft p99", "itl bias", "itl p99", "arrival p99")
_KEYS = ("ttft_bias_s", "ttft_p99_s", "itl_bias_s", "itl_p99_s", "arrival_p99_s")
_RATES = {"tokens": ("tokens_per_s", "tok/s"), "requests": ("requests_per_s", "req/s")}


def as_text(calibration: Mapping[str, Any]) -> str:
    """Returns the errors of each experiment, then how much load goes through and what limits it."""
    rows = calibration["experiments"]
    lines = [f"{'instrument less truth':<36}" + "".join(f"{head:>13}" for head in _HEADS)]
    for row in (each for each in rows if each["measures"] not in _RATES):
        cells = [units.duration(row[key]) for key in _KEYS]
        lines.append(f"{row['name']:<36}" + "".join(f"{cell:>13}" for cell in cells))
    capacities = [each for each in rows if each["measures"] in _RATES]
    if capacities:
        lines += ["", f"{'most on this machine':<36}{'reached':>15}  limited by"]
    for row in capacities:
        key, unit = _RATES[row["measures"]]
        lines.append(f"{row['name']:<36}{units.rate(row[key], unit):>15}  {_limit(row)}")
    return "\n".join(lines)


def _limit(row: Mapping[str, Any]) -> str:
    used = (
        f"load worker {units.share(row['worker_cpu_share'])}, "
        f"server {units.share(row['server_cpu_share'])} of a core"
    )
    return f"{row['limited_by']} ({used})"
