"""The certificate as OpenMetrics text, which GitLab compares between branches and Prometheus reads."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hxbench.judge.certificate import exit_status
from hxbench.judge.panels import Number, levels, performance

# our unit: the unit as OpenMetrics names it, the last word of a metric's name
_UNITS = {
    "s": "seconds", "B": "bytes", "share": "ratio", "cores": "cores", "tok/s": "tokens_per_second",
    "req/s": "requests_per_second", "count": "", "ratio": "ratio",
}  # fmt: skip
_VERDICTS = {"PASS": 0, "FAIL": 1, "SKIPPED": 2, "INCONCLUSIVE": 3}
# GitLab takes # for the beginning of a comment, also between quotes; a control character breaks a line
_NO_LABEL = re.compile(r"[#\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PARTS = {
    "": ("estimate", "what was measured"),
    "_low": ("low", "lower end of the interval"),
    "_high": ("high", "upper end of the interval"),
    "_limit": ("limit", "what the profile allows"),
}

Samples = Iterable[tuple[Mapping[str, str], float | None]]


def text(certificate: Mapping[str, Any]) -> str:
    """Returns status, verdicts, counts, of each gate estimate, interval and limit, and what panels show.

    Labels name the model and the profile, never the run: two runs are compared sample by sample. What was
    not measured has no sample.
    """
    shared = about(certificate)
    lines = [*_status(certificate, shared), *_gates(certificate["verdicts"], shared)]
    return _whole([*lines, *_panels(certificate, performance(certificate))])


def panels_text(certificate: Mapping[str, Any], numbers: Iterable[Number]) -> str:
    """Returns the numbers of the panels by their names, and the status of the levels."""
    return _whole(_panels(certificate, numbers))


def _whole(lines: Iterable[str]) -> str:
    return "\n".join([*lines, "# EOF", ""])


def about(certificate: Mapping[str, Any]) -> dict[str, str]:
    """Returns the labels that every sample has."""
    return {"model": str(certificate["target"]["model"]), "profile": str(certificate["profile"]["name"])}


def _status(certificate: Mapping[str, Any], about: Mapping[str, str]) -> Iterator[str]:
    yield from _family(
        "hxbench_status", "", "0 CERTIFIED, 1 FAILED, 3 CONDITIONAL, 4 INCOMPLETE: the exit status.",
        [(about, exit_status(certificate))],
    )  # fmt: skip
    score = certificate["score"]
    yield from _family(
        "hxbench_score_ratio", "ratio", "Share of the required cases that passed.",
        [(about, None if score is None else score / 100)],
    )  # fmt: skip
    yield from _family(
        "hxbench_verdicts", "", "How many verdicts there are of each kind.",
        [({**about, "verdict": name}, number) for name, number in certificate["counts"].items()],
    )  # fmt: skip
    yield from _family(
        "hxbench_verdict", "", "0 PASS, 1 FAIL, 2 SKIPPED, 3 INCONCLUSIVE.",
        [
            ({**about, "check": str(each["id"])}, _VERDICTS.get(each["verdict"], _VERDICTS["INCONCLUSIVE"]))
            for each in certificate["verdicts"]
        ],
    )  # fmt: skip


def _panels(certificate: Mapping[str, Any], numbers: Iterable[Number]) -> Iterator[str]:
    shared = about(certificate)
    for each in numbers:
        yield from _family(each.name, "", f"{each.says}.", [(shared, each.exported)])
    statuses = levels(certificate).items()
    yield from _family(
        "certification_status", "", "Of each level: 0 CERTIFIED, 1 FAILED, 3 CONDITIONAL, 4 INCOMPLETE.",
        [
            ({**shared, "level": str(level)}, exit_status({"status": status}) if status else None)
            for level, status in statuses
        ],
    )  # fmt: skip


def _gates(verdicts: Iterable[Mapping[str, Any]], about: Mapping[str, str]) -> Iterator[str]:
    by_metric: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for verdict in verdicts:
        if verdict["metric"] is not None:
            metric, _, _ = verdict["metric"].partition(".")
            by_metric.setdefault((metric, _UNITS[verdict["unit"]]), []).append(verdict)
    for (metric, unit), mine in by_metric.items():
        stem = metric.removesuffix(f"_{unit.partition('_')[0]}")  # throughput_tokens is in tokens_per_second
        for ending, (part, says) in _PARTS.items():
            samples = [({**about, **_which(each)}, _part(each, part)) for each in mine]
            name = f"hxbench_{stem}{ending}_{unit}".removesuffix("_")
            yield from _family(name, unit, f"{metric}: {says}.", samples)


def _which(verdict: Mapping[str, Any]) -> dict[str, str]:
    """Returns the labels of a verdict among those of its metric: its statistic, and Prometheus' query."""
    query = verdict["metric"].partition(".")[2]
    return {"statistic": str(verdict["statistic"])} | ({"query": query} if query else {})


def _part(verdict: Mapping[str, Any], part: str) -> float | None:
    low, high = verdict["interval"]
    value: float | None = {**verdict, "low": low, "high": high}[part]
    return value


def _family(name: str, unit: str, says: str, samples: Samples) -> Iterator[str]:
    """Yields one gauge with its samples; nothing of one without any."""
    measured = [(labels, value) for labels, value in samples if value is not None]
    if not measured:
        return
    yield from head(name, "gauge", unit, says)
    for labels, value in measured:
        yield sample(name, labels, value)


def head(name: str, kind: str, unit: str, says: str) -> Iterator[str]:
    """Yields what stands above the samples of a family."""
    yield f"# TYPE {name} {kind}"
    yield from [f"# UNIT {name} {unit}"] if unit else []
    yield f"# HELP {name} {says}"


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """Returns the line of one sample; a value is written as short as it can be read back."""
    inside = ",".join(f'{key}="{_escaped(label(each))}"' for key, each in labels.items())
    return f"{name}{{{inside}}} {'+Inf' if value == math.inf else repr(value)}"


def label(value: str) -> str:
    """Returns a label's value without what GitLab or a line of text cannot hold."""
    return _NO_LABEL.sub("_", value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
