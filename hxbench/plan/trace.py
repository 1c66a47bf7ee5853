"""Traces: files that say when each request is due and what it asks. Standard library only.

Two formats, told apart by their keys. Ours: a line of a set of prompts with the key `at`. Mooncake's
(https://github.com/kvcache-ai/Mooncake, FAST25-release/traces): `timestamp` in ms, `input_length`
and `output_length` in tokens, and `hash_ids`, one for each 512 tokens of the prompt: the blocks of one id
have one text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hxbench import units
from hxbench.errors import ProfileError
from hxbench.plan import json_lines, lengths
from hxbench.plan.arrivals import MAIN, Place
from hxbench.plan.json_lines import Line
from hxbench.plan.lengths import MOST, MOST_OF_A_PROMPT
from hxbench.plan.messages import shown, suggestion
from hxbench.plan.synthesis import Part
from hxbench.plan.workload import UNWRITTEN, Prompt, read_prompt

if TYPE_CHECKING:
    from hxbench.plan.load import Load

BLOCK = 512  # tokens a hash id stands for
LATEST_S = 7 * 86_400
_KEY = "load.trace"
_MOONCAKE = ("timestamp", "input_length", "output_length", "hash_ids")


def load_trace(name_or_path: str) -> tuple[Prompt, ...]:
    """Returns the requests of a shipped trace, by its name, or of a JSONL file, in the order they are due.

    Raises: ProfileError with file and line when there is no such file or a line is no request.
    """
    path, called = json_lines.find(name_or_path, "traces", _KEY)
    prompts = [_request(line, path.stem) for line in json_lines.read(path, called, _KEY)]
    if not prompts:
        raise ProfileError(f"{called}: holds no requests")
    return tuple(sorted(prompts, key=_due))


def places(load: "Load", prompts: Sequence[Prompt]) -> Iterator[Place]:
    """Yields phase and due time of each request: what is due in the warm-up's time is warm-up.

    Raises: ProfileError when that is all of them.
    """
    last, warmup_ns = _due(prompts[-1]), round(load.warmup * 1e9)
    if last < warmup_ns:
        raise ProfileError(
            f"load.trace: {load.trace}: its last request is due at {units.duration(last / 1e9)}, within "
            f"load.warmup, {units.duration(load.warmup)}: nothing would be measured; shorten the warm-up"
        )
    for prompt in prompts:
        yield Place("measure" if _due(prompt) >= warmup_ns else "warmup", MAIN, _due(prompt))


def _due(prompt: Prompt) -> int:
    return prompt.due_ns or 0


def _request(line: Line, stem: str) -> Prompt:
    document, number, place = line
    name = f"{stem}-{number:03d}"
    if "timestamp" in document:
        return _of_mooncake(document, name, stem, place)
    if "at" not in document:
        raise ProfileError(f"{place}: expected a key at, or timestamp as in Mooncake's traces")
    rest = {key: value for key, value in document.items() if key != "at"}
    return replace(read_prompt(rest, name, stem, place), due_ns=_offset_ns(document["at"], place))


def _offset_ns(written: Any, place: str) -> int:
    """Returns a time in ns, from a number of seconds or text with its unit."""
    if type(written) not in (int, float, str):
        raise ProfileError(f'{place}: at: expected seconds, or text such as "1.5 s", got {shown(written)}')
    try:
        seconds = units.parse(written, "duration") if isinstance(written, str) else float(written)
    except ValueError as error:
        raise ProfileError(f"{place}: at: {error}") from None
    return _ns(seconds, place, "at", written)


def _ns(seconds: float, place: str, key: str, written: Any) -> int:
    if not 0 <= seconds <= LATEST_S:
        raise ProfileError(f"{place}: {key}: expected a time from 0 s to 7 days, got {shown(written)}")
    return round(seconds * 1e9)


def _of_mooncake(document: dict[str, Any], name: str, stem: str, place: str) -> Prompt:
    for key in document:
        if key not in _MOONCAKE:
            raise ProfileError(f"{place}: {key[:40]!r}: unknown key; {suggestion(key, _MOONCAKE)}")
    tokens = _tokens(document, "input_length", MOST_OF_A_PROMPT, place)
    written = document["timestamp"]
    if type(written) not in (int, float):
        raise ProfileError(f"{place}: timestamp: expected milliseconds, got {shown(written)}")
    return Prompt(
        name,
        UNWRITTEN,
        stem,
        max_tokens=lengths.fixed(_tokens(document, "output_length", MOST, place)),
        tokens=None if "hash_ids" in document else lengths.fixed(tokens),
        parts=_blocks(document["hash_ids"], tokens, place) if "hash_ids" in document else (),
        due_ns=_ns(written / 1000, place, "timestamp", written),
    )


def _tokens(document: dict[str, Any], key: str, most: int, place: str) -> int:
    value = document.get(key)
    if type(value) is not int or not 1 <= value <= most:
        raise ProfileError(f"{place}: {key}: expected a whole number from 1 to {most}, got {shown(value)}")
    return value


def _blocks(ids: Any, tokens: int, place: str) -> tuple[Part, ...]:
    """Returns the parts of a prompt: a block of each id, the last with what is left."""
    if not isinstance(ids, list) or not all(type(each) is int for each in ids):
        raise ProfileError(f"{place}: hash_ids: expected a list of whole numbers, got {shown(ids)}")
    needed = -(-tokens // BLOCK)
    if len(ids) != needed:
        raise ProfileError(
            f"{place}: hash_ids: expected {needed}, one for {BLOCK} tokens of the prompt, got {len(ids)}"
        )
    sizes = [*[BLOCK] * (needed - 1), tokens - BLOCK * (needed - 1)]
    return tuple(Part(f"block {each}", size) for each, size in zip(ids, sizes, strict=True))
