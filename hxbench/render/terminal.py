"""A run's numbers as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hxbench import units
from hxbench.judge.diagnosis import PARTS
from hxbench.judge.verify import Verification
from hxbench.render import wording
from hxbench.render.tables import aligned, stage_rows

_COLUMNS = ("mean", "p50", "p95", "p99", "max")
_LATENCIES = ("ttft", "ttft_dispatch", "connect", "itl", "tpot", "e2e")


def summary_text(summary: Mapping[str, Any]) -> str:
    """Returns latencies and their quantiles, rates, errors, tokens, stages, what the slow tail waited for."""
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
    lines += [f"\n{summary['diagnosis']}"] if summary["diagnosis"] else []
    return "\n".join(lines)


def verification_text(found: Verification) -> str:
    """Returns one line a group of checks, its faults below it, and the verdict last."""
    lines = []
    for group in found.groups:
        sign = "✕" if group.faults else "✓"
        lines += [f"{sign} {group.name:<13}{group.says}", *(f"    {fault}" for fault in group.faults)]
    lines += [f"note: {note}" for note in found.notes]
    if found.faults:
        lines.append(f"NOT VERIFIED: {found.run}: faults found: {units.count(len(found.faults))}")
    else:
        lines.append(f"VERIFIED: {found.run} holds what its records give: {found.status}")
    return "\n".join(lines)


def waterfall_text(frame: pd.DataFrame, diagnosis: str | None) -> str:
    """Returns where the time of the median and of the slowest request went, and what the slow tail is."""
    if frame.empty:
        return "no request was answered: there is no time to take apart"
    rows = {"median": frame.iloc[len(frame) // 2], "slowest": frame.iloc[0]}
    lines = [f"{'one request':<20}" + "".join(f"{name:>12}" for name in rows)]
    for part in (*PARTS, "total_ns"):
        cells = [units.duration(row[part] / 1e9) for row in rows.values()]
        lines.append(f"  {wording.PARTS[part]:<18}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join([*lines, *([diagnosis] if diagnosis else [])])


def translation_text(table: pd.DataFrame) -> str:
    """Returns a table a tool: our figure, theirs by their definition, and below why they differ."""
    return "\n\n".join(_tool_text(str(name), rows) for name, rows in table.groupby("tool", sort=False))


def _tool_text(name: str, rows: pd.DataFrame) -> str:
    lines = [f"{name:<26}{'hxbench':>14}{name:>14}"]
    for row in rows.to_dict("records"):
        figures = [None if pd.isna(row[each]) else float(row[each]) for each in ("hxbench", "theirs")]
        cells = "".join(f"{wording.amount(each, row['unit']):>14}" for each in figures)
        lines.append(f"  {row['metric'] + ' ' + row['statistic']:<24}{cells}")
    reasons = rows.groupby("why", sort=False)["metric"].unique()
    return "\n".join([*lines, *(f"  {', '.join(metrics)}: {why}" for why, metrics in reasons.items())])
