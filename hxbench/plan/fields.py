"""The kinds of values a profile holds, each with its reader, its writer and its JSON Schema."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, JsonValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError, core_schema

from hxbench import units
from hxbench.plan import lengths, objectives
from hxbench.plan.messages import shown

EMBEDDED = "embedded"
REFERENCE = "reference"
_DAY = 86_400.0


def broken(path: Iterable[str], message: str) -> ValidationError:
    """Returns the error of a rule of our own at a key below the value being read."""
    problem = PydanticCustomError("rule", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "rule", [InitErrorDetails(type=problem, loc=tuple(path), input=None)]
    )


@dataclass(frozen=True)
class Quantity:
    """Reads quantity text into base units, above 0 (from 0 on with `zero`) and up to `at_most`."""

    kind: str
    at_most: float
    zero: bool = False

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(lambda value: units.exact(value, self.kind))
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        bare = ["string", "number"] if self.kind in ("rate", "cores") else "string"
        return {"type": bare, "description": f"{self.kind}, at most {units.exact(self.at_most, self.kind)}"}

    def read(self, written: Any) -> float:
        if isinstance(written, dict | list | tuple):
            raise ValueError(f"expected a {self.kind}, got {shown(written)}")
        value = units.parse(written, self.kind)
        if value < 0 or (value == 0 and not self.zero):
            raise ValueError(f"expected a number {'of 0 or more' if self.zero else 'above 0'}, got {written}")
        if value > self.at_most:
            raise ValueError(f"expected at most {units.exact(self.at_most, self.kind)}, got {written}")
        return value


@dataclass(frozen=True)
class Text:
    """Reads text that matches a pattern whole; `expected` says in words what that is."""

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}

    def read(self, written: Any) -> str:
        if not isinstance(written, str) or not re.fullmatch(self.pattern, written):
            raise ValueError(f"expected {self.expected}, got {shown(written)}")
        return written


@dataclass(frozen=True)
class Ramp:
    """A rate per second that changes evenly; a steady one begins as it ends."""

    begin: float
    end: float

    @property
    def mean(self) -> float:
        return (self.begin + self.end) / 2

    def times(self, factor: float) -> "Ramp":
        """Returns the ramp with both ends multiplied."""
        return Ramp(self.begin * factor, self.end * factor)


_RATE = Quantity("rate", at_most=1e5)
_END = Quantity("rate", at_most=1e5, zero=True)  # a ramp may come up from nothing, and a pause is from 0 to 0
DURATION = Quantity("duration", at_most=7 * _DAY)


class _Slope:
    """Reads a rate, or the mapping {from, to} of two, into a ramp."""

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(self.write)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        rate = _RATE.__get_pydantic_json_schema__()
        ends = {"from": rate, "to": rate}
        both = {"type": "object", "properties": ends, "required": [*ends], "additionalProperties": False}
        return {"anyOf": [rate, both]}

    def read(self, written: Any) -> Ramp:
        if not isinstance(written, dict):
            rate = _RATE.read(written)
            return Ramp(rate, rate)
        if written.keys() != {"from", "to"}:
            raise ValueError("expected a rate or a mapping of from and to")
        return Ramp(self._end(written, "from"), self._end(written, "to"))

    @staticmethod
    def _end(written: dict[str, Any], key: str) -> float:
        try:
            return _END.read(written[key])
        except ValueError as error:
            raise broken((key,), str(error)) from None

    @staticmethod
    def write(ramp: Ramp) -> str | dict[str, str]:
        begin, end = (units.exact(rate, "rate") for rate in (ramp.begin, ramp.end))
        return begin if ramp.begin == ramp.end > 0 else {"from": begin, "to": end}


Slope = Annotated[Ramp, _Slope()]
Duration = Annotated[float, DURATION]
DurationOrZero = Annotated[float, Quantity("duration", at_most=7 * _DAY, zero=True)]
Rate = Annotated[float, _RATE]
Share = Annotated[float, Quantity("share", at_most=1)]
Size = Annotated[int, Quantity("size", at_most=1e15)]
Cores = Annotated[float, Quantity("cores", at_most=1e5)]
Money = Annotated[float, Quantity("money", at_most=1e6, zero=True)]
Name = Annotated[str, Text("[a-z0-9][a-z0-9._-]{0,63}", "lower-case letters, digits and . _ - (64 at most)")]
Component = Annotated[str, Text("[A-Z0-9]{1,64}", "upper-case letters and digits")]
Line = Annotated[str, Text(r"[^\x00-\x1f\x7f]{1,1000}", "one line of text")]
VariableName = Annotated[
    str, Text("[A-Za-z_][A-Za-z0-9_]{0,127}", "the name of an environment variable, never a key itself")
]
UrlPath = Annotated[str, Text(r"/[!-~]{0,1000}", "a path that begins with /")]


def _server(written: str) -> str:
    """Returns `embedded`, `reference` or a base address without a slash at its end."""
    if written in (EMBEDDED, REFERENCE):
        return written
    try:
        parts = urlsplit(written)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        port_is_good = False
    if not port_is_good or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"expected embedded or an address such as http://127.0.0.1:8000, got {shown(written)}"
        )
    if "@" in parts.netloc or "?" in written or "#" in written:
        raise ValueError(
            "an address holds no user, password, query or fragment; keys go by target.api_key_env"
        )
    return written.rstrip("/")


Server = Annotated[
    str, Text(r"[!-~]{1,1000}", "embedded or an address without spaces"), AfterValidator(_server)
]


class _Objectives:
    """Reads the mapping of metrics to limits into objectives, see `objectives.read`."""

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(objectives.write)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        return objectives.json_schema()

    def read(self, written: Any) -> tuple[objectives.Objective, ...]:
        if written is not None and not isinstance(written, dict):
            raise ValueError(f"expected a mapping of metrics to limits, got {shown(written)}")
        try:
            return objectives.read(written or {})
        except objectives.ObjectiveError as error:
            raise broken(error.path, str(error)) from None


Objectives = Annotated[tuple[objectives.Objective, ...], _Objectives()]


@dataclass(frozen=True)
class _Tokens:
    """Reads a number of tokens, or a mapping that names its distribution, see `lengths.read`."""

    most: int

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:
        write = core_schema.plain_serializer_function_ser_schema(lengths.write)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        tokens = {"type": "integer", "minimum": 1, "maximum": self.most}
        kinds = {"from": tokens, "to": tokens, "median": tokens, "sigma": {"type": "number"}}
        mappings = [
            {
                "type": "object",
                "properties": {"distribution": {"const": name}} | {key: kinds[key] for key in keys},
                "required": ["distribution", *keys],
                "additionalProperties": False,
            }
            for name, keys in lengths.KEYS.items()
        ]
        return {"anyOf": [tokens, *mappings]}

    def read(self, written: Any) -> lengths.Lengths:
        try:
            return lengths.read(written, self.most)
        except lengths.LengthError as error:
            raise broken(error.path, str(error)) from None


Tokens = Annotated[lengths.Lengths, _Tokens(lengths.MOST)]
PromptTokens = Annotated[lengths.Lengths, _Tokens(lengths.MOST_OF_A_PROMPT)]


# What decides the measurement is set where it is recorded, and what frames a message is the client's.
_SET_ELSEWHERE = {
    "model": "target.model", "messages": "workload.prompts", "prompt": "workload.prompts",
    "max_tokens": "workload.output_tokens", "max_completion_tokens": "workload.output_tokens",
    "temperature": "workload.temperature", "seed": "workload.seed",
    "stream": "workload.stream", "stream_options": None, "n": None,
}  # fmt: skip
_FRAMING = {"host", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding"}


def _body(written: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for key in written.keys() & _SET_ELSEWHERE.keys():
        place = _SET_ELSEWHERE[key]
        raise broken((key,), f"is set by {place}" if place else "is set by hxbench itself")
    return written


def _headers(written: dict[str, str]) -> dict[str, str]:
    for name in written:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", name):
            raise broken((), "expected the name of a header")
        if name.lower() in _FRAMING or name.lower() == "x-request-id":
            raise broken((name,), "is set by hxbench itself")
    return written


def listed(written: Any) -> Any:
    """Returns a list as the tuple that a frozen section holds."""
    return tuple(written) if isinstance(written, list) else written


Body = Annotated[dict[str, JsonValue], AfterValidator(_body)]
Headers = Annotated[dict[str, VariableName], AfterValidator(_headers)]
Lines = Annotated[tuple[Line, ...], BeforeValidator(listed)]
