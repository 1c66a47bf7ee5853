"""The server's own tokenizer: how many tokens a text has, where the server tells."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hxbench.errors import TargetError
from hxbench.plan.synthesis import Count
from hxbench.record import preflight
from hxbench.record.preflight import Client

PATH = "/tokenize"
PROBE = "one two"

Body = Mapping[str, Any]


def counter(client: Client, model: str) -> Count | None:
    """Returns what counts the tokens of a text by asking the server; None when it has no tokenizer to ask."""
    for form in (_of_llama_cpp, _of_vllm):
        if _asked(client, form(model, PROBE)):
            return partial(_required, client, partial(form, model))
    return None


def _of_llama_cpp(_: str, text: str) -> Body:
    return {"content": text}


def _of_vllm(model: str, text: str) -> Body:
    """SGLang's as well."""
    return {"model": model, "prompt": text, "add_special_tokens": False}


def _required(client: Client, form: Callable[[str], Body], text: str) -> int:
    tokens = _asked(client, form(text))
    if tokens is None:
        raise TargetError(f"{client.url}{PATH}: counted no tokens, though it did a moment ago")
    return tokens


def _asked(client: Client, body: Body) -> int | None:
    """Returns how many tokens the server counts; None when it does not, or counts none.

    The exchange is taken back: there may be thousands.
    """
    sent = json.dumps(body, ensure_ascii=False).encode()
    exchange = client.ask("tokenize", "POST", PATH, sent, kept=preflight.ANSWER_LIMIT)
    client.exchanges.pop()
    try:
        return len(json.loads(exchange["body"])["tokens"]) or None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
