"""A run as OpenMetrics text: the certificate's numbers, and requests under OpenTelemetry's GenAI names.

Names, attributes and bucket bounds are those of schema gen-ai/1.42.0, status development:
https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md; written as
OpenTelemetry's rules for Prometheus want it: dots become underscores, seconds a suffix. A failed request is
in the two durations alone, with its `error_type`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from hxbench.errors import EvidenceError
from hxbench.judge.consistency import OUTCOMES
from hxbench.judge.measured import Measured
from hxbench.judge.operations import operations, response_model
from hxbench.records.run_directory import Records
from hxbench.render import openmetrics
from hxbench.render.openmetrics import head, sample

END = "# EOF\n"
_SECONDS = "seconds"
_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**power) for power in range(14))  # 1 to 67 108 864

_PORTS = {"http": 80, "https": 443}
# The API that is spoken, which tells what was asked for; the provider is that API's, whoever runs the server.
_SPOKEN = {
    "openai-chat": ("chat", "openai"),
    "openai-completions": ("text_completion", "openai"),
    "anthropic-messages": ("chat", "anthropic"),
}
_AT_CLIENT = "measured at the client, from dispatch: with the network, and connecting where that took place"


@dataclass(frozen=True)
class Histogram:
    """One metric of the conventions: its bounds, and the columns of `operations` with its values."""

    name: str
    unit: str
    bounds: tuple[float, ...]
    says: str
    columns: Mapping[str, Mapping[str, str]]  # to the labels that its values have besides


HISTOGRAMS = (
    Histogram(
        "gen_ai_client_operation_duration_seconds", _SECONDS, _DURATION,
        "Time to the end of the answer, from when the request was due (open loop) or dispatched (closed).",
        {"operation_s": {}},
    ),
    Histogram(
        "gen_ai_client_token_usage", "", _TOKENS,
        "Tokens of each good answer and its prompt, as the server stated them.",
        {f"{kind}_tokens": {"gen_ai_token_type": kind} for kind in ("input", "output")},
    ),
    Histogram(
        "gen_ai_server_request_duration_seconds", _SECONDS, _DURATION,
        f"Time to the last byte, {_AT_CLIENT}.", {"request_s": {}},
    ),
    Histogram(
        "gen_ai_server_time_to_first_token_seconds", _SECONDS, _FIRST_TOKEN,
        f"Time to the first token of good streamed answers, {_AT_CLIENT}.", {"first_token_s": {}},
    ),
    Histogram(
        "gen_ai_server_time_per_output_token_seconds", _SECONDS, _PER_TOKEN,
        "Time per token after the first read of good answers, measured at the client.", {"per_token_s": {}},
    ),
)  # fmt: skip


def text(measured: Measured, certificate: Mapping[str, Any]) -> str:
    """Returns status, verdicts and numbers of the certificate, then a histogram of each metric.

    Of the requests of phase `measure`, all trials together. What was not measured has no sample; how many
    requests there were by outcome stands in `hxbench_requests`.
    """
    seen = operations(measured)
    lines = [*_requests(seen, certificate), *_histograms(seen, attributes(measured.records))]
    return openmetrics.text(certificate).removesuffix(END) + "".join(f"{each}\n" for each in lines) + END


def attributes(records: Records) -> dict[str, str]:
    """Returns the labels that all requests have in common; an embedded server has no lasting address."""
    target = records.profile.target
    operation, provider = _SPOKEN[target.protocol]
    address = urlsplit(str(target.server))
    known = {
        "gen_ai_operation_name": operation,
        "gen_ai_provider_name": provider,
        "gen_ai_request_model": target.model,
        "gen_ai_response_model": response_model(records.exchanges),
        "server_address": address.hostname,
        "server_port": str(address.port or _PORTS[address.scheme]) if address.hostname else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _requests(seen: pd.DataFrame, certificate: Mapping[str, Any]) -> Iterator[str]:
    about = openmetrics.about(certificate)
    yield from head("hxbench_requests", "gauge", "", "Requests of phase measure, by what became of them.")
    for outcome in OUTCOMES:
        number = int((seen["outcome"] == outcome).sum())
        yield sample("hxbench_requests", {**about, "outcome": outcome}, number)


def _histograms(seen: pd.DataFrame, shared: Mapping[str, str]) -> Iterator[str]:
    for each in HISTOGRAMS:
        samples = [
            line
            for column, own in each.columns.items()
            for error, values in _by_error(seen, column)
            for line in buckets(each.name, {**shared, **own, **error}, values, each.bounds)
        ]
        if samples:
            yield from head(each.name, "histogram", each.unit, each.says)
            yield from samples


def _by_error(seen: pd.DataFrame, column: str) -> Iterator[tuple[dict[str, str], "pd.Series[float]"]]:
    """Yields the values of the good requests, then those of each kind of failure, where there are any."""
    known = seen[seen[column].notna()]
    for error, mine in known.groupby(known["error_type"].fillna("")):
        yield {"error_type": str(error)} if error else {}, mine[column]


def buckets(
    name: str, labels: Mapping[str, str], values: Iterable[float], bounds: Iterable[float]
) -> Iterator[str]:
    """Yields the lines of one histogram: a bucket counts what is at its bound or below."""
    ordered = np.sort(np.asarray(values, dtype="float64"))
    for bound in bounds:
        below = int(np.searchsorted(ordered, bound, side="right"))
        yield sample(f"{name}_bucket", {**labels, "le": repr(bound)}, below)
    yield sample(f"{name}_bucket", {**labels, "le": "+Inf"}, ordered.size)
    yield sample(f"{name}_count", labels, ordered.size)
    yield sample(f"{name}_sum", labels, math.fsum(ordered))


def stamped(text: str, records: Records) -> str:
    """Returns the text with the time of the run's end at each sample, as backfilling a Prometheus wants it.

    Raises: EvidenceError when the run's clock was never read.
    """
    if records.clock.empty:
        raise EvidenceError(f"{records.path}: no time is recorded, and without one nothing can be backfilled")
    end_s = f"{int(records.clock['realtime_ns'].max()) // 1_000_000 / 1000:.3f}"
    return "\n".join(line if line[:1] in ("", "#") else f"{line} {end_s}" for line in text.split("\n"))


def classic(text: str) -> str:
    """Returns the same in Prometheus' own older format, which has neither units nor a mark at the end."""
    kept = [line for line in text.split("\n") if not line.startswith(("# UNIT ", "# EOF"))]
    return "\n".join(kept)
