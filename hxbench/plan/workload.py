"""Prompts: read from JSON lines, and turned into the messages of a request. Standard library only."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hxbench.errors import ProfileError
from hxbench.plan import json_lines, lengths
from hxbench.plan.lengths import LengthError, Lengths
from hxbench.plan.synthesis import Part

_KEYS: dict[str, type] = {
    "id": str, "prompt": str, "messages": list, "prompt_tokens": Lengths, "class": str,
    "max_tokens": Lengths, "expected": str,
}  # fmt: skip
_CALLED: dict[type, str] = {str: "text", list: "a list"}
_TEXTS = ("prompt", "messages", "prompt_tokens")  # of which a line has one
UNWRITTEN = ({"role": "user", "content": ""},)
_KEY = "workload.prompts"
_ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True)
class Prompt:
    """One prompt; `expected` is a regular expression that an answer holds, whatever its case.

    Of one that says only how many tokens it has, or of what parts it is made, the message is empty until it
    is written. `due_ns` is when a trace has it due, from its start.
    """

    id: str
    messages: tuple[dict[str, str], ...]
    prompt_class: str
    max_tokens: Lengths | None = None
    expected: str | None = None
    tokens: Lengths | None = None
    parts: tuple[Part, ...] = ()
    due_ns: int | None = None


def load_prompts(name_or_path: str | Path) -> tuple[Prompt, ...]:
    """Returns the prompts of a shipped set, by its name, or of a JSONL file, in its order.

    Raises: ProfileError with file and line when there is no such file or a line is no prompt.
    """
    path, called = json_lines.find(str(name_or_path), "prompts", _KEY)
    prompts: dict[str, Prompt] = {}
    for line, number, place in json_lines.read(path, called, _KEY):
        prompt = read_prompt(line, f"{path.stem}-{number:03d}", path.stem, place)
        if prompt.id in prompts:
            raise ProfileError(f"{place}: id: {prompt.id} stands on an earlier line too")
        prompts[prompt.id] = prompt
    if not prompts:
        raise ProfileError(f"{called}: holds no prompts")
    return tuple(prompts.values())


def request_messages(prompt: Prompt, salt: str | None) -> list[dict[str, str]]:
    """Returns the messages to send; the salt stands in front of all text, so that no prefix is shared."""
    first, *others = prompt.messages
    salted = first if salt is None else {**first, "content": f"[{salt}] {first['content']}"}
    return [dict(message) for message in (salted, *others)]


def salt(seed: int, request_id: str) -> str:
    """Returns the eight hexadecimal digits that mark one request of one seed."""
    return hashlib.sha256(f"{seed} {request_id}".encode()).hexdigest()[:8]


def read_prompt(line: dict[str, Any], default_id: str, default_class: str, place: str) -> Prompt:
    """Returns the prompt that a line means; `place` is what messages call the line.

    Raises: ProfileError when a key is unknown or its value not as it should be.
    """
    for key, value in line.items():
        if key not in _KEYS:
            raise ProfileError(f"{place}: {_shown(key)}: unknown key; expected one of {', '.join(_KEYS)}")
        if _KEYS[key] is not Lengths and type(value) is not _KEYS[key]:
            raise ProfileError(f"{place}: {key}: expected {_CALLED[_KEYS[key]]}")
    prompt = Prompt(
        id=line.get("id", default_id),
        messages=_messages(line, place),
        prompt_class=line.get("class", default_class),
        max_tokens=_lengths(line, "max_tokens", place, lengths.MOST),
        expected=line.get("expected"),
        tokens=_lengths(line, "prompt_tokens", place, lengths.MOST_OF_A_PROMPT),
    )
    _check(prompt, place)
    return prompt


def _messages(line: dict[str, Any], place: str) -> tuple[dict[str, str], ...]:
    if len(line.keys() & _TEXTS) != 1:
        raise ProfileError(f"{place}: expected one of {', '.join(_TEXTS)}")
    if "prompt_tokens" in line:
        return UNWRITTEN
    messages = line.get("messages", [{"role": "user", "content": line.get("prompt")}])
    if not messages:
        raise ProfileError(f"{place}: messages: is empty")
    for message in messages:
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise ProfileError(f"{place}: messages: expected objects of role and content")
        if message["role"] not in _ROLES:
            raise ProfileError(f"{place}: messages: expected a role of {', '.join(_ROLES)}")
        if not isinstance(message["content"], str) or not message["content"].strip():
            raise ProfileError(f"{place}: {'prompt' if 'prompt' in line else 'messages'}: expected some text")
    return tuple(messages)


def _lengths(line: dict[str, Any], key: str, place: str, most: int) -> Lengths | None:
    try:
        return lengths.read(line[key], most) if key in line else None
    except LengthError as error:
        raise ProfileError(f"{place}: {'.'.join((key, *error.path))}: {error}") from None


def _check(prompt: Prompt, place: str) -> None:
    for key, text in (("id", prompt.id), ("class", prompt.prompt_class)):
        if not text.isprintable() or not 0 < len(text) <= 128:
            raise ProfileError(f"{place}: {key}: expected up to 128 printable characters")
    try:
        re.compile(prompt.expected or "")
    except (re.error, RecursionError, OverflowError) as error:
        raise ProfileError(f"{place}: expected: is no regular expression: {error}") from None


def _shown(key: str) -> str:
    return key[:40] if key.isprintable() else "a key"
