"""Prompts: read from JSON lines, and turned into the messages of a request. Standard library only."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hxbench.errors import InputError, ProfileError
from hxbench.shipped import shipped

MAX_LINE = 1 << 20  # characters; longer than any context a prompt could fill
_KEYS = {
    "id": str, "prompt": str, "messages": list, "turns": list, "system": str, "class": str, "max_tokens": int,
    "expected": str,
}  # fmt: skip
_CALLED = {str: "text", list: "a list", int: "a whole number"}
_ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True)
class Prompt:
    """One prompt; `expected` is a regular expression that an answer holds, whatever its case.

    A conversation of several `turns` has in `messages` all it comes to say: what the user asks in each, and
    between two of them the answer that the file gives, never the server's.
    """

    id: str
    messages: tuple[dict[str, str], ...]
    prompt_class: str
    max_tokens: int | None = None
    expected: str | None = None
    turns: int = 1


def load_prompts(name_or_path: str | Path) -> tuple[Prompt, ...]:
    """Returns the prompts of a shipped set, by its name, or of a JSONL file, in its order.

    Raises: ProfileError with file and line when there is no such file or a line is no prompt.
    """
    path, shown = _file(str(name_or_path))
    prompts: dict[str, Prompt] = {}
    for number, line in _lines(path, shown):
        place = f"{shown}:{number}"
        prompt = _prompt(_object(line, place), f"{path.stem}-{number:03d}", path.stem, place)
        if prompt.id in prompts:
            raise ProfileError(f"{place}: id: {prompt.id} stands on an earlier line too")
        prompts[prompt.id] = prompt
    if not prompts:
        raise ProfileError(f"{shown}: holds no prompts")
    return tuple(prompts.values())


def request_messages(prompt: Prompt, salt: str | None, turn: int = 0) -> list[dict[str, str]]:
    """Returns the messages to send: those of the turns before, counted from 0, and the new one.

    The salt stands in front of all text, so that no prefix is shared but with the same conversation.
    """
    to_come = 2 * (prompt.turns - 1 - turn)  # an answer and a question for each later turn
    first, *others = prompt.messages[: len(prompt.messages) - to_come]
    salted = first if salt is None else {**first, "content": f"[{salt}] {first['content']}"}
    return [dict(message) for message in (salted, *others)]


def salt(seed: int, conversation: str) -> str:
    """Returns the eight hexadecimal digits that mark one conversation of one seed, in all its turns."""
    return hashlib.sha256(f"{seed} {conversation}".encode()).hexdigest()[:8]


def _file(name_or_path: str) -> tuple[Path, str]:
    path = Path(name_or_path)
    if path.suffix == ".jsonl" or path.name != name_or_path:
        return path, name_or_path
    try:
        return shipped("data", f"prompts/{name_or_path}.jsonl"), f"data/prompts/{name_or_path}.jsonl"
    except InputError as error:
        raise ProfileError(f"workload.prompts: {error}") from None


def _lines(path: Path, shown: str) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank with their numbers, never holding more than one."""
    number = 0
    try:
        if path.exists() and not path.is_file():
            raise ProfileError(f"{shown}: is no regular file, expected JSON lines")
        with path.open(encoding="utf-8-sig") as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise ProfileError(f"{shown}:{number}: is above {MAX_LINE} characters")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ProfileError(f"{shown}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{shown}: is not UTF-8, in line {number + 1} or soon after") from None
    except ValueError:  # a NUL in the name
        raise ProfileError("workload.prompts: is no file name") from None


def _object(line: str, place: str) -> dict[str, Any]:
    """Returns the JSON object of a line, refusing what Python's reader lets through."""
    try:
        value = json.loads(line, object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except json.JSONDecodeError as error:
        raise ProfileError(f"{place}: is not JSON: {error.msg}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{place}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProfileError(f'{place}: expected an object such as {{"prompt": "..."}}')
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _prompt(line: dict[str, Any], default_id: str, default_class: str, place: str) -> Prompt:
    for key, value in line.items():
        if key not in _KEYS:
            raise ProfileError(f"{place}: {_shown(key)}: unknown key; expected one of {', '.join(_KEYS)}")
        if type(value) is not _KEYS[key]:
            raise ProfileError(f"{place}: {key}: expected {_CALLED[_KEYS[key]]}")
    prompt = Prompt(
        id=line.get("id", default_id),
        messages=_messages(line, place),
        prompt_class=line.get("class", default_class),
        max_tokens=line.get("max_tokens"),
        expected=line.get("expected"),
        turns=len(line.get("turns", [None])),
    )
    _check(prompt, place)
    return prompt


def _messages(line: dict[str, Any], place: str) -> tuple[dict[str, str], ...]:
    if sum(key in line for key in ("prompt", "messages", "turns")) != 1:
        raise ProfileError(f"{place}: expected one of prompt, messages and turns")
    if "turns" in line:
        return _conversation(line, place)
    if "system" in line:
        raise ProfileError(f"{place}: system: has no place without turns")
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


def _conversation(line: dict[str, Any], place: str) -> tuple[dict[str, str], ...]:
    """Returns system text, questions and answers in their order, up to the last question."""
    messages = [_said("system", line["system"], f"{place}: system")] if "system" in line else []
    turns = line["turns"]
    if not turns:
        raise ProfileError(f"{place}: turns: is empty")
    for number, turn in enumerate(turns):
        at, is_last = f"{place}: turns.{number}", number == len(turns) - 1
        if not isinstance(turn, dict) or not {"user"} <= turn.keys() <= {"user", "assistant"}:
            raise ProfileError(f"{at}: expected an object of user and assistant")
        messages.append(_said("user", turn["user"], f"{at}.user"))
        if not is_last and "assistant" not in turn:
            raise ProfileError(f"{at}.assistant: required before a further turn, missing")
        if "assistant" in turn:
            messages.append(_said("assistant", turn["assistant"], f"{at}.assistant"))
    return tuple(messages[:-1] if "assistant" in turns[-1] else messages)


def _said(role: str, text: Any, place: str) -> dict[str, str]:
    if not isinstance(text, str) or not text.strip():
        raise ProfileError(f"{place}: expected some text")
    return {"role": role, "content": text}


def _check(prompt: Prompt, place: str) -> None:
    for key, text in (("id", prompt.id), ("class", prompt.prompt_class)):
        if not text.isprintable() or not 0 < len(text) <= 128:
            raise ProfileError(f"{place}: {key}: expected up to 128 printable characters")
    if prompt.max_tokens is not None and not 1 <= prompt.max_tokens <= 10**6:
        raise ProfileError(
            f"{place}: max_tokens: expected a number from 1 to 1000000, got {prompt.max_tokens}"
        )
    if prompt.turns > 1 and prompt.expected is not None:
        raise ProfileError(f"{place}: expected: has no place in a conversation of several turns")
    try:
        re.compile(prompt.expected or "")
    except (re.error, RecursionError, OverflowError) as error:
        raise ProfileError(f"{place}: expected: is no regular expression: {error}") from None


def _shown(key: str) -> str:
    return key[:40] if key.isprintable() else "a key"
