"""OpenAI chat completions, streamed: the request's body, and what each read of the answer carried."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hxbench.wire.sse import EventStream, StreamError

WORD_LIMIT = 80  # characters of a finish reason
TEXT_KEPT = 1_000  # of an event in a message; cut shorter once secrets are out of it
COUNT_LIMIT = 10**15  # a larger count of tokens is none, and would not fit the records
PATH = "/v1/chat/completions"

# A cheap look for a token in raw bytes, for deadlines only: a worker never decodes. Role-only and
# empty deltas, comments and pings do not match.
TOKEN_HINT = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|refusal)"\s*:\s*"[^"]')


def body(
    messages: Sequence[Mapping[str, Any]],
    *,
    model: str,
    max_tokens: int,
    temperature: float,
    seed: int,
    extra: Mapping[str, Any],
) -> bytes:
    """Returns the JSON body of one streamed request that asks for its usage."""
    document = {
        "model": model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
        **extra,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


class Content(NamedTuple):
    """What one read carried: non-empty deltas, their characters, and whether one was answer text."""

    deltas: int
    characters: int
    output: bool


class ChatStream:
    """The answer to one streamed chat completion, read by read."""

    def __init__(self) -> None:
        self.error: str | None = None
        self.finish_reason: str | None = None
        self.ended = False  # [DONE] was seen
        self.usage: dict[str, Any] = {}
        self.timings: dict[str, Any] = {}
        self.text: list[str] = []
        self._events = EventStream()

    def feed(self, chunk: bytes) -> Content:
        """Returns what `chunk` carried; an in-band error ends up in `error` and is never raised."""
        deltas = characters = 0
        output = False
        try:
            events = self._events.feed(chunk)
        except StreamError as error:
            self.error = self.error or str(error)
            return Content(0, 0, False)
        for event in events:
            for channel, text in self._deltas(event.type, event.data):
                deltas += 1
                characters += len(text)
                output = output or channel != "reasoning"
                self.text.append(text)
        return Content(deltas, characters, output)

    @property
    def whole(self) -> bool:
        """Whether the answer came to its declared end."""
        return self.ended or self.finish_reason is not None

    def _deltas(self, kind: str, data: str) -> list[tuple[str, str]]:
        if data == "[DONE]":
            self.ended = True
            return []
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            self.error = self.error or f"event is not JSON: {data[:TEXT_KEPT]}"
            return []
        if not isinstance(document, dict) or kind == "error" or document.get("error"):
            self.error = self.error or f"error in the stream: {data[:TEXT_KEPT]}"
            return []
        self.usage = _mapping(document, "usage") or self.usage
        self.timings = _mapping(document, "timings") or self.timings
        choices = document.get("choices")
        found: list[tuple[str, str]] = []
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self.finish_reason = _word(choice, "finish_reason") or self.finish_reason
                found += _channels(_mapping(choice, "delta"))
        return found


def _channels(delta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The non-empty texts of one delta with their channel: reasoning, content or tool."""
    found = [
        ("reasoning", _text(delta, "reasoning_content") or _text(delta, "reasoning")),
        ("content", _text(delta, "content") or _text(delta, "refusal")),
    ]
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = _mapping(call, "function") if isinstance(call, dict) else {}
        found.append(("tool", _text(function, "name") + _text(function, "arguments")))
    return [(channel, text) for channel, text in found if text]


def _mapping(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _word(document: Mapping[str, Any], key: str) -> str:
    """A short text that can be stored: JSON may hold half a surrogate pair, a file may not."""
    return _text(document, key)[:WORD_LIMIT].encode(errors="replace").decode()


class Usage(NamedTuple):
    """Counts the server stated; None where it did not."""

    prompt_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None


def usage(stream: ChatStream) -> Usage:
    """Returns the usage of a finished stream; llama.cpp's timings fill in the cached count."""
    stated = stream.usage
    cached = _count(_mapping(stated, "prompt_tokens_details"), "cached_tokens")
    return Usage(
        _count(stated, "prompt_tokens"),
        _count(stated, "completion_tokens"),
        _count(_mapping(stated, "completion_tokens_details"), "reasoning_tokens"),
        _count(stream.timings, "cache_n") if cached is None else cached,
    )


def server_times_ns(stream: ChatStream) -> tuple[int | None, int | None]:
    """Returns prefill and decode time as llama.cpp's `timings` state them, in nanoseconds."""
    return _nanoseconds(stream.timings, "prompt_ms"), _nanoseconds(stream.timings, "predicted_ms")


def _count(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    return value if type(value) is int and 0 <= value < COUNT_LIMIT else None


def _nanoseconds(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return round(value * 1e6)
    return None
