"""What a reference server says, as bytes: whole HTTP responses, and the pieces of a streamed answer."""

import json
from typing import Any, NamedTuple

MODEL = "reference"
CONTEXT = 131_072  # tokens; a request for more is refused
WORD = " word"
_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_ABOUT = {"id": "chatcmpl-reference", "object": "chat.completion.chunk", "created": 0, "model": MODEL}


class Asked(NamedTuple):
    """What a chat request asks for."""

    prompt_tokens: int
    max_tokens: int


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request is not as it should be; the text names the field."""


def asked(body: bytes) -> Asked:
    """Returns what the body of a chat request asks for.

    Raises:
        Refused: it is no JSON, not streamed, has no message, or asks for less than one or too many tokens.
    """
    try:
        document = json.loads(body)
        words = sum(len(str(message["content"]).split()) for message in document["messages"])
        most = document.get("max_tokens", 16)
        streamed = document.get("stream")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"messages: not a chat request: {type(error).__name__}") from None
    if words == 0:
        raise Refused("messages: empty prompt")
    if streamed is not True:
        raise Refused("stream: only streamed answers are served")
    if not isinstance(most, int) or most < 1:
        raise Refused("max_tokens: expected a whole number from 1")
    if words + most > CONTEXT:
        raise Refused(f"messages, max_tokens: more than the context of {CONTEXT} tokens")
    return Asked(words, most)


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


def opening() -> bytes:
    """Returns the head of a streamed answer and its role delta, which is no token."""
    return _STREAM_HEAD + _chunk(_event({"role": "assistant", "content": ""}))


def tokens(count: int) -> bytes:
    """Returns a chunk with that many tokens, one event each."""
    return _chunk(_event({"content": WORD}) * count)


def closing(prompt_tokens: int, output_tokens: int) -> bytes:
    """Returns the end of a streamed answer: finish reason, usage, [DONE], last chunk."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
    }
    last = _data({**_ABOUT, "choices": [], "usage": usage})
    return _chunk(_event({}, "length") + last + b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    return _data({**_ABOUT, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _data(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
