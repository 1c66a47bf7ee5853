"""Refuses what no layer of a profile may hold, whatever its key: secrets, control characters, NaN.

Runs before anything else looks at a value, so that no message ever repeats a secret. What it lets pass can
be written down as strict YAML and read again: hence no number that Python writes with an exponent.
"""

import re
from collections.abc import Callable
from typing import Any

from hxbench.plan.messages import refusal
from hxbench.plan.yaml_text import MAX_DEPTH

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
# How keys of known services begin, JSON Web Tokens, and addresses that carry one.
_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(sk-\w|(hf|gsk|xai|gh[pousr]|github_pat|AIza|AKIA)[-_]?[A-Za-z0-9]{12}|eyJ[\w-]+\.)"
    r"|\bbearer\s+\S|://[^/\s]*@|[?&;][\w-]*(key|token|secret|password|auth)[\w-]*=",
    re.IGNORECASE,
)
_LARGEST = 10**18


def check(value: Any, place: Callable[[tuple[str, ...]], str], path: tuple[str, ...] = ()) -> None:
    """Walks a value of one layer. Raises: ProfileError at `place(path)` for what may not be in it."""
    if isinstance(value, dict | list | tuple) and len(path) >= MAX_DEPTH:
        raise refusal(place(path), path[:3], f"is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_key(key, place(path), path)
            check(inner, place, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check(inner, place, (*path, str(index)))
    elif (problem := _problem(value)) is not None:
        raise refusal(place(path), path, problem)


def _check_key(key: Any, place: str, path: tuple[str, ...]) -> None:
    problem = _problem(key) if isinstance(key, str) else "a key must be text"
    if problem is not None:
        raise refusal(place, path, f"in a key: {problem}")


def _problem(value: Any) -> str | None:
    if isinstance(value, str):
        return _problem_of_text(value)
    if value is None or isinstance(value, bool):
        return None
    if not isinstance(value, int | float):
        return f"expected a value that YAML can hold, got {type(value).__name__}"
    if not abs(value) <= _LARGEST or "e" in repr(value):  # NaN is not <= either
        return "expected a finite number of at most 18 digits, and none between 0 and 0.0001"
    return None


def _problem_of_text(text: str) -> str | None:
    if _CONTROL.search(text):
        return "control characters and lone surrogates are not allowed"
    if _SECRET.search(text):
        return "looks like a secret; put it into an environment variable and name that in target.api_key_env"
    return None
