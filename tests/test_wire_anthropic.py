"""The order of events in a streamed message, and what each of them carries."""

import json
from typing import Any

import pytest
from dialects_by_hand import DONE, MESSAGE_STOP, block, data, delivery, named, opening, piece, stop

from hxbench.wire.anthropic import DIALECT, Message

START, PING = opening(input_tokens=5), named("ping")


def stream(*parts: bytes) -> Message:
    fed = Message(stream=True)
    for part in parts:
        fed.feed(part)
    return fed


def test_blocks_come_one_after_the_other_with_pings_and_unknown_events_anywhere() -> None:
    fed = stream(
        PING, START, PING, block(0, type="thinking", thinking=""),
        piece("hm", kind="thinking_delta", member="thinking"),
        piece("sig", kind="signature_delta", member="signature"), stop(0),
        named("later_invention", index=9), block(1), PING, piece("Paris", 1), stop(1),
        block(2, type="tool_use", name="f", input={}),
        piece('{"a"', 2, "input_json_delta", "partial_json"), stop(2),
        delivery("tool_use", output_tokens=9), MESSAGE_STOP, PING,
    )  # fmt: skip
    assert (None, True, "tool_use") == (fed.error, fed.whole, fed.finish_reason)
    assert [("reasoning", "hm"), ("content", "Paris"), ("tool", "f"), ("tool", '{"a"')] == fed.pieces
    assert (5, 9, None, None) == fed.usage()


def test_thinking_is_a_token_but_no_output() -> None:
    fed = stream(START, block(type="thinking", thinking=""))
    assert (1, 2, False) == fed.feed(piece("hm", kind="thinking_delta", member="thinking"))
    assert (0, 0, False) == fed.feed(piece("", kind="thinking_delta", member="thinking"))


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([block()], "content_block_start before message_start"),
        ([piece("a")], "content_block_delta before message_start"),
        ([MESSAGE_STOP], "message_stop before message_start"),
        ([START, START], "a second message_start"),
        ([START, piece("a")], "content_block_delta for a block that is not open"),
        ([START, block(0), piece("a", 1)], "content_block_delta for a block that is not open"),
        ([START, block(0), block(1)], "content_block_start inside a block"),
        ([START, stop()], "content_block_stop for a block that is not open"),
        ([START, block(0), stop(1)], "content_block_stop for a block that is not open"),
        ([START, block(), stop(), stop()], "content_block_stop for a block that is not open"),
        ([START, block(), delivery()], "message_delta inside a block"),
        ([START, delivery(), block()], "content_block_start after message_delta"),
        ([START, MESSAGE_STOP], "message_stop before message_delta"),
        ([START, delivery(), MESSAGE_STOP, block()], "content_block_start after message_stop"),
        ([START, delivery(), MESSAGE_STOP, MESSAGE_STOP], "message_stop after message_stop"),
    ],
)
def test_a_broken_order_is_an_error(parts: list[bytes], error: str) -> None:
    assert f"order of events: {error}" == stream(*parts).error


def test_the_first_error_counts() -> None:
    assert "order of events: message_stop before message_start" == stream(MESSAGE_STOP, b"data: {\n\n").error


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (data({"type": "message_start"}), "event message holds type message_start"),
        (b'event: ping\ndata: {"type": "message_stop"}\n\n', "event ping holds type message_stop"),
        (b"event: ping\ndata: {}\n\n", "event ping holds type "),
        (DONE, "event is not JSON: [DONE]"),
    ],
)
def test_an_event_bears_its_type_as_its_name(raw: bytes, error: str) -> None:
    assert error == stream(START, raw).error


def test_a_done_after_the_end_is_passed_over() -> None:
    fed = stream(START, delivery(), MESSAGE_STOP, DONE)
    assert (None, True) == (fed.error, fed.whole)


def test_only_message_stop_makes_a_stream_whole() -> None:
    assert not stream(START, block(), piece("a"), stop(), delivery("end_turn", output_tokens=1)).whole


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 1}, {"output_tokens": 7}, (5, 7, None, None)),
        ({"input_tokens": 5, "output_tokens": 1}, {}, (5, None, None, None)),
        ({"input_tokens": 1, "cache_read_input_tokens": 30}, {"output_tokens": 7}, (31, 7, None, 30)),
        ({"input_tokens": 1, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 0},
         {"output_tokens": 7}, (5, 7, None, 0)),
        ({"input_tokens": 0}, {"input_tokens": 8, "output_tokens": 7}, (8, 7, None, None)),
        ({"input_tokens": 5}, {"input_tokens": None, "output_tokens": 10**15}, (5, None, None, None)),
        ({"cache_read_input_tokens": 3}, {}, (None, None, None, 3)),
    ],
)  # fmt: skip
def test_the_prompt_is_what_was_read_written_to_and_taken_from_the_cache(
    first: dict[str, Any], last: dict[str, Any], expected: tuple[int | None, ...]
) -> None:
    fed = stream(opening(**first), delivery(**last), MESSAGE_STOP)
    assert expected == fed.usage()
    assert (None, None) == fed.server_times_ns()


def test_malformed_members_are_passed_over() -> None:
    fed = stream(
        named("message_start", message=5), named("content_block_start", content_block=[1]),
        named("content_block_delta", delta={"type": "text_delta", "text": 5}), named("content_block_stop"),
        named("message_delta", delta=None, usage=3), MESSAGE_STOP,
    )  # fmt: skip
    assert ([], None, None) == (fed.pieces, fed.error, fed.finish_reason)


@pytest.mark.parametrize(
    ("raw", "hit"),
    [
        (block(), False),
        (block(type="thinking", thinking=""), False),
        (PING, False),
        (START, False),
        (delivery(output_tokens=1), False),
        (piece("a"), True),
        (piece("hm", kind="thinking_delta", member="thinking"), True),
        (piece("{", kind="input_json_delta", member="partial_json"), True),
    ],
)
def test_the_cheap_look_for_a_token_sees_only_text(raw: bytes, hit: bool) -> None:
    assert hit == bool(DIALECT.token_hint.search(raw))


def whole(**members: Any) -> Message:
    fed = Message(stream=False)
    fed.feed(json.dumps({"type": "message", "stop_reason": "end_turn", **members}).encode())
    fed.end()
    return fed


def test_a_message_in_one_piece_has_its_blocks() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Paris"}, 5,
        {"type": "tool_use", "name": "f", "input": {"a": 1}}, {"type": "text", "text": ""},
    ]  # fmt: skip
    fed = whole(content=blocks, usage={"input_tokens": 2, "output_tokens": 9})
    assert [("reasoning", "hm"), ("content", "Paris"), ("tool", 'f{"a": 1}')] == fed.pieces
    assert (True, "end_turn", (2, 9, None, None)) == (fed.whole, fed.finish_reason, fed.usage())


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("completion", "the answer is of type completion, not message"),
        (None, "the answer is of type (none), not message"),
    ],
)
def test_a_document_of_another_type_is_no_message(kind: str | None, error: str) -> None:
    fed = whole(type=kind, content=[{"type": "text", "text": "a"}])
    assert (error, False) == (fed.error, fed.whole)
