"""OpenAI chat completions: the request's body, and what each piece of the answer carried."""

import re
from collections.abc import Mapping
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

DONE = "[DONE]"


def options(
    *, model: str, max_tokens: int, temperature: float, seed: int, extra: Mapping[str, Any], stream: bool
) -> dict[str, Any]:
    """Returns the members that both of OpenAI's dialects send besides the prompt."""
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    sampling = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    return {"model": model, **sampling, "stream": stream, **usage, **extra}


def body(messages: Messages, **asked: Any) -> bytes:
    """Returns the JSON body of one request; see `dialect.Body`."""
    return encoded({"messages": messages, **options(**asked)})


def headers(key: str | None) -> dict[str, str]:
    """Returns the header that carries a key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


class Chat(Answer):
    """The answer to one chat completion."""

    ending = f"finish_reason or {DONE}"

    def __init__(self, *, stream: bool) -> None:
        super().__init__(stream=stream)
        self._done = False
        self._usage: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}

    def usage(self) -> Usage:
        """Returns the stated usage; llama.cpp's timings fill in the cached count."""
        stated = self._usage
        cached = count(mapping(stated, "prompt_tokens_details"), "cached_tokens")
        return Usage(
            count(stated, "prompt_tokens"),
            count(stated, "completion_tokens"),
            count(mapping(stated, "completion_tokens_details"), "reasoning_tokens"),
            count(self._timings, "cache_n") if cached is None else cached,
        )

    def server_times_ns(self) -> tuple[int | None, int | None]:
        """Returns prefill and decode time as llama.cpp's `timings` state them, in nanoseconds."""
        return _nanoseconds(self._timings, "prompt_ms"), _nanoseconds(self._timings, "predicted_ms")

    def _read(self, event: Event) -> list[Piece]:
        if event.data == DONE and self.stream:
            self.whole = self._done = True
            return []
        document = self._document(event)
        if document is None:
            return []
        if self._done:
            self._fail(f"an event after {DONE}")
        if "usage" in document:
            self._usage = mapping(document, "usage") or self._usage
        if "timings" in document:
            self._timings = mapping(document, "timings") or self._timings
        found: list[Piece] = []
        for choice in listed(document, "choices"):
            reason = choice.get("finish_reason") and word(choice, "finish_reason")
            if reason:
                self.finish_reason, self.whole = reason, True
            found += self._pieces(choice)
        return found

    def _pieces(self, choice: Mapping[str, Any]) -> list[Piece]:
        return _channels(mapping(choice, "delta" if self.stream else "message"))


def _channels(delta: Mapping[str, Any]) -> list[Piece]:
    """The non-empty texts of one delta, or of a whole message, with their channels."""
    text = delta.get("content")
    if len(delta) == 1 and text and isinstance(text, str):  # as nearly all deltas are
        return [("content", text)]
    found = []
    thought = string(delta, "reasoning_content") or string(delta, "reasoning")  # some servers send both
    if thought:
        found.append(("reasoning", thought))
    for channel in ("content", "refusal"):
        if text := string(delta, channel):
            found.append((channel, text))
    for call in listed(delta, "tool_calls"):
        function = mapping(call, "function")
        if text := string(function, "name") + string(function, "arguments"):
            found.append(("tool", text))
    return found


def _nanoseconds(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return round(value * 1e6)
    return None


DIALECT = Dialect(
    path="/v1/chat/completions",
    token_hint=re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|refusal)"\s*:\s*"[^"]'),
    body=body,
    headers=headers,
    answer=Chat,
)
