"""A run's numbers as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from hxbench import units
from hxbench.render.run_view import aligned, stage_rows

_COLUMNS = ("mean", "p50", "p95", "p99", "max")
_LATENCIES = ("ttft", "ttft_dispatch", "connect", "itl", "tpot", "e2e")


def summary_text(summary: Mapping[str, Any]) -> str:
    """Returns the latencies with their quantiles, then rates, errors and tokens, then the stages."""
    lines = [f"{'':<14}" + "".join(f"{name:>11}" for name in ("n", *_COLUMNS))]
    for metric in _LATENCIES:
        values = summary[metric]
        cells = [units.count(values["n"]), *(units.duration(values[name]) for name in _COLUMNS)]
        lines.append(f"{metric:<14}" + "".join(f"{cell:>11}" for cell in cells))
    counts = summary["counts"]
    lines += [
        "",
        f"{'throughput':<14}{units.rate(summary['throughput_tokens']['window'], 'tok/s'):>11}"
        f"{units.rate(summary['throughput_requests']['window'], 'req/s'):>16}",
        f"{'errors':<14}{units.share(summary['error_rate']):>11}"
        f"{units.count(counts['attempted'] - counts['ok']):>9} of {units.count(counts['attempted'])}",
    ]
    lines += [f"  {phase:<12}{units.count(n):>11}" for phase, n in counts["by_error_phase"].items()]
    lines += ["", *aligned(stage_rows(summary["stages"]))] if summary["stages"] else []
    return "\n".join(lines)
