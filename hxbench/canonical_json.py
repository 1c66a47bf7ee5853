"""Encodes a value as the one JSON text it has (RFC 8785), so that equal values have equal hashes."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_EXACT_INTEGERS = 2**53  # the largest range in which every integer is a double of its own (RFC 7493, 2.2)


def encode(value: Any) -> bytes:
    """Returns the canonical UTF-8 JSON of a value; integers beyond ±2^53 are written as strings.

    Raises: ValueError for NaN, infinities and lone surrogates; TypeError for anything JSON has no form for.
    """
    return _text(value).encode("utf-8")


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(int(value)) if abs(value) <= _EXACT_INTEGERS else f'"{int(value)}"'
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def _object(mapping: Mapping[Any, Any]) -> str:
    if not all(isinstance(key, str) for key in mapping):
        raise TypeError("the keys of a JSON object are strings")
    keys = sorted(mapping, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    members = ",".join(f"{_text(key)}:{_text(mapping[key])}" for key in keys)
    return f"{{{members}}}"


def _number(value: float) -> str:
    """Writes a double with its shortest digits, as ECMAScript does (ECMA-262, Number::toString)."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no canonical JSON form")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    point = len(digits) + int(exponent)  # the value is 0.DIGITS times 10 to this
    figures = "".join(map(str, digits))
    return ("-" if sign else "") + _placed(figures, point)


def _placed(figures: str, point: int) -> str:
    if -6 < point <= 0:
        return f"0.{'0' * -point}{figures}"
    if 0 < point <= 21:
        whole = figures[:point].ljust(point, "0")
        return f"{whole}.{figures[point:]}" if len(figures) > point else whole
    fraction = f".{figures[1:]}" if len(figures) > 1 else ""
    return f"{figures[0]}{fraction}e{point - 1:+d}"
