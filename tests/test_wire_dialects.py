"""What holds for every API dialect, streamed and in one piece."""

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from dialects_by_hand import PATHS, WAYS, document, events

from hxbench.plan.profile import Target
from hxbench.wire.dialect import Answer, parsed
from hxbench.wire.dialects import DIALECTS, answers

TEXTS = ["Grüße", " \U0001f600", "\n"]
PROTOCOLS = list(PATHS)


def raw(protocol: str, *, stream: bool) -> bytes:
    return b"".join(events(protocol, TEXTS)) if stream else json.dumps(document(protocol, TEXTS)).encode()


def read(protocol: str, *parts: bytes, stream: bool = True) -> tuple[Answer, int, int]:
    """The answer after these parts and its end, its deltas and characters."""
    answer = answers(protocol, stream=stream)()
    found = [answer.feed(part) for part in parts] + [answer.end()]
    return answer, sum(content.deltas for content in found), sum(content.characters for content in found)


def test_a_profile_can_name_each_dialect_and_no_other() -> None:
    assert set(get_args(Target.model_fields["protocol"].annotation)) == DIALECTS.keys()
    assert PATHS == {name: dialect.path for name, dialect in DIALECTS.items()}


@pytest.mark.parametrize(("protocol", "stream"), WAYS)
def test_an_answer_is_the_same_at_whatever_split(protocol: str, stream: bool) -> None:
    whole = raw(protocol, stream=stream)
    splits = [(whole[:at], whole[at:]) for at in range(len(whole) + 1)]
    for parts in [*splits, tuple(bytes([byte]) for byte in whole)]:
        answer, deltas, characters = read(protocol, *parts, stream=stream)
        assert (3 if stream else 1, sum(map(len, TEXTS))) == (deltas, characters)
        assert ("".join(TEXTS), True, None) == (answer.text("content"), answer.whole, answer.error)
        assert (9, 3) == answer.usage()[:2]
        assert answer.finish_reason in ("stop", "end_turn")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_cheap_look_finds_each_event_with_text_and_no_other(protocol: str) -> None:
    answer = answers(protocol, stream=True)()
    for event in events(protocol, TEXTS):
        carried = answer.feed(event).deltas > 0
        assert carried == bool(DIALECTS[protocol].token_hint.search(event)), event


@pytest.mark.parametrize(("protocol", "stream"), WAYS)
def test_an_answer_that_is_cut_short_is_not_whole(protocol: str, stream: bool) -> None:
    parts = events(protocol, TEXTS)[:-1] if stream else [raw(protocol, stream=False)[:-1]]
    answer, deltas, _ = read(protocol, *parts, stream=stream)
    assert not answer.whole
    assert (3 if stream else 0) == deltas


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_answer_in_one_piece_shows_nothing_before_its_end_and_nothing_after(protocol: str) -> None:
    answer = answers(protocol, stream=False)()
    assert (0, 0, False) == answer.feed(raw(protocol, stream=False))
    assert not answer.whole
    assert (1, 8, True) == answer.end()
    assert (0, 0, False) == answer.end()
    assert "".join(TEXTS) == answer.text()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{broken", "the answer is not JSON: {broken"),
        (b"\xff\xfe", "the answer is not JSON: "),
        (b"[" * 200_000, "the answer is not JSON: [["),
        (b"5", "error in the answer: 5"),
        (b'{"error": {"message": "out of memory"}}', "out of memory"),
        (b'{"type": "error", "error": {"message": "overloaded"}}', "overloaded"),
    ],
)
def test_a_document_that_is_no_answer_is_an_error(protocol: str, body: bytes, error: str) -> None:
    answer, deltas, _ = read(protocol, body, stream=False)
    assert answer.error is not None
    assert (True, False, 0) == (error in answer.error, answer.whole, deltas)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"data: {broken\n\n", "event is not JSON"),
        (b"data: 5\n\n", "error in the stream"),
        (b'event: error\ndata: {"type": "error", "error": {"message": "overloaded"}}\n\n', "overloaded"),
        (b"data: " + b"[" * 200_000 + b"\n\n", "event is not JSON"),
        (b"data: " + b"x" * 2_000_000 + b"\n\n", "line longer"),
    ],
)
def test_a_stream_that_is_none_is_an_error(protocol: str, body: bytes, error: str) -> None:
    answer, deltas, _ = read(protocol, body)
    assert answer.error is not None
    assert (True, False, 0) == (error in answer.error, answer.whole, deltas)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_empty_answer_carries_nothing(protocol: str) -> None:
    answer, deltas, _ = read(protocol, b"", stream=False)
    assert (0, False, None, []) == (deltas, answer.whole, answer.error, answer.pieces)


def asked(protocol: str, messages: list[dict[str, str]], *, stream: bool) -> Any:
    sampling: dict[str, Any] = {"model": "m", "max_tokens": 5, "temperature": 0.5, "seed": 7}
    return json.loads(DIALECTS[protocol].body(messages, **sampling, extra={"top_k": 1}, stream=stream))


USER = {"role": "user", "content": "Hi"}
COMMON = {"model": "m", "max_tokens": 5, "temperature": 0.5, "top_k": 1}


@pytest.mark.parametrize(
    ("protocol", "own"),
    [
        ("openai-chat", {"messages": [USER], "seed": 7, "stream_options": {"include_usage": True}}),
        ("openai-completions", {"prompt": "Hi", "seed": 7, "stream_options": {"include_usage": True}}),
        ("anthropic-messages", {"messages": [USER]}),
    ],
)
def test_a_request_has_the_members_of_its_dialect(protocol: str, own: dict[str, Any]) -> None:
    assert {**COMMON, **own, "stream": True} == asked(protocol, [USER], stream=True)
    own.pop("stream_options", None)
    assert {**COMMON, **own, "stream": False} == asked(protocol, [USER], stream=False)


def test_anthropics_system_stands_apart_from_the_messages() -> None:
    given = [{"role": "system", "content": "a"}, USER, {"role": "developer", "content": "b"}]
    made = asked("anthropic-messages", given, stream=True)
    assert ("a\n\nb", [USER]) == (made["system"], made["messages"])


@pytest.mark.parametrize(
    ("protocol", "roles", "objection"),
    [
        ("openai-chat", ["system", "user"], None),
        ("openai-completions", ["user"], None),
        ("openai-completions", ["system", "user"],
         "openai-completions takes one message, not a conversation of 2"),
        ("anthropic-messages", ["system", "user"], None),
        ("anthropic-messages", ["system"], "anthropic-messages needs a message that is not the system's"),
    ],
)  # fmt: skip
def test_a_dialect_objects_to_messages_it_cannot_send(
    protocol: str, roles: list[str], objection: str | None
) -> None:
    assert objection == DIALECTS[protocol].objection([{"role": role, "content": "x"} for role in roles])


def test_each_dialect_has_its_own_header_for_a_key() -> None:
    assert {"Authorization": "Bearer k"} == DIALECTS["openai-completions"].headers("k")
    assert {} == DIALECTS["openai-chat"].headers(None)
    version = {"anthropic-version": "2023-06-01"}
    assert version | {"x-api-key": "k"} == DIALECTS["anthropic-messages"].headers("k")
    assert version == DIALECTS["anthropic-messages"].headers(None)


def test_an_event_after_done_is_an_error() -> None:
    last = events("openai-completions", ["a"])
    answer, _, _ = read("openai-completions", *last, last[1])
    assert "an event after [DONE]" == answer.error


def test_a_chat_in_one_piece_has_its_channels() -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}
    message = {"content": "a", "reasoning_content": "hm", "refusal": None, "tool_calls": [call]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()
    answer, deltas, characters = read("openai-chat", body, stream=False)
    assert (1, 6, "a", "hm", "f{}") == (
        deltas, characters, answer.text("content"), answer.text("reasoning"), answer.text("tool"),
    )  # fmt: skip


def test_an_answer_in_one_piece_that_is_all_reasoning_has_no_output() -> None:
    answer = answers("openai-chat", stream=False)()
    answer.feed(b'{"choices": [{"message": {"reasoning": "hm"}}]}')
    assert (1, 2, False) == answer.end()


def outcome(read: Callable[[str], Any], text: str) -> object:
    try:
        return repr(read(text))
    except (ValueError, RecursionError) as error:
        return type(error)


TEXTS_OF_JSON = [
    '{"a": [1, 2.5, null, "x"]}', ' {"a": 1}', '{"a": 1}\n', "\ufeff{}", '{"a": 1} {', '{"a": 1}{"b": 2}',
    "", " ", "[", "7", '{"a": NaN, "b": -Infinity}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', '{"a": "\x01"}',
    "1" * 5_000, "[" * 100_000, '{"a": "\u2028"}', '{"a": 1e999}',
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS_OF_JSON, ids=range(len(TEXTS_OF_JSON)))
def test_an_event_is_read_as_the_standard_library_reads_json(text: str) -> None:
    assert outcome(json.loads, text) == outcome(parsed, text)
