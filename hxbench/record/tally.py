"""How the load goes, for whoever watches it: counted beside the decoding, and no part of the records."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from hxbench.record.decoding import Decoder, Row
from hxbench.records.schemas import REQUESTS

RECENT_NS = 5_000_000_000  # what a rate counts as now; a journal grows once a second
KEPT = 1000  # answers of which the times to first token are kept
REASON_KEPT = 120  # characters of the last error
_OUTCOME, _ERROR, _TOKENS, _DUE, _DISPATCHED, _FIRST_TOKEN = (
    REQUESTS.names.index(name)
    for name in ("outcome", "error", "output_tokens", "due_ns", "dispatched_ns", "first_token_ns")
)


class Tally:
    """Counts requests as they end; `progress` says where that leaves the run."""

    def __init__(self) -> None:
        self._ok = self._failed = self._tokens = self._received = 0
        self._last_error: str | None = None
        self._first_tokens: deque[tuple[int, float]] = deque(maxlen=KEPT)  # when it counted from, ttft in s
        self._samples: deque[tuple[int, int, int]] = deque()  # time, answered, tokens received

    def add(self, request: Row) -> None:
        """Counts a row of `requests`."""
        tokens, outcome = request[_TOKENS] or 0, request[_OUTCOME]
        self._received += tokens
        if outcome == "ok":
            self._ok += 1
            self._tokens += tokens
            start_ns = request[_DISPATCHED] if request[_DUE] is None else request[_DUE]
            self._first_tokens.append((start_ns, (request[_FIRST_TOKEN] - start_ns) / 1e9))
        elif outcome == "failed":  # not what a stop cut off
            self._failed += 1
            self._last_error = request[_ERROR][:REASON_KEPT]

    def progress(self, trial: int | None, decoders: Sequence[Decoder]) -> dict[str, Any]:
        """Returns the state of a trial by the decoders of its journals; times in s, None where unknown.

        `measured` requests of the trial's measured phase have ended. The quantiles are those of its
        answers, by nearest rank, failures left out; `ttft_recent_s` is the median of the last seconds.
        """
        now_ns = max((each.last_ns for each in decoders), default=0)
        starts = {name: start for each in decoders for name, (start, _) in each.phases.items() if start}
        measured_ns = min((at for name, at in starts.items() if name.startswith("measure")), default=0)
        ttft = sorted(value for start_ns, value in self._first_tokens if start_ns >= measured_ns)
        recent = sorted(value for start_ns, value in self._first_tokens if start_ns >= now_ns - RECENT_NS)
        return {
            "event": "progress",
            "trial": trial,
            "phase": _phase(starts, decoders),
            "elapsed_s": (now_ns - min(starts.values())) / 1e9 if starts else 0.0,
            "measured": sum(each.ended["measure"] for each in decoders),
            "ok": self._ok,
            "failed": self._failed,
            "tokens": self._tokens,
            "in_flight": sum(each.in_flight for each in decoders),
            **self._rates(now_ns, self._received + sum(each.arriving for each in decoders)),
            "ttft_p50_s": _quantile(ttft, 50),
            "ttft_p95_s": _quantile(ttft, 95),
            "ttft_recent_s": _quantile(recent, 50),
            "last_error": self._last_error,
        }

    def _rates(self, now_ns: int, received: int) -> dict[str, float | None]:
        samples = self._samples
        if not samples or now_ns > samples[-1][0]:
            samples.append((now_ns, self._ok, received))
        while len(samples) > 2 and samples[1][0] <= now_ns - RECENT_NS:
            samples.popleft()
        (then_ns, ok, tokens), (last_ns, last_ok, last_tokens) = samples[0], samples[-1]
        seconds = (last_ns - then_ns) / 1e9
        if not seconds:
            return {"requests_per_s": None, "tokens_per_s": None}
        return {
            "requests_per_s": (last_ok - ok) / seconds,
            "tokens_per_s": max(last_tokens - tokens, 0) / seconds,  # an answer may end with fewer than seen
        }


def _phase(starts: Mapping[str, int], decoders: Sequence[Decoder]) -> str | None:
    if decoders and all(each.finished for each in decoders):
        return "ended"
    return max(starts, key=lambda name: starts[name], default=None)


def _quantile(ordered: Sequence[float], percent: int) -> float | None:
    return ordered[-(-percent * len(ordered) // 100) - 1] if ordered else None
