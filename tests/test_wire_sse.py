"""Server-sent events, against the cases of the standard and at every split."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hxbench.wire import sse

CASES = [
    case
    for case in json.loads((Path(__file__).parent / "reference_cases.json").read_text())["cases"]
    if case["id"].startswith("SSE-")
]


def data(chunks: list[bytes]) -> list[str]:
    stream = sse.EventStream()
    return [event.data for chunk in chunks for event in stream.feed(chunk)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_reference_cases_give_their_events(case: dict) -> None:  # type: ignore[type-arg]
    chunks = [bytes.fromhex(chunk) for chunk in case["input"]["chunks_hex"]]
    assert case["expected"]["data"] == data(chunks)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_events_are_the_same_byte_by_byte(case: dict) -> None:  # type: ignore[type-arg]
    whole = b"".join(bytes.fromhex(chunk) for chunk in case["input"]["chunks_hex"])
    assert case["expected"]["data"] == data([bytes([byte]) for byte in whole])


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("at", range(1, 24))
def test_any_line_end_may_be_split_anywhere(end: bytes, at: int) -> None:
    whole = end.join([b"event: e", b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert ["a\nb", "c"] == data([whole[:at], b"", whole[at:]])


def taken(chunks: list[bytes]) -> tuple[list[sse.Event], int, int]:
    stream = sse.EventStream()
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return events, stream.comments, stream.replacements


PARTS = [
    b"data: a\n\n", b"data: b", b"data:c", b"data", b"event: e", b": note", b"\n", b"\n\n", b"\r", b"\r\n",
    b"\xff", b"\xef\xbb\xbf", b"data:  \n\n", "data: ü\u2028\n\n".encode(),
]  # fmt: skip


@settings(deadline=None)
@given(parts=st.lists(st.sampled_from(PARTS), max_size=12), cuts=st.lists(st.integers(0, 80), max_size=4))
def test_however_a_stream_is_cut_its_events_are_those_of_single_bytes(
    parts: list[bytes], cuts: list[int]
) -> None:
    whole = b"".join(parts)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    assert taken([bytes([byte]) for byte in whole]) == taken([whole[a:b] for a, b in pairwise(edges)])


def test_a_line_feed_after_a_split_line_end_is_a_line_of_its_own() -> None:
    assert ["a"] == data([b"data: a\r", b"\n", b"\n"])


def test_a_line_separator_inside_json_does_not_end_the_line() -> None:
    assert ["a\u2028b"] == data(["data: a\u2028b\n\n".encode()])


def test_a_byte_order_mark_is_dropped_and_comments_are_counted() -> None:
    stream = sse.EventStream()
    assert [sse.Event("e", "x")] == stream.feed(b"\xef\xbb\xbfevent: e\n: ping\ndata: x\nid: 7\n\n")
    assert 1 == stream.comments


def test_invalid_utf8_is_replaced_and_counted() -> None:
    stream = sse.EventStream()
    assert ["\ufffd"] == [event.data for event in stream.feed(b"data: \xff\n\n")]
    assert 1 == stream.replacements


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(sse.StreamError, match="line longer"):
        data([b"x" * 100_000] * 20)


def test_a_long_line_that_ends_is_refused_too() -> None:
    with pytest.raises(sse.StreamError, match="line longer"):
        sse.EventStream().feed(b"data: " + b"x" * sse.LINE_LIMIT + b"\n")


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(sse.StreamError, match="event longer"):
        data([b"data: " + b"x" * 100_000 + b"\n"] * 60)
