"""Objectives: the limits a run must hold, as they are written in a profile and as the gates read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hxbench import units
from hxbench.plan.messages import suggestion

Comparator = Literal["<", "<=", ">", ">="]
LATENCIES = ("ttft", "ttft_dispatch", "ttfb", "ttfo", "connect", "itl", "tpot", "e2e")
QUANTILES = ("p50", "p90", "p95", "p99", "p99_9", "mean", "max")


@dataclass(frozen=True)
class Objective:
    """One limit in the unit of its metric: seconds, a fraction, per second, bytes or cores."""

    metric: str
    statistic: str
    comparator: Comparator
    limit: float
    unit: str


@dataclass(frozen=True)
class _Metric:
    statistics: tuple[str, ...]
    unit: str
    kind: str  # of quantity, see units.parse
    at_most: float  # no sensible limit lies above
    from_below: bool = False  # the limit is a least value, not a greatest

    @property
    def comparators(self) -> tuple[Comparator, Comparator]:
        """Returns the inclusive comparator, which a plain quantity means, and the strict one."""
        return (">=", ">") if self.from_below else ("<=", "<")


METRICS: Mapping[str, _Metric] = {
    **{name: _Metric(QUANTILES, "s", "duration", 86_400) for name in LATENCIES},
    "error_rate": _Metric(("share",), "share", "share", 1),
    "goodput": _Metric(("share",), "share", "share", 1, from_below=True),
    "throughput_tokens": _Metric(("rate",), "tok/s", "tokens_rate", 1e9, from_below=True),
    "throughput_requests": _Metric(("rate",), "req/s", "rate", 1e9, from_below=True),
    "memory": _Metric(("peak",), "B", "size", 1e15),
    "cpu": _Metric(("mean", "max"), "cores", "cores", 1e5),
}
WORDS: Mapping[str, Comparator] = {"at_most": "<=", "below": "<", "at_least": ">=", "above": ">"}
_LONGEST_FIRST: tuple[Comparator, ...] = ("<=", ">=", "<", ">")


class ObjectiveError(ValueError):
    """What is wrong with one objective, and the keys that lead to it."""

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def read(written: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Returns the objectives of a profile's mapping, in its order; null leaves one out.

    Raises: ObjectiveError at the first that is not understood.
    """
    return tuple(objective for name in written for objective in _of_metric(name, written[name]))


def write(objectives: tuple[Objective, ...]) -> dict[str, Any]:
    """Returns the mapping that `read` turns back into the same objectives."""
    written: dict[str, Any] = {}
    for each in objectives:
        metric = METRICS[each.metric]
        text = f"{each.comparator} {units.exact(each.limit, metric.kind)}"
        if len(metric.statistics) == 1:
            written[each.metric] = text
        else:
            written.setdefault(each.metric, {})[each.statistic] = text
    return written


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of the mapping."""
    return {"type": "object", "additionalProperties": False, "properties": dict(map(_schema, METRICS))}


def _schema(name: str) -> tuple[str, dict[str, Any]]:
    metric = METRICS[name]
    quantity = {"type": ["string", "number"]}
    words = {word: quantity for word, sign in WORDS.items() if sign in metric.comparators}
    limit = {"anyOf": [quantity, _closed(words), {"type": "null"}]}
    if len(metric.statistics) == 1:
        return name, {**limit, "description": f"a limit in {metric.unit}"}
    statistics = _closed(dict.fromkeys(metric.statistics, limit), most=len(metric.statistics))
    return name, {"anyOf": [statistics, {"type": "null"}], "description": f"limits in {metric.unit}"}


def _closed(properties: dict[str, Any], most: int = 1) -> dict[str, Any]:
    return {
        "type": "object", "additionalProperties": False, "minProperties": 1, "maxProperties": most,
        "properties": properties,
    }  # fmt: skip


def _of_metric(name: str, written: Any) -> Iterator[Objective]:
    if name not in METRICS:
        raise ObjectiveError((name,), f"unknown metric; {suggestion(name, METRICS)}")
    statistics = METRICS[name].statistics
    if written is None:
        return
    if len(statistics) == 1:
        yield _objective(name, statistics[0], written, (name,))
        return
    if not isinstance(written, Mapping) or not written:
        raise ObjectiveError((name,), f"expected a mapping of {', '.join(statistics)} to limits")
    for statistic in written:
        if statistic not in statistics:
            raise ObjectiveError((name, statistic), f"unknown statistic; {suggestion(statistic, statistics)}")
        if written[statistic] is not None:
            yield _objective(name, statistic, written[statistic], (name, statistic))


def _objective(name: str, statistic: str, written: Any, path: tuple[str, ...]) -> Objective:
    metric = METRICS[name]
    comparator, quantity = _comparison(metric, written, path)
    if comparator not in metric.comparators:
        raise ObjectiveError(
            path, f"{name} takes a limit with {' or '.join(metric.comparators)}, got {comparator}"
        )
    try:
        limit = units.parse(quantity, metric.kind)
    except ValueError as error:
        raise ObjectiveError(path, str(error)) from None
    if not 0 < limit <= metric.at_most:
        most = units.exact(metric.at_most, metric.kind)
        raise ObjectiveError(path, f"expected a limit above 0 and at most {most}, got {quantity}")
    return Objective(name, statistic, comparator, limit, metric.unit)


def _comparison(metric: _Metric, written: Any, path: tuple[str, ...]) -> tuple[Comparator, str | float]:
    """Returns the comparator and the quantity of `< 2 s`, `2 s`, `40` or `{below: 2 s}`."""
    if isinstance(written, Mapping):
        if len(written) != 1 or not WORDS.keys() >= written.keys():
            raise ObjectiveError(
                path, f"expected one of {', '.join(WORDS)}, got {', '.join(written) or 'none'}"
            )
        [(word, quantity)] = written.items()
        return WORDS[word], _quantity(quantity, (*path, word))
    text = str(_quantity(written, path)).strip()
    for sign in _LONGEST_FIRST:
        if text.startswith(sign):
            return sign, text.removeprefix(sign).strip()
    return metric.comparators[0], text


def _quantity(value: Any, path: tuple[str, ...]) -> str | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ObjectiveError(path, "expected a limit such as 500 ms")
    return value
