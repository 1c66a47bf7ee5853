"""From the wire journal to rows of `requests` and `reads`: the protocols run over what was received."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hxbench.records.journal import STOPPED, Entry, Kind
from hxbench.wire import http, openai

Row = tuple[Any, ...]
BODY_KEPT = 2_000  # bytes of an answer that is no stream, before redaction
ERROR_KEPT = 300  # characters of an error, after redaction
BRACKET_NS = 100_000  # a pair of clocks read further apart than this is not used
SLACK_NS = 50_000  # by how much a converted stamp may lie out of order


class Planned(NamedTuple):
    """What the schedule says of a request."""

    request_id: str
    trial: int
    target: str
    phase: str
    due_ns: int | None


class Token(NamedTuple):
    """One read that carried at least one non-empty delta."""

    received_ns: int
    bytes: int
    deltas: int
    characters: int
    segments: int


@dataclass
class _Exchange:
    """A request so far."""

    attempt: int = 1
    dispatched: int | None = None
    connect_start: int | None = None
    connected: int | None = None
    sent: int | None = None
    first_byte: int | None = None
    first_output: int | None = None
    last_read: int | None = None
    received_bytes: int = 0
    kernel: bool = True
    response: http.Response = field(default_factory=http.Response)
    stream: openai.ChatStream = field(default_factory=openai.ChatStream)
    body: bytes = b""  # the start of an answer that is no stream
    tokens: list[Token] = field(default_factory=list)


class Clock:
    """Converts the kernel's realtime stamps to the monotonic clock by the last bracketed pair."""

    def __init__(self) -> None:
        self._offset: int | None = None

    def learn(self, monotonic_ns: int, realtime_ns: int, bracket_ns: int) -> None:
        """Takes a pair of both clocks; a worker that was interrupted between the two knows too little."""
        if self._offset is None or bracket_ns <= BRACKET_NS:
            self._offset = realtime_ns - monotonic_ns

    def received(self, entry: Entry, after_ns: int) -> int | None:
        """Returns the kernel's stamp in monotonic ns; None without one or when the clock stepped.

        A stamp after the read, or before `after_ns`, when the exchange's last event was, can only come
        from a stepped clock.
        """
        if not entry.kernel_ns or self._offset is None:
            return None
        time_ns = entry.kernel_ns - self._offset
        if after_ns - SLACK_NS <= time_ns <= entry.time_ns + SLACK_NS:
            return min(max(time_ns, after_ns), entry.time_ns)
        return None


class Decoder:
    """Feeds on one worker's journal; hands finished requests to `emit(request row, read rows)`.

    `schedule` is asked for when the first request ends: the journal begins before it is written.
    """

    def __init__(
        self,
        worker: int,
        schedule: Callable[[], Mapping[int, Planned]],
        emit: Callable[[Row, list[Row]], None],
        *,
        hash_text: bool,
        redact: Callable[[str], str],
    ) -> None:
        self.phases: dict[str, list[int | None]] = {}  # name to [start_ns, end_ns]
        self.clock_rows: list[Row] = []
        self.finished = False
        self._worker, self._schedule, self._emit = worker, schedule, emit
        self._hash_text, self._redact = hash_text, redact
        self._clock = Clock()
        self._open: dict[int, _Exchange] = {}
        self._closed: set[int] = set()
        self._last_ns = 0

    @property
    def in_flight(self) -> int:
        return sum(exchange.dispatched is not None for exchange in self._open.values())

    def feed(self, entry: Entry) -> None:
        self._last_ns = max(self._last_ns, entry.time_ns)
        if entry.kind == Kind.CLOCK:
            self._clock.learn(entry.time_ns, entry.kernel_ns, entry.number)
            self.clock_rows.append((entry.time_ns, entry.kernel_ns, entry.number))
        elif entry.kind == Kind.PHASE:
            times = self.phases.setdefault(entry.body.decode(), [None, None])
            times[0 if entry.number else 1] = entry.time_ns
        elif entry.kind == Kind.FINISHED:
            self.finished = True
        elif entry.number not in self._closed:
            self._exchange(entry, self._open.setdefault(entry.number, _Exchange()))

    def _exchange(self, entry: Entry, exchange: _Exchange) -> None:
        match entry.kind:
            case Kind.READ:
                self._read(entry, exchange)
            case Kind.DISPATCH:
                exchange.dispatched = entry.time_ns
            case Kind.CONNECT_START:
                exchange.connect_start = entry.time_ns
            case Kind.CONNECTED:
                exchange.connected = entry.time_ns
            case Kind.SENT:
                exchange.sent = entry.time_ns
            case Kind.RETRY:
                exchange.attempt += 1
            case Kind.END:
                self._close(entry.number, exchange, entry.time_ns, entry.body.decode(errors="replace"))

    def _read(self, entry: Entry, exchange: _Exchange) -> None:
        stamp = self._clock.received(entry, exchange.last_read or exchange.dispatched or 0)
        time_ns = entry.time_ns if stamp is None else stamp
        exchange.kernel = exchange.kernel and stamp is not None
        if exchange.first_byte is None:
            exchange.first_byte = time_ns
            if exchange.sent is not None:  # noted after the fact: the answer may have come before the note
                exchange.sent = min(exchange.sent, time_ns)
        exchange.last_read = time_ns
        exchange.received_bytes += len(entry.body)
        try:
            body = exchange.response.feed(entry.body)
        except http.FramingError:
            return  # the worker saw the same bytes and says so at the end
        if not _is_stream(exchange.response):
            exchange.body = (exchange.body + body)[:BODY_KEPT]
            return
        content = exchange.stream.feed(body)
        if content.deltas:
            if content.output and exchange.first_output is None:
                exchange.first_output = time_ns
            exchange.tokens.append(
                Token(time_ns, len(entry.body), content.deltas, content.characters, entry.segments)
            )

    def finish(self) -> None:
        """Closes what the journal leaves open: unfinished, or cancelled where it was never asked for."""
        for number, exchange in list(self._open.items()):
            if exchange.dispatched is None:
                del self._open[number]
            else:
                self._close(number, exchange, self._last_ns, STOPPED)
        if self.finished and self.phases:
            schedule = self._schedule()
            for number in sorted(schedule.keys() - self._closed):
                self._emit(self._row(schedule[number], _Exchange(), "cancelled", None, None, None), [])

    def _close(self, number: int, exchange: _Exchange, end_ns: int, reason: str) -> None:
        self._open.pop(number, None)
        self._closed.add(number)
        planned = self._schedule()[number]
        outcome, phase, error = _judge(exchange, reason)
        done = exchange.last_read if outcome == "ok" else end_ns
        row = self._row(planned, exchange, outcome, phase, error and self._shown(error), done)
        reads = [
            (
                planned.request_id,
                index,
                t.received_ns,
                t.bytes,
                t.deltas,
                t.characters,
                None,
                t.segments or None,
            )
            for index, t in enumerate(exchange.tokens)
        ]
        self._emit(row, reads)

    def _shown(self, error: str) -> str:
        """One line, cut only after secrets are out of it, so that none is left in half."""
        return " ".join(self._redact(error).split())[:ERROR_KEPT]

    def _row(
        self,
        planned: Planned,
        exchange: _Exchange,
        outcome: str,
        phase: str | None,
        error: str | None,
        done: int | None,
    ) -> Row:
        x, tokens = exchange, exchange.tokens
        usage = openai.usage(x.stream)
        prefill, decode = openai.server_times_ns(x.stream)
        deltas = sum(token.deltas for token in tokens)
        stated = usage.output_tokens is not None
        text = "".join(x.stream.text).encode(errors="surrogatepass")
        return (
            planned.request_id, planned.trial, planned.target, self._worker, x.attempt,
            planned.due_ns, x.dispatched, x.connect_start, x.connected, x.sent,
            x.first_byte, tokens[0].received_ns if tokens else None, x.first_output,
            tokens[-1].received_ns if tokens else None, done,
            outcome, phase, error, x.response.status, x.stream.finish_reason,
            usage.prompt_tokens, usage.output_tokens if stated else deltas or None,
            usage.reasoning_tokens, usage.cached_tokens,
            "usage" if stated else "deltas" if deltas else None,
            deltas, tokens[0].deltas if tokens else None, len(tokens), x.received_bytes,
            hashlib.sha256(text).hexdigest() if self._hash_text and tokens else None,
            ("kernel" if x.kernel else "user") if x.first_byte else None, prefill, decode,
        )  # fmt: skip


def _is_stream(response: http.Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status == 200 and kind == "text/event-stream"


def _judge(exchange: _Exchange, reason: str) -> tuple[str, str | None, str | None]:
    """Returns outcome, the phase in which it failed, and why."""
    status = exchange.response.status
    if reason == STOPPED:
        return "unfinished", _phase(exchange), "the load was stopped before the answer was complete"
    if reason:
        return "failed", _phase(exchange), reason
    if not _is_stream(exchange.response):
        return "failed", "headers", _refusal(exchange, status)
    if exchange.stream.error is not None:
        return "failed", "in_band", exchange.stream.error
    if not exchange.tokens:
        return "failed", "empty", "the answer carried no token"
    if not exchange.stream.whole:
        return "failed", "truncated", "the stream ended without finish_reason or [DONE]"
    return "ok", None, None


def _refusal(exchange: _Exchange, status: int | None) -> str:
    if status == 200:
        kind = exchange.response.headers.get("content-type", "(none)")
        return f"content type {kind[: http.TEXT_KEPT]}, not text/event-stream"
    return f"HTTP {status}: {exchange.body.decode(errors='replace')}"


def _phase(exchange: _Exchange) -> str:
    if exchange.first_byte is None and exchange.sent is None:
        return "connect"
    if exchange.response.status is None:
        return "headers"
    return "mid_stream" if exchange.tokens else "before_first_token"
