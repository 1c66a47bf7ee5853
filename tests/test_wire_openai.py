"""What each read of a streamed chat completion carried."""

import json
from typing import Any

import pytest

from hxbench.wire.openai import DIALECT, Chat, body


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


def stream(*parts: bytes) -> Chat:
    fed = Chat(stream=True)
    for part in parts:
        fed.feed(part)
    return fed


def test_the_body_asks_for_a_stream_with_usage_and_extra_keys_win() -> None:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 5, "temperature": 0, "seed": 0}
    extra = {"ignore_eos": True, "seed": 9}
    expected = {
        "model": "m", "messages": [], "max_tokens": 5, "temperature": 0, "seed": 9, "stream": True,
        "stream_options": {"include_usage": True}, "ignore_eos": True,
    }  # fmt: skip
    assert expected == json.loads(body([], **asked, extra=extra, stream=True))
    del expected["stream_options"]
    assert expected | {"stream": False} == json.loads(body([], **asked, extra=extra, stream=False))


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"role": "assistant", "content": None}, (0, 0, False)),
        ({"content": ""}, (0, 0, False)),
        ({"content": "ab"}, (1, 2, True)),
        ({"reasoning_content": "abc"}, (1, 3, False)),
        ({"reasoning": "abc"}, (1, 3, False)),
        ({"reasoning": "abc", "content": "d"}, (2, 4, True)),
        ({"refusal": "no"}, (1, 2, True)),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, (1, 3, True)),
        ({"tool_calls": [{"function": None}, None]}, (0, 0, False)),
        ({"tool_calls": 5}, (0, 0, False)),
    ],
)
def test_only_deltas_with_text_count(delta: Any, expected: tuple[int, int, bool]) -> None:
    assert expected == Chat(stream=True).feed(chunk(delta))


@pytest.mark.parametrize(
    ("raw", "hit"),
    [
        (b'{"delta":{"role":"assistant","content":null}}', False),
        (b'{"delta":{"content":""}}', False),
        (b": ping", False),
        (b'{"delta":{"content":"x"}}', True),
        (b'{"delta":{"reasoning_content": "x"}}', True),
        (b'{"function":{"arguments":"{"}}', True),
    ],
)
def test_the_cheap_look_for_a_token_sees_only_text(raw: bytes, hit: bool) -> None:
    assert hit == bool(DIALECT.token_hint.search(raw))


def test_the_end_is_a_finish_reason_or_done() -> None:
    assert not stream(chunk({"content": "a"})).whole
    assert stream(chunk({"content": "a"}), chunk(finish="stop")).whole
    assert stream(b"data: [DONE]\n\ndata: [DONE]\n\n").whole


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"data: {broken\n\n", "not JSON"),
        (b"data: 5\n\n", "error in the stream"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (b'event: error\ndata: {"message": "gone"}\n\n', "gone"),
        (b"data: " + b"[" * 200_000 + b"\n\n", "not JSON"),
        (b"data: " + b"x" * 2_000_000 + b"\n\n", "line longer"),
    ],
)
def test_an_error_in_the_stream_is_kept_and_the_first_one_counts(raw: bytes, text: str) -> None:
    fed = stream(raw, b'data: {"error": "second"}\n\n')
    assert fed.error is not None
    assert text in fed.error


def test_usage_and_timings_are_read_from_whatever_chunk_has_them() -> None:
    stated = {
        "prompt_tokens": 7, "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1},
    }  # fmt: skip
    fed = stream(chunk(usage=stated, timings={"prompt_ms": 1.5, "predicted_ms": 2}), chunk(usage=None))
    assert (7, 3, 1, 2) == fed.usage()
    assert (1_500_000, 2_000_000) == fed.server_times_ns()


def test_what_the_server_does_not_state_is_absent_not_zero() -> None:
    fed = stream(chunk({"content": "a"}, usage={"prompt_tokens": -1, "completion_tokens": True}, timings={}))
    assert (None, None, None, None) == fed.usage()
    assert (None, None) == fed.server_times_ns()


@pytest.mark.parametrize("count", [10**15, 10**30, 1.5, "7", None])
def test_a_count_that_is_none_or_fits_no_table_is_absent(count: Any) -> None:
    assert stream(chunk(usage={"completion_tokens": count})).usage().output_tokens is None


def test_a_finish_reason_is_a_short_text_that_can_be_stored() -> None:
    fed = stream(b'data: {"choices": [{"finish_reason": "\\ud800' + b"x" * 200 + b'"}]}\n\n')
    assert "?" + "x" * 79 == fed.finish_reason


@pytest.mark.parametrize("stated", [True, "x", -1, float("nan"), float("inf"), 10**400])
def test_server_times_that_are_none_are_absent(stated: Any) -> None:
    fed = stream(chunk(timings={"prompt_ms": stated, "predicted_ms": 2}))
    assert (None, 2_000_000) == fed.server_times_ns()


def test_llama_cpp_timings_fill_in_the_cached_count() -> None:
    assert 5 == stream(chunk(timings={"cache_n": 5})).usage().cached_tokens


def test_malformed_choices_are_passed_over() -> None:
    fed = stream(b'data: {"choices": [5, {"delta": 5}], "usage": 5}\n\n', b'data: {"choices": 5}\n\n')
    assert ([], None) == (fed.pieces, fed.error)
