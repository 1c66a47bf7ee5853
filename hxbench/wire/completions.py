"""OpenAI completions, the older dialect: text in, text out."""

import re
from collections.abc import Mapping
from typing import Any

from hxbench.wire import openai
from hxbench.wire.dialect import Dialect, Messages, Piece, encoded, string


def body(messages: Messages, **asked: Any) -> bytes:
    """Returns the JSON body of one request, whose prompt is the text of the one message."""
    (message,) = messages
    return encoded({"prompt": message["content"], **openai.options(**asked)})


def objection(messages: Messages) -> str | None:
    """A conversation has roles; to put it into one text is the server's template's work, not ours."""
    if len(messages) == 1:
        return None
    return f"openai-completions takes one message, not a conversation of {len(messages)}"


class Completion(openai.Chat):
    """The answer to one completion: framed, ended and counted as a chat, its choices are plain text."""

    def _pieces(self, choice: Mapping[str, Any]) -> list[Piece]:
        text = string(choice, "text")
        return [("content", text)] if text else []


DIALECT = Dialect(
    path="/v1/completions",
    token_hint=re.compile(rb'"text"\s*:\s*"[^"]'),
    body=body,
    headers=openai.headers,
    answer=Completion,
    objection=objection,
)
