"""From journal entries to rows: stamps, tokens, outcomes. Pure: entries in, rows out."""

import hashlib
import json
from typing import Any

import pytest

from hxbench.record.decoding import Clock, Decoder, Planned
from hxbench.record.redaction import redact
from hxbench.records.journal import STOPPED, Entry, Kind
from hxbench.records.schemas import READS, REQUESTS
from hxbench.wire.dialects import answers
from tests.servers import DONE, END, STREAM_HEAD, chunk, delta, event, plain, usage

OFFSET = 1_700_000_000_000_000_000  # realtime minus monotonic
MS = 1_000_000


class Rows:
    """A decoder that knows two requests, and what it gave."""

    def __init__(
        self,
        *,
        protocol: str = "openai-chat",
        stream: bool = True,
        hash_text: bool = False,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.reads: list[dict[str, Any]] = []
        schedule = {
            0: Planned("r0", 1, "main", "warmup", None),
            1: Planned("r1", 1, "main", "measure", 900 * MS),
        }
        self.decoder = Decoder(
            0,
            lambda: schedule,
            self._emit,
            answer=answers(protocol, stream=stream),
            hash_text=hash_text,
            redact=lambda text: redact(text, secrets),
        )

    def _emit(self, request: Any, reads: list[Any]) -> None:
        self.requests.append(dict(zip(REQUESTS.names, request, strict=True)))
        self.reads += [dict(zip(READS.names, read, strict=True)) for read in reads]

    def feed(self, *entries: Entry) -> "Rows":
        for entry in entries:
            self.decoder.feed(entry)
        return self

    @property
    def only(self) -> dict[str, Any]:
        (request,) = self.requests
        return request


def at(kind: Kind, ms: float, body: bytes = b"", kernel_ms: float | None = None, number: int = 1) -> Entry:
    kernel = 0 if kernel_ms is None else OFFSET + round(kernel_ms * MS)
    return Entry(kind, 1, number, round(ms * MS), kernel, body)


def clock(ms: float, offset: int = OFFSET, bracket_ns: int = 200) -> Entry:
    return Entry(Kind.CLOCK, 0, bracket_ns, round(ms * MS), round(ms * MS) + offset, b"")


def answer(*reads: tuple[float, bytes], end: bytes = b"", **options: Any) -> Rows:
    """A request dispatched at 1000 ms whose reads came at these times, without kernel stamps."""
    rows = Rows(**options).feed(at(Kind.DISPATCH, 1000), at(Kind.SENT, 1001))
    rows.feed(*(at(Kind.READ, ms, body) for ms, body in reads))
    return rows.feed(at(Kind.END, reads[-1][0] + 5 if reads else 1100, end))


TAIL = event(delta(None, "stop")) + event(usage(9, 2)) + DONE + END


def test_the_kernels_stamp_is_converted_to_the_monotonic_clock() -> None:
    rows = Rows().feed(clock(990), at(Kind.DISPATCH, 1000), at(Kind.SENT, 1000.1))
    rows.feed(at(Kind.READ, 1003, STREAM_HEAD + event(delta("a")) + TAIL, kernel_ms=1002), at(Kind.END, 1004))
    row = rows.only
    assert ("kernel", 1002 * MS, 1002 * MS) == (row["stamp"], row["first_byte_ns"], row["first_token_ns"])
    assert [1002 * MS] == [read["received_ns"] for read in rows.reads]


def test_without_a_pair_of_clocks_the_workers_own_stamp_counts() -> None:
    rows = Rows().feed(at(Kind.DISPATCH, 1000))
    rows.feed(at(Kind.READ, 1003, STREAM_HEAD + event(delta("a")) + TAIL, kernel_ms=1002), at(Kind.END, 1004))
    assert ("user", 1003 * MS) == (rows.only["stamp"], rows.only["first_token_ns"])


@pytest.mark.parametrize(
    ("kernel_ms", "seen_ms"),
    [
        (1004, 1004), (1005, 1005), (1005.04, 1005), (1005.06, None), (5000, None),
        (1000, 1000), (999.96, 1000), (999.94, None), (-5000, None),
    ],
)  # fmt: skip
def test_a_stamp_out_of_order_can_only_come_from_a_stepped_clock(
    kernel_ms: float, seen_ms: float | None
) -> None:
    known = Clock()
    known.learn(990 * MS, 990 * MS + OFFSET, 200)
    expected = None if seen_ms is None else seen_ms * MS
    assert expected == known.received(at(Kind.READ, 1005, b"x", kernel_ms), after_ns=1000 * MS)


def test_a_read_without_a_kernel_stamp_has_none() -> None:
    known = Clock()
    known.learn(0, OFFSET, 200)
    assert known.received(at(Kind.READ, 1005, b"x"), after_ns=0) is None


def test_a_pair_of_clocks_read_too_far_apart_is_not_used_but_kept() -> None:
    rows = Rows().feed(clock(900), clock(990, OFFSET + 40 * MS, 80 * MS), at(Kind.DISPATCH, 1000))
    rows.feed(at(Kind.READ, 1003, STREAM_HEAD + event(delta("a")) + TAIL, kernel_ms=1002), at(Kind.END, 1004))
    assert 1002 * MS == rows.only["first_token_ns"]
    assert [200, 80 * MS] == [row[2] for row in rows.decoder.clock_rows]


def test_a_clock_that_steps_in_the_middle_costs_stamps_until_the_next_pair() -> None:
    step = 3_600_000  # an hour back
    rows = Rows().feed(clock(990), at(Kind.DISPATCH, 1000), at(Kind.SENT, 1001))
    rows.feed(at(Kind.READ, 1010, STREAM_HEAD + event(delta("a")), kernel_ms=1009))
    rows.feed(at(Kind.READ, 1020, event(delta("b")), kernel_ms=1019 - step))
    rows.feed(clock(1025, OFFSET - step * MS))
    rows.feed(at(Kind.READ, 1030, event(delta("c")), kernel_ms=1029 - step))
    rows.feed(at(Kind.READ, 1040, TAIL, kernel_ms=1039 - step), at(Kind.END, 1041))
    assert [1009 * MS, 1020 * MS, 1029 * MS] == [read["received_ns"] for read in rows.reads]
    assert "user" == rows.only["stamp"]


def test_an_answer_that_came_before_its_request_was_noted_as_sent_keeps_the_order() -> None:
    rows = Rows().feed(clock(990), at(Kind.DISPATCH, 1000), at(Kind.SENT, 1005))
    rows.feed(at(Kind.READ, 1006, STREAM_HEAD + event(delta("a")) + TAIL, kernel_ms=1003), at(Kind.END, 1007))
    assert (1003 * MS, 1003 * MS) == (rows.only["sent_ns"], rows.only["first_byte_ns"])


def test_the_deltas_of_the_first_token_read_are_counted_apart() -> None:
    rows = answer(
        (1010, STREAM_HEAD + event(delta(None, role="assistant"))),
        (1020, event(delta("a")) + event(delta("b")) + event(delta("c"))),
        (1030, event(delta("d"))),
        (1040, TAIL),
    )
    row = rows.only
    assert (4, 3, 2) == (row["deltas"], row["first_read_deltas"], row["reads"])
    assert (1010 * MS, 1020 * MS, 1030 * MS, 1040 * MS) == (
        row["first_byte_ns"], row["first_token_ns"], row["last_token_ns"], row["done_ns"],
    )  # fmt: skip
    assert [(0, 3, 3), (1, 1, 1)] == [(r["index"], r["deltas"], r["characters"]) for r in rows.reads]


def test_a_delta_split_over_reads_belongs_to_the_read_that_completes_it() -> None:
    whole = event(delta("a"))
    rows = answer((1010, STREAM_HEAD + whole[:20]), (1020, whole[20:]), (1030, TAIL))
    assert [1020 * MS] == [read["received_ns"] for read in rows.reads]


def test_reasoning_is_a_token_but_no_output() -> None:
    think = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}
    rows = answer((1010, STREAM_HEAD + event(think)), (1020, event(delta("a"))), (1030, TAIL))
    assert (1010 * MS, 1020 * MS) == (rows.only["first_token_ns"], rows.only["first_output_ns"])


def test_an_answer_of_reasoning_alone_has_no_first_output() -> None:
    think = {"choices": [{"index": 0, "delta": {"reasoning": "hm"}}]}
    assert answer((1010, STREAM_HEAD + event(think) + TAIL)).only["first_output_ns"] is None


def test_the_servers_usage_counts_tokens_and_deltas_only_where_there_is_none() -> None:
    stated = answer((1010, STREAM_HEAD + event(delta("a")) + TAIL)).only
    counted = answer((1010, STREAM_HEAD + event(delta("a")) + event(delta("b", "stop")) + DONE + END)).only
    assert (2, "usage", 9) == (stated["output_tokens"], stated["token_source"], stated["prompt_tokens"])
    assert (2, "deltas", None) == (
        counted["output_tokens"],
        counted["token_source"],
        counted["prompt_tokens"],
    )


def test_no_token_and_no_usage_is_absent_not_zero() -> None:
    row = answer((1010, STREAM_HEAD + event(delta(None, "stop")) + DONE + END)).only
    assert (None, None, 0, 0) == (row["output_tokens"], row["token_source"], row["deltas"], row["reads"])
    assert ("failed", "empty") == (row["outcome"], row["error_phase"])


def test_the_text_is_hashed_only_when_asked_for() -> None:
    reads = (1010, STREAM_HEAD + event(delta("a")) + event(delta("é\ud800")) + TAIL)
    hashed = answer(reads, hash_text=True).only["text_sha256"]
    assert hashlib.sha256("aé\ud800".encode(errors="surrogatepass")).hexdigest() == hashed
    assert answer(reads).only["text_sha256"] is None


@pytest.mark.parametrize(
    ("reads", "end", "phase", "error"),
    [
        ([], b"connect: refused", "headers", "connect: refused"),
        ([b"HTTP/1.1 200 OK\r\n"], b"gone", "headers", "gone"),
        ([STREAM_HEAD], b"gone", "before_first_token", "gone"),
        ([STREAM_HEAD + event(delta("a"))], b"gone", "mid_stream", "gone"),
        ([STREAM_HEAD + event(delta("a")) + END], b"", "truncated", "without finish_reason"),
        ([STREAM_HEAD + event({"error": "oom"}) + END], b"", "in_band", '{"error": "oom"}'),
        ([plain(503, "a\nb")], b"", "headers", "HTTP 503: a b"),
        ([plain(200, "x", kind="text/html")], b"", "headers", "text/html, not text/event-stream"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], b"", "headers", "(none), not text/event-stream"),
        ([b"no http\r\n\r\n"], b"not an HTTP/1.1 answer", "headers", "not an HTTP/1.1 answer"),
    ],
)
def test_a_failure_has_its_phase_and_its_reason(
    reads: list[bytes], end: bytes, phase: str, error: str
) -> None:
    row = answer(*((1010 + index, read) for index, read in enumerate(reads)), end=end).only
    assert ("failed", phase) == (row["outcome"], row["error_phase"])
    assert error in row["error"]


def test_a_request_that_was_never_sent_failed_in_connect() -> None:
    rows = Rows().feed(at(Kind.DISPATCH, 1000), at(Kind.CONNECT_START, 1000), at(Kind.END, 1001, b"refused"))
    row = rows.only
    assert ("connect", 1001 * MS, None) == (row["error_phase"], row["done_ns"], row["stamp"])


def test_a_retry_is_an_attempt_more() -> None:
    rows = Rows().feed(at(Kind.DISPATCH, 1000), at(Kind.SENT, 1001), at(Kind.RETRY, 1002))
    rows.feed(at(Kind.CONNECT_START, 1002), at(Kind.CONNECTED, 1003), at(Kind.SENT, 1004))
    rows.feed(at(Kind.READ, 1010, STREAM_HEAD + event(delta("a")) + TAIL), at(Kind.END, 1011))
    row = rows.only
    assert (2, 1002 * MS, 1003 * MS, 1004 * MS) == (
        row["attempt"], row["connect_start_ns"], row["connected_ns"], row["sent_ns"],
    )  # fmt: skip


def test_what_comes_after_the_end_changes_nothing() -> None:
    rows = answer((1010, STREAM_HEAD + event(delta("a")) + TAIL))
    rows.feed(at(Kind.READ, 1100, b"late"), at(Kind.END, 1101, b"late"))
    rows.decoder.finish()
    assert ["ok"] == [row["outcome"] for row in rows.requests]


def test_what_the_journal_leaves_open_is_unfinished() -> None:
    rows = Rows().feed(at(Kind.DISPATCH, 1000), at(Kind.READ, 1010, STREAM_HEAD + event(delta("a"))))
    assert 1 == rows.decoder.in_flight
    rows.decoder.finish()
    assert ("unfinished", "mid_stream", 1010 * MS) == (
        rows.only["outcome"], rows.only["error_phase"], rows.only["done_ns"],
    )  # fmt: skip


def test_a_request_the_stop_ended_is_unfinished() -> None:
    row = answer((1010, STREAM_HEAD), end=STOPPED.encode()).only
    assert ("unfinished", "the load was stopped before the answer was complete") == (
        row["outcome"],
        row["error"],
    )


def test_rows_a_finished_worker_never_sent_are_cancelled_and_without_times() -> None:
    rows = Rows().feed(at(Kind.PHASE, 1, b"warmup"), at(Kind.CONNECT_START, 2), at(Kind.FINISHED, 3))
    rows.decoder.finish()
    assert [("r0", "cancelled", None), ("r1", "cancelled", None)] == [
        (row["request_id"], row["outcome"], row["dispatched_ns"]) for row in rows.requests
    ]
    assert [None, 900 * MS] == [row["due_ns"] for row in rows.requests]


def test_rows_a_killed_worker_never_sent_have_no_row() -> None:
    rows = Rows().feed(at(Kind.PHASE, 1, b"warmup"))
    rows.decoder.finish()
    assert [] == rows.requests


def test_a_phase_has_its_start_and_its_end() -> None:
    rows = Rows().feed(
        Entry(Kind.PHASE, 0, 1, 5, 0, b"measure"),
        Entry(Kind.PHASE, 0, 0, 9, 0, b"measure"),
        Entry(Kind.PHASE, 0, 1, 9, 0, b"drain"),
    )
    assert {"measure": [5, 9], "drain": [9, None]} == rows.decoder.phases


SECRET = "canary/key+42"


@pytest.mark.parametrize("before", [180, 280, 295, 299, 990])
def test_a_key_that_a_server_echoes_is_in_no_error_not_even_in_part(before: int) -> None:
    body = "x" * before + SECRET + "y" * 50
    shown = answer((1010, plain(401, body)), secrets=(SECRET,)).only["error"]
    assert SECRET[:6] not in shown
    assert len(shown) <= 300


def test_a_key_in_a_broken_event_is_in_no_error() -> None:
    raw = STREAM_HEAD + chunk(b"data: {" + SECRET.encode() + b"\n\n") + END
    assert "event is not JSON: {[redacted]" == answer((1010, raw), secrets=(SECRET,)).only["error"]


def test_huge_and_odd_values_from_a_server_fit_the_records() -> None:
    wild = {
        "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "\ud800" * 500}],
        "usage": {"completion_tokens": 10**40, "prompt_tokens": -1},
        "timings": {"prompt_ms": 1e300, "predicted_ms": 12.5},
    }
    row = answer((1010, STREAM_HEAD + chunk(b"data: " + json.dumps(wild).encode() + b"\n\n") + END)).only
    assert ("ok", 1, "deltas", None, None, 12_500_000) == (
        row["outcome"], row["output_tokens"], row["token_source"], row["prompt_tokens"],
        row["server_prefill_ns"], row["server_decode_ns"],
    )  # fmt: skip
    assert 80 == len(row["finish_reason"])


def test_an_entry_of_a_later_kind_is_passed_over() -> None:
    rows = Rows().feed(at(Kind.DISPATCH, 1000), Entry(99, 0, 1, 1001, 0, b""), at(Kind.END, 1002, b"x"))
    assert "failed" == rows.only["outcome"]
