"""How many output tokens requests ask for: one number, or drawn for each request from a distribution."""

from dataclasses import dataclass
from math import log
from random import Random
from typing import Annotated, Any

from pydantic_core import CoreSchema, core_schema

from hxbench.plan.fields import broken
from hxbench.plan.messages import shown, suggestion

_MOST = 10**6
_KEYS = {"uniform": ("from", "to"), "lognormal": ("median", "sigma", "from", "to")}


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


class _OutputTokens:
    """Reads a number, or a mapping that names its distribution, into lengths."""

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(self.write)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        tokens = {"type": "integer", "minimum": 1, "maximum": _MOST}
        kinds = {"from": tokens, "to": tokens, "median": tokens, "sigma": {"type": "number"}}
        mappings = [
            {
                "type": "object",
                "properties": {"distribution": {"const": name}} | {key: kinds[key] for key in keys},
                "required": ["distribution", *keys],
                "additionalProperties": False,
            }
            for name, keys in _KEYS.items()
        ]
        return {"anyOf": [tokens, *mappings]}

    def read(self, written: Any) -> Lengths:
        if not isinstance(written, dict):
            tokens = _tokens(written)
            return Lengths(tokens, tokens)
        keys = _KEYS.get(name) if isinstance(name := written.get("distribution"), str) else None
        if keys is None:
            raise broken(("distribution",), f"expected uniform or lognormal, got {shown(name)}")
        _require_keys(written, ("distribution", *keys))
        numbers = {key: _at(key, _tokens, written[key]) for key in keys if key != "sigma"}
        if numbers["from"] >= numbers["to"]:
            raise broken(("to",), f"expected a number above {numbers['from']}, got {numbers['to']}")
        sigma = _at("sigma", _sigma, written["sigma"]) if "sigma" in keys else 0.0
        return Lengths(numbers["from"], numbers["to"], numbers.get("median"), sigma)

    @staticmethod
    def write(lengths: Lengths) -> int | dict[str, Any]:
        if lengths.least == lengths.most:
            return lengths.least
        bounds = {"from": lengths.least, "to": lengths.most}
        if lengths.median is None:
            return {"distribution": "uniform", **bounds}
        return {"distribution": "lognormal", "median": lengths.median, "sigma": lengths.sigma, **bounds}


OutputTokens = Annotated[Lengths, _OutputTokens()]


def _require_keys(written: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in written:
        if key not in keys:
            raise broken((key,), f"unknown key; {suggestion(key, keys)}")
    for key in keys:
        if key not in written:
            raise broken((key,), "required, missing")


def _at(key: str, read: Any, written: Any) -> Any:
    try:
        return read(written)
    except ValueError as error:
        raise broken((key,), str(error)) from None


def _tokens(written: Any) -> int:
    if type(written) is not int:
        raise ValueError(f"expected a whole number, got {shown(written)}")
    if not 1 <= written <= _MOST:
        bound = "1 or more" if written < 1 else f"at most {_MOST}"
        raise ValueError(f"expected a number of {bound}, got {written}")
    return written


def _sigma(written: Any) -> float:
    if type(written) not in (int, float) or not 0 < written <= 5:
        raise ValueError(f"expected a number above 0 and at most 5, got {shown(written)}")
    return float(written)
