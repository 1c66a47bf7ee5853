"""What a reference server says, as bytes: whole HTTP responses, and the pieces of a streamed answer."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

MODEL = "reference"
CONTEXT = 131_072  # tokens; a request for more is refused
WORD = " word"
_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
OPENINGS_KEPT = 1024  # one for each length of prompt


class Asked(NamedTuple):
    """What a request for an answer asks for."""

    prompt_tokens: int
    max_tokens: int
    stream: bool


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request is not as it should be; the text names the field."""


def asked(body: bytes) -> Asked:
    """Returns what the body of a request asks for, in any of the dialects.

    Raises:
        Refused: it is no JSON, has no prompt, or asks for less than one or too many tokens.
    """
    try:
        document = json.loads(body)
        words = len(_prompt(document).split())
        most = document.get("max_tokens", document.get("max_completion_tokens", 16))
        stream = document.get("stream", False)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"messages: not a chat request: {type(error).__name__}") from None
    if words == 0:
        raise Refused("messages: empty prompt")
    if not isinstance(stream, bool):
        raise Refused("stream: expected true or false")
    if not isinstance(most, int) or most < 1:
        raise Refused("max_tokens: expected a whole number from 1")
    if words + most > CONTEXT:
        raise Refused(f"messages, max_tokens: more than the context of {CONTEXT} tokens")
    return Asked(words, most, stream)


def _prompt(document: Any) -> str:
    if "prompt" in document:
        return str(document["prompt"])
    return " ".join(str(message["content"]) for message in document["messages"])


def whole(status: int, text: str, kind: str = "application/json") -> bytes:
    """Returns a whole response."""
    body = text.encode()
    head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def error(status: int, message: str) -> bytes:
    return whole(status, json.dumps({"error": {"message": message, "type": "reference", "code": status}}))


def models(name: str) -> bytes:
    listed = {"id": name, "object": "model", "created": 0, "owned_by": "hxbench"}
    return whole(200, json.dumps({"object": "list", "data": [listed]}))


class Speech(ABC):
    """One API dialect: the events of its stream, and its answer in one piece."""

    def __init__(self) -> None:
        self.opening = lru_cache(OPENINGS_KEPT)(self._opening)

    @abstractmethod
    def first(self, prompt_tokens: int) -> bytes:
        """Returns the events that come before any token."""

    @abstractmethod
    def token(self) -> bytes:
        """Returns the event of one token."""

    @abstractmethod
    def last(self, prompt_tokens: int, output_tokens: int) -> bytes:
        """Returns the events after the last token: finish reason and usage."""

    @abstractmethod
    def document(self, prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
        """Returns the answer that is not streamed."""

    def _opening(self, prompt_tokens: int) -> bytes:
        """Returns the head of a streamed answer and what carries no token yet."""
        return _STREAM_HEAD + _chunk(self.first(prompt_tokens))

    def tokens(self, count: int) -> bytes:
        """Returns a chunk with that many tokens, one event each."""
        return _chunk(self.token() * count)

    def closing(self, prompt_tokens: int, output_tokens: int) -> bytes:
        """Returns the end of a streamed answer."""
        return _chunk(self.last(prompt_tokens, output_tokens)) + b"0\r\n\r\n"

    def in_one_piece(self, prompt_tokens: int, output_tokens: int) -> bytes:
        """Returns the whole response of a request that is not streamed."""
        return whole(200, json.dumps(self.document(prompt_tokens, output_tokens)))


class Chat(Speech):
    """OpenAI's chat completions; the role delta that comes first is no token."""

    kind, chunk_kind, id = "chat.completion", "chat.completion.chunk", "chatcmpl-reference"

    def first(self, prompt_tokens: int) -> bytes:  # noqa: ARG002 - its usage comes last
        return self._event({"delta": {"role": "assistant", "content": ""}})

    def token(self) -> bytes:
        return self._event(self.piece(WORD))

    def piece(self, text: str) -> dict[str, Any]:
        """Returns the part of a choice that holds a streamed text."""
        return {"delta": {"content": text} if text else {}}

    def message(self, text: str) -> dict[str, Any]:
        """Returns the part of a choice that holds all the text."""
        return {"message": {"role": "assistant", "content": text}}

    def last(self, prompt_tokens: int, output_tokens: int) -> bytes:
        usage = {**self._about(self.chunk_kind), "choices": [], "usage": _usage(prompt_tokens, output_tokens)}
        return self._event(self.piece(""), "length") + _data(usage) + b"data: [DONE]\n\n"

    def document(self, prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
        choice = {"index": 0, **self.message(WORD * output_tokens), "finish_reason": "length"}
        usage = _usage(prompt_tokens, output_tokens)
        return {**self._about(self.kind), "choices": [choice], "usage": usage}

    def _about(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": 0, "model": MODEL}

    def _event(self, held: dict[str, Any], finish: str | None = None) -> bytes:
        return _data(
            {**self._about(self.chunk_kind), "choices": [{"index": 0, **held, "finish_reason": finish}]}
        )


class Completion(Chat):
    """OpenAI's completions: plain text, framed as a chat; an empty one comes first."""

    kind = chunk_kind = "text_completion"
    id = "cmpl-reference"

    def first(self, prompt_tokens: int) -> bytes:  # noqa: ARG002 - its usage comes last
        return self._event(self.piece(""))

    def piece(self, text: str) -> dict[str, Any]:
        return {"text": text}

    message = piece


class Message(Speech):
    """Anthropic's messages: one block of text."""

    def first(self, prompt_tokens: int) -> bytes:
        start = {**_message([], None), "usage": {"input_tokens": prompt_tokens, "output_tokens": 0}}
        block = {"index": 0, "content_block": {"type": "text", "text": ""}}
        return _named("message_start", message=start) + _named("content_block_start", **block)

    def token(self) -> bytes:
        return _named("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD})

    def last(self, prompt_tokens: int, output_tokens: int) -> bytes:
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        usage = {"input_tokens": prompt_tokens, "output_tokens": output_tokens}
        return (
            _named("content_block_stop", index=0)
            + _named("message_delta", delta=delta, usage=usage)
            + _named("message_stop")
        )

    def document(self, prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
        usage = {"input_tokens": prompt_tokens, "output_tokens": output_tokens}
        content = [{"type": "text", "text": WORD * output_tokens}]
        return {**_message(content, "max_tokens"), "usage": usage}


SPEECHES: Mapping[str, Speech] = {
    "/v1/chat/completions": Chat(),
    "/v1/completions": Completion(),
    "/v1/messages": Message(),
}


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, int]:
    total = prompt_tokens + output_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens, "total_tokens": total}


def _message(content: list[Any], stop_reason: str | None) -> dict[str, Any]:
    about = {"id": "msg_reference", "type": "message", "role": "assistant", "model": MODEL}
    return {**about, "content": content, "stop_reason": stop_reason, "stop_sequence": None}


def _named(kind: str, **members: Any) -> bytes:
    """An event of Anthropic's: its type is its name."""
    return f"event: {kind}\n".encode() + _data({"type": kind, **members})


def _data(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
