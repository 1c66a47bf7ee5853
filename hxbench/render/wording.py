"""Parts of a certificate as the words and numbers a reader sees; pages, tables and cards share them."""

import re
from collections.abc import Mapping
from typing import Any

from hxbench import units
from hxbench.plan.prometheus import PREFIX

Part = Mapping[str, Any]

_METRICS = {
    "ttft": "Time to first token",
    "ttft_dispatch": "Time to first token, from sending",
    "ttfb": "Time to first byte",
    "ttfo": "Time to first output",
    "connect": "Time to connect",
    "itl": "Time between tokens",
    "tpot": "Time per output token",
    "e2e": "Time to last token",
    "error_rate": "Error rate",
    "goodput": "Goodput",
    "throughput_tokens": "Output throughput",
    "throughput_requests": "Request throughput",
    "memory": "Server memory",
    "cpu": "Server processor",
    "memory_at_once": "Memory, requests at once",
    "memory_growth": "Memory grown by 20 answers",
    "memory_own_to_shared": "Memory, 4 servers to one",
    "memory_loaded": "Memory before the first request",
    "memory_leak": "Memory, growth a cycle",
    "alert_fires": "Alert fires, from the stop",
    "alert_received": "Alert received, from the stop",
    "alert_clears": "Alert clears, from the restore",
}
_STATISTICS = {"p99_9": "p99.9", "max": "longest", "share": "", "rate": "", "peak": "peak"}
# of a request's time, as `diagnosis.waterfall` calls them
PARTS = {
    "dispatch_wait_ns": "due to sent",
    "rest_ns": "before connecting",
    "connect_ns": "connecting",
    "send_ns": "sending",
    "server_ns": "to the first byte",
    "first_token_ns": "to the first token",
    "decode_ns": "to the last token",
    "total_ns": "in all",
}
_INSIDE = re.compile(r"(?<=\d) (?=\d{3}\b|%|(?:[nµm]?s|min|h|[kMGT]?B|tok/s|req/s)\b)")
COMPARATORS = {"<=": "≤", ">=": "≥", "<": "<", ">": ">"}


def names(certificate: Part) -> dict[str, str]:
    """Returns for each verdict's id what it is about: `Time to first token, p95`, `Health probe`."""
    cases = {entry["id"]: str(entry["name"]) for entry in certificate["catalogue"]}
    return {verdict["id"]: gate(verdict, cases) for verdict in certificate["verdicts"]}


def scope(certificate: Part) -> str:
    """Returns what it is that was looked at: `level 1`, or of what is no run its kind."""
    return f"level {certificate['level']}" if "level" in certificate else str(certificate["kind"])


def gate(verdict: Part, cases: Mapping[str, str]) -> str:
    """Returns what a verdict is about; `cases` are the names of the catalogue's cases by their ids."""
    metric, statistic = verdict["metric"], verdict["statistic"] or ""
    if metric is None:
        part = str(verdict["id"]).removeprefix(str(verdict["case"])).removeprefix(".")
        return ": ".join(text for text in (cases.get(verdict["case"], ""), _words(part)) if text)
    if metric.startswith(PREFIX):
        return f"{_words(metric.removeprefix(PREFIX))} by Prometheus, {statistic}"
    return ", ".join(
        part for part in (_METRICS.get(metric, metric), _STATISTICS.get(statistic, statistic)) if part
    )


def _words(key: str) -> str:
    return key.replace("_", " ")


def amount(value: float | None, unit: str | None) -> str:
    """Returns a value in its unit; a dash when there is none."""
    return units.number(value) if unit is None else units.value(value, unit)


def measured(verdict: Part) -> str:
    """Returns the estimate of a verdict."""
    return amount(verdict["estimate"], verdict["unit"])


def limit(verdict: Part) -> str:
    """Returns the limit of a verdict with its comparison: `≤ 500 ms`."""
    return bound(verdict["comparator"], verdict["limit"], verdict["unit"])


def bound(comparator: str | None, value: float | None, unit: str | None) -> str:
    """Returns a limit as text: `≤ 500 ms`."""
    if comparator is None or value is None:
        return units.ABSENT
    return f"{COMPARATORS[comparator]} {amount(value, unit)}"


def interval(verdict: Part) -> str:
    """Returns the interval that decided: `98.2 to 131 ms`; an open end is said."""
    low, high = verdict["interval"]
    if low is None and high is None:
        return units.ABSENT
    if high is None:
        return f"{amount(low, verdict['unit'])} or more"
    if low is None:
        return f"{amount(high, verdict['unit'])} or less"
    first, last = amount(low, verdict["unit"]), amount(high, verdict["unit"])
    unit = last.rpartition(" ")[2]
    return f"{first if unit.isdigit() else first.removesuffix(f' {unit}')} to {last}"


def together(text: str) -> str:
    """Returns a sentence whose numbers are never parted from their units by the end of a line."""
    return _INSIDE.sub("\u00a0", text)


def confidence(verdict: Part) -> str:
    """Returns the confidence of the bound that decided: `97.5 %`."""
    return units.share(verdict["confidence"])


def counts(certificate: Part) -> str:
    """Returns the counts of verdicts as a line: `9 passed, 1 inconclusive`."""
    found = [f"{units.count(number)} {name}" for name, number in certificate["counts"].items() if number]
    return ", ".join(found) or "nothing was checked"


def taken(asked: Part) -> str:
    """Returns how the answers to a query are taken: `max`, `mean, a bound`."""
    return f"{asked['statistic']}{', a bound' if asked['is_bound'] else ''}"


def answered(asked: Part) -> list[str]:
    """Returns how many samples a query gave, and each remark on them."""
    nan = f", {units.count(asked['not_numbers'])} not a number" if asked["not_numbers"] else ""
    old = ", which may be up to 5 minutes old" if asked["may_be_old"] else ""
    given = f"{units.count(asked['samples'])} samples{nan}{old}"
    return [given, *(f"warns: {each}" for each in asked["warnings"]), *asked["errors"]]


def moment(text: str | None) -> str:
    """Returns an ISO 8601 time in UTC as a reader writes it: `2026-01-02 03:06:05 UTC`."""
    if text is None:
        return units.ABSENT
    return text.replace("T", " ", 1).removesuffix("Z").removesuffix("+00:00") + " UTC"


def short_hash(sha256: str | None) -> str:
    """Returns the first twelve digits of a hash."""
    return units.ABSENT if not sha256 else sha256[:12]


def plain(value: Any) -> str:
    """Returns any value of a document as text: lists and mappings in one line, null as a dash."""
    if value is None:
        return units.ABSENT
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items()) or units.ABSENT
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or units.ABSENT
    return str(value)
