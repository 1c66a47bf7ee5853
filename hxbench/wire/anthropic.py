"""Anthropic's messages: the request's body, and what each piece of the answer carried.

A stream is message_start, then blocks (content_block_start, content_block_delta, content_block_stop), then
message_delta and message_stop, with a ping anywhere; each event bears its type as its name. An event that
breaks this order is an error of the answer. What is not known is passed over, as the API asks of clients.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from hxbench.wire.dialect import (
    Answer,
    Dialect,
    Messages,
    Piece,
    Usage,
    count,
    encoded,
    listed,
    mapping,
    string,
    word,
)
from hxbench.wire.sse import Event

VERSION = "2023-06-01"
_SYSTEM = ("system", "developer")
# Type of a delta: the member that holds its text, and its channel.
_DELTAS = {
    "text_delta": ("text", "content"),
    "thinking_delta": ("thinking", "reasoning"),
    "input_json_delta": ("partial_json", "tool"),
}
_OUTPUT = "output_tokens"


def body(
    messages: Messages,
    *,
    model: str,
    max_tokens: int,
    temperature: float,
    seed: int,  # noqa: ARG001 - this dialect knows none, and its own servers refuse unknown members
    extra: Mapping[str, Any],
    stream: bool,
) -> bytes:
    """Returns the JSON body of one request; what the system says stands apart from the messages."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] in _SYSTEM)
    document: dict[str, Any] = {
        "model": model,
        "messages": [message for message in messages if message["role"] not in _SYSTEM],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": stream,
    }
    return encoded(document | ({"system": system} if system else {}) | dict(extra))


def objection(messages: Messages) -> str | None:
    """A request without a message of its own is none."""
    if any(message["role"] not in _SYSTEM for message in messages):
        return None
    return "anthropic-messages needs a message that is not the system's"


def headers(key: str | None) -> dict[str, str]:
    """Returns the dialect's version and the header that carries a key."""
    return {"anthropic-version": VERSION} | ({} if key is None else {"x-api-key": key})


class Message(Answer):
    """The answer to one request for a message."""

    ending = "message_stop"

    def __init__(self, *, stream: bool) -> None:
        super().__init__(stream=stream)
        self._usage: dict[str, Any] = {}
        self._started = False
        self._delivered = False  # message_delta was seen: no block may follow
        self._block: object = None  # index of the open one
        self._steps: dict[str, Callable[[Mapping[str, Any]], list[Piece]]] = {
            "message_start": self._start,
            "content_block_start": self._open_block,
            "content_block_delta": self._delta,
            "content_block_stop": self._close_block,
            "message_delta": self._deliver,
            "message_stop": self._stop,
        }

    def usage(self) -> Usage:
        """Returns the stated usage; the prompt is what was read, written to and taken from the cache."""
        stated = self._usage
        fresh, cached = count(stated, "input_tokens"), count(stated, "cache_read_input_tokens")
        created = count(stated, "cache_creation_input_tokens")
        prompt = None if fresh is None else fresh + (cached or 0) + (created or 0)
        return Usage(prompt, count(stated, _OUTPUT), None, cached)

    def _read(self, event: Event) -> list[Piece]:
        if event.data == "[DONE]" and self.whole:  # vLLM's last word, from its other dialect
            return []
        document = self._document(event)
        if document is None:
            return []
        if not self.stream:
            return self._message(document)
        kind = string(document, "type")
        if kind != event.type:
            self._fail(f"event {event.type[:80]} holds type {kind[:80]}")
            return []
        step = self._steps.get(kind)
        if step is None:
            return []
        if kind != "message_start":
            self._expect(self._started, f"{kind} before message_start")
        self._expect(not self.whole, f"{kind} after message_stop")
        return step(document)

    def _expect(self, holds: object, otherwise: str) -> None:
        if not holds:
            self._fail(f"order of events: {otherwise}")

    def _start(self, document: Mapping[str, Any]) -> list[Piece]:
        self._expect(not self._started, "a second message_start")
        self._started = True
        stated = mapping(mapping(document, "message"), "usage")
        self._usage = {name: number for name, number in stated.items() if name != _OUTPUT}  # not counted yet
        return []

    def _open_block(self, document: Mapping[str, Any]) -> list[Piece]:
        self._expect(self._block is None, "content_block_start inside a block")
        self._expect(not self._delivered, "content_block_start after message_delta")
        self._block = document.get("index", -1)
        return _block(mapping(document, "content_block"))

    def _delta(self, document: Mapping[str, Any]) -> list[Piece]:
        self._expect_block(document, "content_block_delta")
        delta = mapping(document, "delta")
        member, channel = _DELTAS.get(string(delta, "type"), ("", ""))
        text = string(delta, member)
        return [(channel, text)] if text else []

    def _close_block(self, document: Mapping[str, Any]) -> list[Piece]:
        self._expect_block(document, "content_block_stop")
        self._block = None
        return []

    def _expect_block(self, document: Mapping[str, Any], kind: str) -> None:
        is_open = self._block is not None and document.get("index", -1) == self._block
        self._expect(is_open, f"{kind} for a block that is not open")

    def _deliver(self, document: Mapping[str, Any]) -> list[Piece]:
        self._expect(self._block is None, "message_delta inside a block")
        self._delivered = True
        self.finish_reason = word(mapping(document, "delta"), "stop_reason") or self.finish_reason
        stated = mapping(document, "usage")
        self._usage |= {name: number for name, number in stated.items() if number is not None}
        return []

    def _stop(self, _: Mapping[str, Any]) -> list[Piece]:
        self._expect(self._delivered, "message_stop before message_delta")
        self.whole = True
        return []

    def _message(self, document: Mapping[str, Any]) -> list[Piece]:
        if string(document, "type") != "message":
            self._fail(f"the answer is of type {string(document, 'type')[:80] or '(none)'}, not message")
        self.finish_reason = word(document, "stop_reason") or None
        self._usage = mapping(document, "usage")
        return [piece for block in listed(document, "content") for piece in _block(block)]


def _block(block: Mapping[str, Any]) -> list[Piece]:
    """The non-empty texts of a block: all it holds in a whole answer, what it begins with in a stream."""
    given = mapping(block, "input")
    arguments = json.dumps(given) if given else ""
    found = [
        ("reasoning", string(block, "thinking")),
        ("content", string(block, "text")),
        ("tool", string(block, "name") + arguments),
    ]
    return [piece for piece in found if piece[1]]


DIALECT = Dialect(
    path="/v1/messages",
    token_hint=re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*"[^"]'),
    body=body,
    headers=headers,
    answer=Message,
    objection=objection,
)
