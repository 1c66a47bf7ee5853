"""From the wire journal to rows of `requests` and `reads`: the protocols run over what was received."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hxbench.records.journal import STOPPED, Entry, Kind
from hxbench.wire import http
from hxbench.wire.dialect import Answer, Content

Row = tuple[Any, ...]
BODY_KEPT = 2_000  # bytes of what is no answer of the dialect, before redaction
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


@dataclass(slots=True)
class _Exchange:
    """A request so far."""

    answer: Answer
    attempt: int = 1
    dispatched: int | None = None
    connect_start: int | None = None
    connected: int | None = None
    sent: int | None = None
    first_byte: int | None = None
    first_output: int | None = None
    last_read: int | None = None
    last: Entry | None = None  # the read itself
    received_bytes: int = 0
    kernel: bool = True
    response: http.Response = field(default_factory=http.Response)
    is_answer: bool | None = None  # of the dialect; None before its body began
    body: bytes = b""  # the start of what is none
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
        answer: Callable[[], Answer],
        hash_text: bool,
        redact: Callable[[str], str],
    ) -> None:
        self.phases: dict[str, list[int | None]] = {}  # name to [start_ns, end_ns]
        self.clock_rows: list[Row] = []
        self.finished = False
        self.last_ns = 0  # of what was fed
        self.ended: Counter[str] = Counter()  # requests by the phase they were planned for
        self._worker, self._schedule, self._emit = worker, schedule, emit
        self._answer, self._hash_text, self._redact = answer, hash_text, redact
        self._clock = Clock()
        self._open: dict[int, _Exchange] = {}
        self._closed: set[int] = set()

    @property
    def in_flight(self) -> int:
        return sum(exchange.dispatched is not None for exchange in self._open.values())

    @property
    def arriving(self) -> int:
        """Token-bearing reads of the requests that have not ended."""
        return sum(len(exchange.tokens) for exchange in self._open.values())

    def feed(self, entry: Entry) -> None:
        if entry.time_ns > self.last_ns:
            self.last_ns = entry.time_ns
        exchange = self._open.get(entry.number) if entry.kind == Kind.READ else None
        if exchange is not None:  # as for nearly all entries
            self._read(entry, exchange)
        elif entry.kind == Kind.CLOCK:
            self._clock.learn(entry.time_ns, entry.kernel_ns, entry.number)
            self.clock_rows.append((entry.time_ns, entry.kernel_ns, entry.number))
        elif entry.kind == Kind.PHASE:
            times = self.phases.setdefault(entry.body.decode(), [None, None])
            times[0 if entry.number else 1] = entry.time_ns
        elif entry.kind == Kind.FINISHED:
            self.finished = True
        elif entry.number not in self._closed:
            self._exchange(entry, self._open_exchange(entry.number))

    def _open_exchange(self, number: int) -> _Exchange:
        exchange = self._open.get(number)
        if exchange is None:
            exchange = self._open[number] = _Exchange(self._answer())
        return exchange

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
        exchange.last_read, exchange.last = time_ns, entry
        exchange.received_bytes += len(entry.body)
        try:
            body = exchange.response.feed(entry.body)
        except http.FramingError:
            return  # the worker saw the same bytes and says so at the end
        if not body:
            return
        if exchange.is_answer is None:  # with its body begun, the head is complete
            exchange.is_answer = _is_answer(exchange)
        if exchange.is_answer:
            _keep(exchange, exchange.answer.feed(body))
        else:
            exchange.body = (exchange.body + body)[:BODY_KEPT]

    def finish(self, *others: "Decoder") -> None:
        """Closes what the journals of a trial leave open: its own, and those of its `others` workers.

        What was sent is unfinished; what no worker ever sent is cancelled, if all came to their end.
        """
        every = (self, *others)
        for each in every:
            each._close_open()
        if all(each.finished and each.phases for each in every):
            schedule = self._schedule()
            for number in sorted(schedule.keys() - set().union(*(each._closed for each in every))):
                cancelled = _Exchange(self._answer())
                self._emit(self._row(schedule[number], cancelled, "cancelled", None, None, None), [])

    def _close_open(self) -> None:
        for number, exchange in list(self._open.items()):
            if exchange.dispatched is None:
                del self._open[number]
            else:
                self._close(number, exchange, self.last_ns, STOPPED)

    def _close(self, number: int, exchange: _Exchange, end_ns: int, reason: str) -> None:
        self._open.pop(number, None)
        self._closed.add(number)
        planned = self._schedule()[number]
        self.ended[planned.phase] += 1
        if not reason and _is_answer(exchange):
            _keep(exchange, exchange.answer.end())
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
        usage = x.answer.usage()
        prefill, decode = x.answer.server_times_ns()
        deltas = sum(token.deltas for token in tokens)
        stated = usage.output_tokens is not None
        counted = deltas if x.answer.stream else None  # an answer in one piece does not show its tokens
        text = x.answer.text().encode(errors="surrogatepass") if self._hash_text else b""
        return (
            planned.request_id, planned.trial, planned.target, self._worker, x.attempt,
            planned.due_ns, x.dispatched, x.connect_start, x.connected, x.sent,
            x.first_byte, tokens[0].received_ns if tokens else None, x.first_output,
            tokens[-1].received_ns if tokens else None, done,
            outcome, phase, error, x.response.status, x.answer.finish_reason,
            usage.prompt_tokens, usage.output_tokens if stated else counted or None,
            usage.reasoning_tokens, usage.cached_tokens,
            "usage" if stated else "deltas" if counted else None,
            deltas, tokens[0].deltas if tokens else None, len(tokens), x.received_bytes,
            hashlib.sha256(text).hexdigest() if self._hash_text and tokens else None,
            ("kernel" if x.kernel else "user") if x.first_byte else None, prefill, decode,
        )  # fmt: skip


def _is_answer(exchange: _Exchange) -> bool:
    response = exchange.response
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status == 200 and kind == exchange.answer.content_type


def _keep(exchange: _Exchange, content: Content) -> None:
    """Keeps what the last read carried, if it carried any of the answer."""
    time_ns, entry = exchange.last_read, exchange.last
    if not content.deltas or time_ns is None or entry is None:
        return
    if content.output and exchange.first_output is None:
        exchange.first_output = time_ns
    exchange.tokens.append(
        Token(time_ns, len(entry.body), content.deltas, content.characters, entry.segments)
    )


def _judge(exchange: _Exchange, reason: str) -> tuple[str, str | None, str | None]:
    """Returns outcome, the phase in which it failed, and why."""
    status = exchange.response.status
    if reason == STOPPED:
        return "unfinished", _phase(exchange), "the load was stopped before the answer was complete"
    if reason:
        return "failed", _phase(exchange), reason
    if not _is_answer(exchange):
        return "failed", "headers", _refusal(exchange, status)
    if exchange.answer.error is not None:
        return "failed", "in_band", exchange.answer.error
    if not exchange.tokens:
        return "failed", "empty", "the answer carried no token"
    if not exchange.answer.whole:
        return "failed", "truncated", f"the stream ended without {exchange.answer.ending}"
    return "ok", None, None


def _refusal(exchange: _Exchange, status: int | None) -> str:
    if status == 200:
        kind = exchange.response.headers.get("content-type", "(none)")
        return f"content type {kind[: http.TEXT_KEPT]}, not {exchange.answer.content_type}"
    return f"HTTP {status}: {exchange.body.decode(errors='replace')}"


def _phase(exchange: _Exchange) -> str:
    if exchange.first_byte is None and exchange.sent is None:
        return "connect"
    if exchange.response.status is None:
        return "headers"
    return "mid_stream" if exchange.tokens else "before_first_token"
