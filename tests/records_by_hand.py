"""Records made by hand: a plausible run of the embedded server, without any server.

Every time is a plain number, so a test can say what must come out. One user by default, one request
after another; `ttft_s` and `gap_s` may be arrays of one value a request.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hxbench.plan.layers import resolve
from hxbench.records.run_directory import Records
from hxbench.records.schemas import TABLES

SECOND = 1_000_000_000
START_NS = 5_000 * SECOND  # of the first trial; each later one begins 1000 s after the one before
THINK_S = 0.001  # from a user's answer to the next request
READ_BYTES = 300
TARGET = {"server": "embedded", "model": "smollm2-135m", "extra_body": {"ignore_eos": True}}

_DTYPES = {"int64": "Int64", "int32": "Int32", "string": "string", "double": "Float64"}


def frame(table: str, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Returns a frame with all columns of the table; what is not given is null."""
    length = max((len(c) for c in columns.values() if not np.isscalar(c) and c is not None), default=0)
    made = {}
    for field in TABLES[table]:
        value = columns.get(field.name)
        value = [value] * length if value is None or np.isscalar(value) else value
        made[field.name] = pd.array(list(value), dtype=_DTYPES[str(field.type)])
    unknown = set(columns) - set(made)
    assert not unknown, f"{table} has no column {sorted(unknown)}"
    return pd.DataFrame(made)


def changed(records: Records, table: str, **columns: Any) -> Records:
    """Returns the same records with columns of one table replaced."""
    old = getattr(records, table)
    given = {name: old[name] for name in old} | columns
    given = {k: [v] * len(old) if np.isscalar(v) or v is None else v for k, v in given.items()}
    return replace(records, **{table: frame(table, given)})


def records(
    *,
    requests: int = 200,
    warmup: int = 10,
    trials: int = 1,
    loop: str = "closed",
    users: int = 1,
    tokens: int = 32,
    ttft_s: Any = None,
    gap_s: Any = None,
    failed: Collection[int] = (),
    profile: Mapping[str, Any] | None = None,
    path: Path = Path("outputs/by-hand"),
) -> Records:
    """Returns a run of `requests` measured requests a trial; `failed` are positions among those.

    Without `ttft_s` and `gap_s` they scatter around 0.1 s and 10 ms (seed 1). `profile` holds dotted keys
    of the profile, such as {"objectives": {"ttft": {"p95": "500 ms"}}}.
    """
    shape = _Shape(requests, warmup, trials, loop, users, tokens, frozenset(failed))
    chosen: dict[str, Any] = {"name": "smollm2-135m", "target": TARGET, "limits.requests": 100_000}
    chosen |= {"workload.output_tokens": tokens, "load.loop": loop, "load.trials": trials}
    chosen |= {"load.users": users} if loop == "closed" else {"load.rate": "2 req/s"}
    chosen |= {"load.requests": requests, "load.measure": None} | dict(profile or {})
    resolved = resolve(None, overrides={key: (value, "a test") for key, value in chosen.items()})
    made = [_trial(shape, trial, ttft_s, gap_s) for trial in range(1, trials + 1)]
    tables = {name: pd.concat([t[name] for t in made], ignore_index=True) for name in made[0]}
    return Records(
        path=path,
        profile=resolved.profile,
        document=resolved.document,
        profile_sha256=resolved.sha256,
        exchanges=exchanges(resolved.profile.target.model),
        ending={"state": "complete", "reason": None},
        facts=facts(resolved.profile.target.model),
        calibration=calibration(),
        **tables,
    )


@dataclass(frozen=True)
class _Shape:
    requests: int
    warmup: int
    trials: int
    loop: str
    users: int
    tokens: int
    failed: frozenset[int]

    @property
    def total(self) -> int:
        return self.warmup + self.requests


def _trial(shape: _Shape, trial: int, ttft_s: Any, gap_s: Any) -> dict[str, pd.DataFrame]:
    scatter = np.random.default_rng(trial)
    ttft = _per_request(shape, ttft_s, 0.1 * scatter.lognormal(0, 0.15, shape.total))
    gap = _per_request(shape, gap_s, 0.01 * scatter.lognormal(0, 0.05, shape.total))
    start_ns = START_NS + (trial - 1) * 1000 * SECOND
    dispatched = start_ns + _dispatch_offsets(shape, ttft, gap)
    first = dispatched + _ns(ttft)
    last = first + _ns(gap) * (shape.tokens - 1)
    tables = _requests(shape, trial, dispatched, first, last)
    tables["reads"] = _reads(shape, trial, first, _ns(gap))
    tables["phases"] = _phases(shape, trial, start_ns, dispatched, last)
    end_ns = int(last.max()) + SECOND
    tables["series"] = _series(shape, trial, start_ns - SECOND, end_ns, last)
    seconds = np.arange(start_ns, end_ns, SECOND // 10)
    tables["clock"] = frame(
        "clock", {"monotonic_ns": seconds, "realtime_ns": seconds + 10**18, "bracket_ns": 100}
    )
    return tables


def _per_request(shape: _Shape, given: Any, otherwise: np.ndarray) -> np.ndarray:
    if given is None:
        return otherwise
    values = np.broadcast_to(np.asarray(given, dtype=float), (shape.requests,))
    return np.concatenate([np.full(shape.warmup, values[0] if len(values) else 0.1), values])


def _ns(seconds: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(seconds) * SECOND).astype(np.int64)


def _dispatch_offsets(shape: _Shape, ttft: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Nanoseconds from the trial's start: two a second in open loop, one after another in closed."""
    if shape.loop == "open":
        return np.arange(shape.total, dtype=np.int64) * (SECOND // 2)
    busy = _ns(ttft) + _ns(gap) * (shape.tokens - 1) + _ns(np.array(THINK_S))
    offsets = np.zeros(shape.total, dtype=np.int64)
    for user in range(shape.users):
        mine = slice(user, None, shape.users)
        offsets[mine] = np.concatenate([[0], np.cumsum(busy[mine])[:-1]]) if len(busy[mine]) else 0
    return offsets


def _ids(shape: _Shape, trial: int) -> list[str]:
    return [f"t{trial}-{n:06d}" for n in range(shape.total)]


def _requests(
    shape: _Shape, trial: int, dispatched: np.ndarray, first: np.ndarray, last: np.ndarray
) -> dict[str, pd.DataFrame]:
    count = shape.total
    due = dispatched if shape.loop == "open" else None
    phase = ["warmup"] * shape.warmup + ["measure"] * shape.requests
    bad = np.isin(np.arange(count) - shape.warmup, list(shape.failed))

    def known(values: Any) -> list[Any]:
        values = [values] * count if np.isscalar(values) else values
        return [None if b else v for v, b in zip(values, bad, strict=True)]

    shared = {"request_id": _ids(shape, trial), "trial": trial, "target": "main", "due_ns": due}
    schedule = shared | {"phase": phase, "stage": "main", "turn": 0, "seed": range(count)}
    schedule |= {"prompt_id": [f"short-{n % 5}" for n in range(count)], "prompt_class": "short"}
    schedule |= {"conversation": _ids(shape, trial), "max_tokens": shape.tokens}
    schedule |= {"user": None if due is not None else [n % shape.users for n in range(count)]}
    requests = shared | {"worker": 0, "attempt": 1, "dispatched_ns": dispatched, "stamp": "kernel"}
    requests |= {"connect_start_ns": dispatched + 1000, "connected_ns": dispatched + 60_000}
    requests |= {"sent_ns": dispatched + 100_000, "first_byte_ns": known(first - 200_000)}
    requests |= {"first_token_ns": known(first), "first_output_ns": known(first)}
    requests |= {"last_token_ns": known(last), "done_ns": last}
    requests |= {"outcome": np.where(bad, "failed", "ok"), "finish_reason": known("length")}
    requests |= {"error_phase": np.where(bad, "headers", None), "error": np.where(bad, "status 503", None)}
    requests |= {"http_status": np.where(bad, 503, 200), "prompt_tokens": known(40)}
    requests |= {
        "output_tokens": known(shape.tokens),
        "reasoning_tokens": known(0),
        "cached_tokens": known(0),
    }
    requests |= {"token_source": known("usage"), "deltas": known(shape.tokens)}
    requests |= {"first_read_deltas": known(1), "reads": known(shape.tokens)}
    requests |= {"bytes": known(shape.tokens * READ_BYTES), "text_sha256": known("0" * 64)}
    requests |= {"server_prefill_ns": known(90_000_000), "server_decode_ns": known(last - first)}
    return {"schedule": frame("schedule", schedule), "requests": frame("requests", requests)}


def _reads(shape: _Shape, trial: int, first: np.ndarray, gap_ns: np.ndarray) -> pd.DataFrame:
    kept = [n for n in range(shape.total) if n - shape.warmup not in shape.failed]
    ids = np.repeat(np.array(_ids(shape, trial), dtype=object)[kept], shape.tokens)
    index = np.tile(np.arange(shape.tokens), len(kept))
    received = np.repeat(first[kept], shape.tokens) + index * np.repeat(gap_ns[kept], shape.tokens)
    columns = {"request_id": ids, "index": index, "received_ns": received, "bytes": READ_BYTES}
    return frame("reads", columns | {"deltas": 1, "characters": 4, "segments": 1})


def _phases(
    shape: _Shape, trial: int, start_ns: int, dispatched: np.ndarray, last: np.ndarray
) -> pd.DataFrame:
    measure_ns = int(dispatched[shape.warmup]) if shape.requests else start_ns + SECOND
    end_ns = int(last.max()) if shape.loop == "closed" else int(dispatched[-1]) + SECOND // 2
    edges = [start_ns, measure_ns, end_ns, max(int(last.max()), end_ns) + SECOND // 10]
    columns = {"phase": ["warmup", "measure", "drain"], "start_ns": edges[:3], "end_ns": edges[1:]}
    return frame("phases", columns | {"trial": trial, "target": "main", "stage": "main"})


def _series(shape: _Shape, trial: int, start_ns: int, end_ns: int, last: np.ndarray) -> pd.DataFrame:
    """Ten samples a second: the server takes 0.9 cores and 250 MB, the client 0.05 cores, others 0.02."""
    ticks = np.arange(start_ns, end_ns, SECOND // 10)
    elapsed = (ticks - start_ns) / SECOND
    values: dict[tuple[str, str], Any] = {
        ("process", "cpu_seconds"): 0.9 * elapsed,
        ("process", "rss_bytes"): 250e6,
        ("process", "vms_bytes"): 900e6,
        ("process", "threads"): 12,
        ("client", "cpu_seconds"): 0.05 * elapsed,
        ("client", "sampler_cpu_seconds"): 0.005 * elapsed,
        ("client", "rss_bytes"): 60e6,
        ("host", "cpu_busy_seconds"): 0.97 * elapsed,
        ("host", "memory_available_bytes"): 6e9,
        ("host", "load1"): 1.0,
    }
    parts = [_samples(trial, ticks, source, name, value) for (source, name), value in values.items()]
    scrapes = np.append(np.arange(start_ns, end_ns, SECOND), end_ns)
    good = np.isin(np.arange(shape.total) - shape.warmup, list(shape.failed), invert=True)
    answered = np.searchsorted(np.sort(last[good]), scrapes)
    counters = {"tokens_predicted": shape.tokens, "prompt_tokens": 40, "prompt_tokens_cached": 0}
    for name, each in counters.items():
        parts.append(
            _samples(trial, scrapes, "scrape", f"llamacpp:{name}_total", answered * each, labels="{}")
        )
    return pd.concat(parts, ignore_index=True)


def _samples(
    trial: int, ticks: np.ndarray, source: str, name: str, value: Any, labels: str | None = None
) -> pd.DataFrame:
    columns = {"time_ns": ticks, "trial": trial, "target": "main", "source": source, "name": name}
    values = np.broadcast_to(np.asarray(value, dtype=float), ticks.shape)
    return frame("series", columns | {"labels": labels, "value": values})


def exchange(name: str, status: int | None = 200, body: Any = "", **more: Any) -> dict[str, Any]:
    """Returns one functional request and its answer; a body that is not text becomes JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    made = {"name": name, "trial": 1, "method": "GET", "path": "/", "request": "", "status": status}
    made |= {"content_type": "application/json", "body": text, "error": None}
    return made | {"started_ns": START_NS - 2 * SECOND, "done_ns": START_NS - 2 * SECOND + 5_000_000} | more


def answer(prompt_id: str, text: str) -> dict[str, Any]:
    """Returns a chat answer to a question with a checkable answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 30, "completion_tokens": 5}}
    return exchange(f"answer:{prompt_id}", body=body, method="POST", path="/v1/chat/completions")


def exchanges(model: str) -> list[dict[str, Any]]:
    """Returns what a llama.cpp server says before, and after, a good run."""
    refused = {"error": {"code": 400, "message": "refused", "type": "invalid_request_error"}}
    return [
        exchange("ready", body={"status": "ok"}, path="/health"),
        exchange("health", body={"status": "ok"}, path="/health"),
        exchange("models", body={"object": "list", "data": [{"id": model}]}, path="/v1/models"),
        exchange("empty_prompt", body={"choices": [], "usage": {"completion_tokens": 0}}, method="POST"),
        exchange("broken_json", 400, refused, method="POST"),
        exchange("negative_max_tokens", 400, refused, method="POST"),
        exchange("above_context", 400, refused, method="POST"),
        exchange("health_after", body={"status": "ok"}, path="/health"),
    ]


def calibration() -> dict[str, Any]:
    """Returns what a good instrument shows on the reference server."""
    errors = {"ttft_n": 200, "ttft_bias_s": 1e-5, "ttft_p99_s": 5e-5}
    errors |= {"itl_n": 1400, "itl_bias_s": 0.0, "itl_p99_s": 4e-6}
    arrival = {"arrival_n": 200, "arrival_bias_s": 1e-4, "arrival_p99_s": 3e-4}
    return {
        "before": {"tries": [{"name": "short streams", **errors, **arrival}] * 3},
        "beside": [{"name": "one slow stream", **errors}],
    }


def facts(model: str) -> dict[str, Any]:
    """Returns the allow-listed facts of an imaginary machine of two cores."""
    sha256 = "b179c952" + "0" * 56
    return {
        "hxbench": "0.1.0",
        "python": "3.11.9",
        "packages": {"numpy": "2.4.6", "pandas": "3.1.1"},
        "host": {
            "system": "Linux",
            "kernel": "6.1.0",
            "cpu_model": "an imaginary one",
            "cores": 2,
            "memory_bytes": 8_000_000_000,
            "hostname_sha256": "1" * 64,
        },
        "server": {"kind": "embedded", "url": "http://127.0.0.1:40000", "build": "b11549"},
        "model": {"name": model, "file": "SmolLM2-135M-Instruct.Q4_1.gguf", "sha256": sha256},
        "started_utc": "2026-01-02T03:04:05Z",
        "finished_utc": "2026-01-02T03:06:05Z",
        "schedule_sha256": ["2" * 64],
    }
