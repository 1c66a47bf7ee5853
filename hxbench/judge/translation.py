"""The same records under other tools' definitions: what each of them would have said of this run.

Read in vLLM 0.33 (`vllm/benchmarks/serve.py`), GuideLLM 0.8.1, AIPerf 0.13 (its metrics reference) and
LoadGen's Server scenario (`loadgen/results.cc`). Each looks at good requests only and at one pool of all
trials; a warm-up is counted by none. Three things no record can translate: a token count by a tool's own
tokenizer (the server's usage stands for it), a first token that is empty text (vLLM's clock stops there, ours
does not, and a role alone stops neither), and the time a tool's own client adds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hxbench.judge.measured import Measured
from hxbench.judge.requests import NANOSECONDS, number
from hxbench.judge.summary import summarised
from hxbench.records.run_directory import Records
from hxbench.stats.quantiles import finite

Values = NDArray[np.float64]
COLUMNS = ["tool", "metric", "statistic", "unit", "hxbench", "theirs", "why"]
STATISTICS = {"mean": None, "p50": 0.5, "p95": 0.95, "p99": 0.99}
_TIMES = {
    "due": "due_ns", "dispatched": "dispatched_ns", "connected": "connected_ns",
    "first": "first_token_ns", "last": "last_token_ns", "done": "done_ns",
}  # fmt: skip


@dataclass(frozen=True)
class Weighted:
    """Values with the weight of each; equal ones where none are given."""

    values: Values
    weights: Values | None = None

    @property
    def mean(self) -> float:
        """Returns the mean by weight."""
        return float(np.average(self.values, weights=self.weights))


@dataclass(frozen=True)
class Good:
    """The good requests of the measured phase: stamps in whole ns since the first dispatch, and tokens."""

    trial: NDArray[np.int64]
    due: Values
    dispatched: Values
    connected: Values
    first: Values
    last: Values
    done: Values
    tokens: Values
    gaps_s: Values  # of pieces of text, those that came in one read 0 apart

    def span(self, begins: Values, ends: Values) -> float:
        """Returns the seconds from the first begin to the last end, of all trials."""
        trials = [self.trial == each for each in np.unique(self.trial)]
        return float(sum(ends[mine].max() - begins[mine].min() for mine in trials)) / NANOSECONDS


Metric = Callable[[Good], Weighted]


@dataclass(frozen=True)
class Tool:
    """How one tool computes each metric, and why its figure differs from ours."""

    latencies: Mapping[str, Metric]
    quantile: Callable[[Weighted, float], float]
    begins: Callable[[Good], Values]
    ends: Callable[[Good], Values]
    why: Mapping[str, str]
    open_end: int = 0  # requests that its rate of them leaves out


def linear(sample: Weighted, level: float) -> float:
    """Returns the quantile between two values, as numpy.percentile does."""
    return float(np.quantile(sample.values, level))


def inverted(sample: Weighted, level: float) -> float:
    """Returns the smallest value up to which this share of the weight lies."""
    return float(np.quantile(sample.values, level, weights=sample.weights, method="inverted_cdf"))


def truncated(sample: Weighted, level: float) -> float:
    """Returns the value at index int(n * level) in order, one rank above ours where n * level is whole."""
    return float(np.sort(sample.values)[int(sample.values.size * level)])


def _from(start: Callable[[Good], Values], end: Callable[[Good], Values]) -> Metric:
    return lambda good: Weighted((end(good) - start(good)) / NANOSECONDS)


def _dispatched(good: Good) -> Values:
    return good.dispatched


def _connected(good: Good) -> Values:
    return np.fmax(good.dispatched, good.connected)


def _due(good: Good) -> Values:
    return np.where(np.isnan(good.due), good.dispatched, good.due)


def _first(good: Good) -> Values:
    return good.first


def _last(good: Good) -> Values:
    return good.last


def _done(good: Good) -> Values:
    return good.done


def _per_token(end: Callable[[Good], Values], *, weighted: bool = False) -> Metric:
    """Time after the first token over the tokens but one; requests of one token have none."""

    def values(good: Good) -> Weighted:
        several = good.tokens > 1
        rest = good.tokens[several] - 1
        later_s = (end(good) - good.first)[several] / NANOSECONDS
        return Weighted(later_s / rest, rest if weighted else None)

    return values


def _guidellm_tpot(good: Good) -> Weighted:
    some = good.tokens > 0
    spent_s = (good.last - _connected(good))[some] / NANOSECONDS
    return Weighted(spent_s / good.tokens[some], good.tokens[some])


_GOOD_ONLY = "failed requests are left out, where ours count as infinitely slow"
_LINEAR = "between two values (numpy), ours is one that was seen"
_TPOT = f"over all tokens but one, ours over those after the first read; percentiles {_LINEAR}"
_RATE = "from the first request to the last answer's end, drain included; ours is the measured window alone"

TOOLS: dict[str, Tool] = {
    "vllm": Tool(
        {
            "ttft": _from(_dispatched, _first),
            "tpot": _per_token(_last),
            "itl": lambda good: Weighted(good.gaps_s),
            "e2e": _from(_dispatched, _last),
        },
        linear,
        _dispatched,
        _done,
        {
            "ttft": f"from sending, not from due; percentiles {_LINEAR}; {_GOOD_ONLY}",
            "tpot": _TPOT,
            "itl": f"each piece of text has a gap, 0 where pieces came together; percentiles {_LINEAR}",
            "e2e": f"from sending to the last token, not from due; percentiles {_LINEAR}; {_GOOD_ONLY}",
            "rate": _RATE,
        },
    ),
    "guidellm": Tool(
        {
            "ttft": _from(_connected, _first),
            "tpot": _guidellm_tpot,
            "itl": _per_token(_last, weighted=True),
            "e2e": _from(_connected, _done),
        },
        inverted,
        _connected,
        _done,
        {
            "ttft": f"from when the connection stands, connecting is left out; {_GOOD_ONLY}",
            "tpot": "the time to the first token is in it, over all tokens, weighted by them",
            "itl": "one mean a request, weighted by its tokens but one; ours is every gap",
            "e2e": f"from when the connection stands to the stream's end, not the last token; {_GOOD_ONLY}",
            "rate": _RATE,
        },
    ),
    "aiperf": Tool(
        {
            "ttft": _from(_dispatched, _first),
            "tpot": _per_token(_last),
            "itl": _per_token(_last),
            "e2e": _from(_dispatched, _last),
        },
        linear,
        _dispatched,
        _last,
        {
            "ttft": f"from sending, not from due; percentiles {_LINEAR}; {_GOOD_ONLY} (not in its adj_)",
            "tpot": _TPOT,
            "itl": f"one mean a request, the same as its tpot; ours is every gap; percentiles {_LINEAR}",
            "e2e": f"from sending to the last token, not from due; percentiles {_LINEAR}; {_GOOD_ONLY}",
            "rate": _RATE,
        },
    ),
    "mlperf": Tool(
        {"ttft": _from(_due, _first), "tpot": _per_token(_done), "e2e": _from(_due, _done)},
        truncated,
        _due,
        _done,
        {
            "ttft": "from when it was due, as ours; percentiles are one rank higher where n times the level "
            "is whole; it knows no failed request",
            "tpot": "to the answer's end, over all tokens but one; percentiles one rank higher, as for ttft",
            "e2e": "from due to the answer's end, not the last token; percentiles one rank higher, as ttft's",
            "rate": f"{_RATE}; one request less than there were",
        },
        open_end=1,
    ),
}  # fmt: skip


def translated(records: Records) -> pd.DataFrame:
    """Returns one row a tool, metric and statistic: hxbench's figure, theirs, and why they differ.

    In seconds, tokens or requests a second, and requests; NaN where there is no such figure.
    """
    measured = Measured(records)
    ours, good = summarised(measured), _good(measured)
    rows = [row for name, tool in TOOLS.items() for row in _rows(name, tool, ours, good)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"hxbench": "float64", "theirs": "float64"})


def _good(measured: Measured) -> Good | None:
    records = measured.records
    ids = measured.attempted.loc[measured.attempted["ok"], "request_id"]
    rows = records.requests.set_index("request_id").reindex(ids).reset_index()
    if rows.empty:
        return None
    zero = int(rows["dispatched_ns"].min())
    return Good(
        trial=rows["trial"].to_numpy(dtype="int64"),
        tokens=number(rows["output_tokens"]),
        gaps_s=_piece_gaps(records, measured),
        **{name: number(rows[column] - zero) for name, column in _TIMES.items()},
    )


def _piece_gaps(records: Records, measured: Measured) -> Values:
    """The gaps between pieces of text of good requests; those of one read are 0 apart."""
    is_good = measured.attempted["ok"].to_numpy(dtype=bool)
    gaps = measured.gaps["gap_s"].to_numpy()[is_good[measured.gaps["owner"].to_numpy()]]
    good = measured.attempted.loc[is_good, "request_id"]
    deltas = number(records.reads.loc[records.reads["request_id"].isin(good), "deltas"])
    return np.concatenate([gaps, np.zeros(int(np.maximum(deltas - 1, 0).sum()))])


Row = tuple[str, str, str, str, float | None, float | None, str]


def _rows(name: str, tool: Tool, ours: Mapping[str, dict[str, float]], good: Good | None) -> list[Row]:
    rows: list[Row] = []
    for metric in ("ttft", "tpot", "itl", "e2e"):
        values = tool.latencies[metric](good) if good is not None and metric in tool.latencies else None
        why = tool.why.get(metric, "it has no such figure")
        for statistic, level in STATISTICS.items():
            theirs = _statistic(tool, values, level)
            rows.append((name, metric, statistic, "s", ours[metric][statistic], theirs, why))
    return rows + _rates(name, tool, ours, good)


def _statistic(tool: Tool, sample: Weighted | None, level: float | None) -> float | None:
    if sample is None or not sample.values.size:
        return None
    return finite(sample.mean if level is None else tool.quantile(sample, level))


def _rates(name: str, tool: Tool, ours: Mapping[str, dict[str, float]], good: Good | None) -> list[Row]:
    counted = float(len(good.first)) if good is not None else 0.0
    tokens = requests = None
    if good is not None:
        length_s = good.span(tool.begins(good), tool.ends(good)) or math.nan
        tokens = finite(float(good.tokens.sum()) / length_s)
        requests = finite((counted - tool.open_end) / length_s)
    why = tool.why["rate"]
    window = ours["throughput_tokens"]["window"], ours["throughput_requests"]["window"]
    attempted = float(ours["counts"]["attempted"])
    return [
        (name, "throughput_tokens", "rate", "tok/s", window[0], tokens, why),
        (name, "throughput_requests", "rate", "req/s", window[1], requests, why),
        (
            name,
            "requests",
            "count",
            "count",
            attempted,
            counted,
            "good requests; ours are all attempted ones",
        ),
    ]
