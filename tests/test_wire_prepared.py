"""Prepared bodies are byte for byte what the dialect makes."""

from typing import Any

import pytest

from hxbench.plan.workload import Prompt, request_messages, salt
from hxbench.wire.dialects import DIALECTS
from hxbench.wire.prepared import Make, prepared

TEXTS = [
    "Say something.",
    'Quote " and \\ and \n, 100 % and %(salt)b and %d',
    "Grüße, 漢字, \U0001f600",
    "1000000000000000 1000000000000001 1000000000000002",  # what else would serve as marks
    "0 4 7",
]
EXTRAS: list[dict[str, Any]] = [
    {},
    {"ignore_eos": True, "stop": ["100%"], "nested": {"max_tokens": 4, "ä": "%s"}},
    {"max_tokens": 9, "seed": 3},  # members of the profile win
]


def make(protocol: str, prompt: Prompt, extra: dict[str, Any], *, stream: bool, salted: bool = True) -> Make:
    def body(mark: str, max_tokens: int, seed: int) -> bytes:
        messages = request_messages(prompt, mark if salted else None)
        sampling: dict[str, Any] = {"model": "m%d", "temperature": 0.5, "extra": extra, "stream": stream}
        return DIALECTS[protocol].body(messages, max_tokens=max_tokens, seed=seed, **sampling)

    return body


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("extra", EXTRAS, ids=["no extra", "extra", "own limits"])
@pytest.mark.parametrize("protocol", DIALECTS)
def test_a_prepared_body_is_the_one_that_the_dialect_makes(
    protocol: str, extra: dict[str, Any], stream: bool
) -> None:
    for text in TEXTS:
        plain = make(protocol, Prompt("a", ({"role": "user", "content": text},), "c"), extra, stream=stream)
        fill = prepared(plain)
        for values in ((salt(1, "t1-000001"), 4, 7), ("", 10**6, 0), ("00000000", 0, 2**31 - 1)):
            assert plain(*values) == fill(*values)


@pytest.mark.parametrize("protocol", ["openai-chat", "anthropic-messages"])
def test_the_salt_stands_in_the_first_message_of_a_conversation_whoever_says_it(protocol: str) -> None:
    messages = ({"role": "system", "content": "é"}, {"role": "user", "content": "Hi"})
    plain = make(protocol, Prompt("a", messages, "c"), {}, stream=True)
    assert plain("0f0f0f0f", 5, 6) == prepared(plain)("0f0f0f0f", 5, 6)
    assert "[0f0f0f0f] é".encode() in prepared(plain)("0f0f0f0f", 5, 6)


def test_a_prompt_without_salt_has_none() -> None:
    prompt = Prompt("a", ({"role": "user", "content": "Hi"},), "c")
    plain = make("openai-chat", prompt, {}, stream=True, salted=False)
    assert plain("", 5, 6) == prepared(plain)("0f0f0f0f", 5, 6)
