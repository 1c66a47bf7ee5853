"""How the messages about a profile are worded: one printable line each, with place and key."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from hxbench.errors import ProfileError


def refusal(place: str, path: tuple[str, ...], message: str) -> ProfileError:
    """Returns the error `place: key.path: message`."""
    text = ": ".join(part for part in (place, ".".join(key[:80] for key in path), message) if part)
    return ProfileError("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns `did you mean Y` for a name close to a known one, else `expected one of ...`."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}" if near else f"expected one of {', '.join(names)}"


def shown(value: Any) -> str:
    """Returns a value as it would be written, cut short; of a mapping or list only what it is."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    return json.dumps(value, ensure_ascii=False)[:60]
