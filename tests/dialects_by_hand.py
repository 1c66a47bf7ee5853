"""Answers in each API dialect, streamed and in one piece, as their servers send them."""

import json
from collections.abc import Iterator
from typing import Any

from tests.servers import END, STREAM_HEAD, Request, chunk, plain

PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-completions": "/v1/completions",
    "anthropic-messages": "/v1/messages",
}
WAYS = [(protocol, stream) for protocol in PATHS for stream in (True, False)]
DONE = b"data: [DONE]\n\n"


def data(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def named(kind: str, **members: Any) -> bytes:
    """An event of Anthropic's: its type is its name."""
    return f"event: {kind}\n".encode() + data({"type": kind, **members})


def opening(**usage: int) -> bytes:
    return named("message_start", message={"type": "message", "content": [], "usage": usage})


def block(index: int = 0, **content: Any) -> bytes:
    return named("content_block_start", index=index, content_block={"type": "text", "text": ""} | content)


def piece(text: str, index: int = 0, kind: str = "text_delta", member: str = "text") -> bytes:
    return named("content_block_delta", index=index, delta={"type": kind, member: text})


def stop(index: int = 0) -> bytes:
    return named("content_block_stop", index=index)


def delivery(reason: str = "end_turn", **usage: int) -> bytes:
    return named("message_delta", delta={"stop_reason": reason}, usage=usage)


MESSAGE_STOP = named("message_stop")


def events(protocol: str, texts: list[str]) -> list[bytes]:
    """The events of one stream: what comes first, one for each text, what comes last. 9 prompt tokens."""
    stated = {"prompt_tokens": 9, "completion_tokens": len(texts)}
    if protocol == "anthropic-messages":
        begin = opening(input_tokens=6, cache_read_input_tokens=3, output_tokens=0) + block()
        return [
            begin,
            *(piece(text) for text in texts),
            stop() + delivery(output_tokens=len(texts)) + MESSAGE_STOP,
        ]
    usage = data({"choices": [], "usage": stated})
    if protocol == "openai-completions":
        made = [data({"choices": [{"index": 0, "text": text, "finish_reason": None}]}) for text in texts]
        return [
            b": ping\n\n",
            *made,
            data({"choices": [{"text": "", "finish_reason": "stop"}]}) + usage + DONE,
        ]
    made = [data({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    role = data({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
    return [role, *made, data({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + usage + DONE]


def document(protocol: str, texts: list[str]) -> dict[str, Any]:
    """The whole answer of so many tokens."""
    text = "".join(texts)
    if protocol == "anthropic-messages":
        stated = {"input_tokens": 6, "cache_read_input_tokens": 3, "output_tokens": len(texts)}
        content = [{"type": "text", "text": text}]
        return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": stated}
    said = {"text": text} if protocol == "openai-completions" else {"message": {"content": text}}
    stated = {"prompt_tokens": 9, "completion_tokens": len(texts)}
    return {"choices": [{"index": 0, **said, "finish_reason": "stop"}], "usage": stated}


def answering(request: Request) -> Iterator[Any]:
    """A script that speaks the dialect it is asked in: as many tokens as are asked for, or a refusal."""
    try:
        asked = request.document
    except ValueError:
        yield plain(400, '{"error": "the body is not JSON"}')
        return
    protocol = next(protocol for protocol, path in PATHS.items() if path == request.path)
    prompt = asked["prompt"] if "prompt" in asked else asked["messages"][0]["content"]
    if not prompt or asked["max_tokens"] < 0 or len(prompt) > 100_000:
        yield plain(400, '{"error": "prompt, max_tokens"}')
        return
    texts = [f"w{number} " for number in range(asked["max_tokens"])]
    if not asked["stream"]:
        yield 0.01
        yield plain(200, json.dumps(document(protocol, texts)))
        return
    yield STREAM_HEAD
    for each in events(protocol, texts):
        yield chunk(each)
        yield 0.002
    yield END
