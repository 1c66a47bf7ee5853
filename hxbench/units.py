"""Turns quantity text into numbers of a base unit, and numbers into the text a reader sees.

Base units: second, byte, fraction, per second, core, US dollar. Nothing else in hxbench does either.
"""

import math
import re
from decimal import Decimal

ABSENT = "–"
_QUANTITY = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,30})?)[ \u00a0\u202f]?([^\s0-9.].*)?")
_DURATION = {
    "s": "1", "ms": "1e-3", "us": "1e-6", "µs": "1e-6", "μs": "1e-6", "ns": "1e-9", "min": "60", "h": "3600",
}  # fmt: skip
_SIZE = {"B": "1", "kB": "1e3", "MB": "1e6", "GB": "1e9", "TB": "1e12"} | {
    unit: str(1024**power) for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)
}
# kind -> what it is called, an example, its units; the unit "" means that a bare number will do
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "duration": ("a duration", "500 ms", _DURATION),
    "size": ("a size", "1.5 GB", _SIZE),
    "share": ("a share", "1 %", {"%": "0.01"}),
    "rate": ("a rate", "2 req/s", {"req/s": "1", "/s": "1", "": "1"}),
    "tokens_rate": ("a rate", "40 tok/s", {"tok/s": "1", "/s": "1", "": "1"}),
    "cores": ("a number of cores", "2 cores", {"cores": "1", "core": "1", "": "1"}),
    "count": ("a whole number", "400", {"": "1"}),
    "number": ("a number", "0.95", {"": "1"}),
    "money": ("an amount", "10 USD", {"USD": "1"}),
}
# The units that exact() may write: those whose fractions end.
_EXACT = {"duration": ("s", "ms", "us", "ns"), "size": tuple(_SIZE)}


def parse(text: str | float, kind: str) -> float:
    """Returns a quantity in its base unit: a float, or an int for sizes and counts; the sign is kept.

    Kinds: duration, size, share, rate, tokens_rate, cores, count, number, money. Zero needs no unit.
    Raises: ValueError saying what was expected and what was read.
    """
    name, example, units = _KINDS[kind]
    match = _QUANTITY.fullmatch(str(text).strip())
    number = Decimal(match[1]) if match else Decimal(0)
    unit = (match[2] or "") if match else None
    if unit not in units and not (unit == "" and number == 0):
        raise ValueError(f"expected {name} such as {example}, got {str(text)[:60]}")
    return _in_base_unit(number * Decimal(units.get(unit, "1")), kind, text)


def _in_base_unit(value: Decimal, kind: str, text: str | float) -> float:
    if kind not in ("size", "count"):
        return float(value)
    if value != value.to_integral_value():
        raise ValueError(f"expected {'whole bytes' if kind == 'size' else 'a whole number'}, got {text}")
    return int(value)


def exact(value: float, kind: str) -> str:
    """Returns the shortest text that `parse` reads back as the same value: `0.5 s`, `90 GB`, `1 %`."""
    _, _, units = _KINDS[kind]
    names = _EXACT.get(kind) or (next(iter(units)),)
    return min((_with_unit(value, Decimal(units[unit]), unit) for unit in names), key=len)


def _with_unit(value: float, factor: Decimal, unit: str) -> str:
    figures = format((Decimal(repr(value)) / factor).normalize(), "f")
    return f"{figures} {unit}".rstrip()


def number(value: float | None) -> str:
    """Returns a number with three significant digits, thousands in groups: `0.0123`, `41.3`, `12 346`."""
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= 999.5:
        return f"{value:,.0f}".replace(",", " ")
    return format(Decimal(f"{value:.3g}").normalize(), "f")


def count(value: int | None) -> str:
    """Returns a whole number in groups of three: `12 345`."""
    return ABSENT if value is None else f"{value:,}".replace(",", " ")


def duration(seconds: float | None) -> str:
    """Returns a duration in the unit that suits it: `12.3 ms`, `90 s`, `12.5 min`."""
    return _scaled(seconds, _DURATION_STEPS)


def size(in_bytes: float | None) -> str:
    """Returns a number of bytes in decimal units: `1.25 GB`."""
    return _scaled(in_bytes, _SIZE_STEPS)


SMALL_SHARE = 1e-5


def share(fraction: float | None) -> str:
    """Returns a fraction in percent: `1.2 %`; one too small to matter as `below 0.001 %`."""
    if fraction is not None and 0 < fraction < SMALL_SHARE:
        return f"below {rate(100 * SMALL_SHARE, '%')}"
    return rate(None if fraction is None else 100 * fraction, "%")


def rate(value: float | None, unit: str) -> str:
    """Returns a number with its unit behind it: `41.3 tok/s`."""
    text = number(value)
    return text if value is None or not math.isfinite(value) else f"{text} {unit}"


def value(value: float | None, unit: str) -> str:
    """Returns a value as text by its unit: s, B, share, req/s, tok/s, cores, count or ratio."""
    by_unit = {"s": duration, "B": size, "share": share, "count": number, "ratio": number}
    return by_unit[unit](value) if unit in by_unit else rate(value, unit)


# from this value on, divide by, unit; the largest first
_DURATION_STEPS = (
    (7200.0, 3600.0, "h"), (600.0, 60.0, "min"), (1.0, 1.0, "s"), (1e-3, 1e-3, "ms"), (1e-6, 1e-6, "µs"),
    (0.0, 1e-9, "ns"),
)  # fmt: skip
_SIZE_STEPS = ((1e12, 1e12, "TB"), (1e9, 1e9, "GB"), (1e6, 1e6, "MB"), (1e3, 1e3, "kB"), (0.0, 1.0, "B"))
_ROUNDS_UP = 0.9995  # 999.6 ms is written as 1 s


def _scaled(value: float | None, steps: tuple[tuple[float, float, str], ...]) -> str:
    if value is None or not math.isfinite(value):
        return number(value)
    magnitude = abs(value) or 1.0  # zero is written in the base unit
    _, factor, unit = next(step for step in steps if magnitude >= step[0] * _ROUNDS_UP)
    return rate(value / factor, unit)
