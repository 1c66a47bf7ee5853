"""How many tokens: one number, or drawn for each request from a distribution. Standard library only."""

from dataclasses import dataclass
from math import log
from random import Random
from typing import Any

from hxbench.plan.messages import shown, suggestion

MOST = 10**6
MOST_OF_A_PROMPT = 131_072  # the context of the usual large models; its text fits a line of a prompt file
KEYS = {"uniform": ("from", "to"), "lognormal": ("median", "sigma", "from", "to")}


class LengthError(ValueError):
    """What is wrong with a length, and the keys below it that lead there."""

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Lengths:
    """Whole numbers from `least` to `most`: evenly spread, or lognormal with what lies beyond set to them."""

    least: int
    most: int
    median: int | None = None
    sigma: float = 0.0

    def draw(self, generator: Random) -> int:
        """Returns the next length; a fixed one takes nothing from the generator."""
        if self.least == self.most:
            return self.least
        if self.median is None:
            return generator.randint(self.least, self.most)
        drawn = round(generator.lognormvariate(log(self.median), self.sigma))
        return min(max(drawn, self.least), self.most)


def fixed(tokens: int) -> Lengths:
    """Returns the one length."""
    return Lengths(tokens, tokens)


def read(written: Any, most: int = MOST) -> Lengths:
    """Returns the lengths, up to `most`, that a number means, or a mapping that names its distribution.

    Raises:
        LengthError: it is neither.
    """
    if not isinstance(written, dict):
        return fixed(_tokens(written, (), most))
    keys = KEYS.get(name) if isinstance(name := written.get("distribution"), str) else None
    if keys is None:
        raise LengthError(("distribution",), f"expected uniform or lognormal, got {shown(name)}")
    _require_keys(written, ("distribution", *keys))
    numbers = {key: _tokens(written[key], (key,), most) for key in keys if key != "sigma"}
    if numbers["from"] >= numbers["to"]:
        raise LengthError(("to",), f"expected a number above {numbers['from']}, got {numbers['to']}")
    sigma = _sigma(written["sigma"]) if "sigma" in keys else 0.0
    return Lengths(numbers["from"], numbers["to"], numbers.get("median"), sigma)


def write(lengths: Lengths) -> int | dict[str, Any]:
    """Returns what `read` reads as these lengths."""
    if lengths.least == lengths.most:
        return lengths.least
    bounds = {"from": lengths.least, "to": lengths.most}
    if lengths.median is None:
        return {"distribution": "uniform", **bounds}
    return {"distribution": "lognormal", "median": lengths.median, "sigma": lengths.sigma, **bounds}


def _require_keys(written: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in written:
        if key not in keys:
            raise LengthError((key,), f"unknown key; {suggestion(key, keys)}")
    for key in keys:
        if key not in written:
            raise LengthError((key,), "required, missing")


def _tokens(written: Any, path: tuple[str, ...], most: int) -> int:
    if type(written) is not int:
        raise LengthError(path, f"expected a whole number, got {shown(written)}")
    if not 1 <= written <= most:
        bound = "1 or more" if written < 1 else f"at most {most}"
        raise LengthError(path, f"expected a number of {bound}, got {written}")
    return written


def _sigma(written: Any) -> float:
    if type(written) not in (int, float) or not 0 < written <= 5:
        raise LengthError(("sigma",), f"expected a number above 0 and at most 5, got {shown(written)}")
    return float(written)
