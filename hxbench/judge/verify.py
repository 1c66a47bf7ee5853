"""Compares what a certificate holds with what its records give.

Integers, texts, verdicts and what is null must be equal; a float may differ by 1e-9 of its size, which is
more than another build of numpy changes and less than any reader sees.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-9
_SHOWN = 120  # characters of a value in a message


@dataclass(frozen=True)
class Group:
    """Checks of one kind: what was looked at, and one sentence for each fault."""

    name: str
    says: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """All that was looked at; `status` is the certificate's by the records, None where they give none."""

    run: str
    status: str | None
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """Returns the faults of all groups."""
        return tuple(fault for group in self.groups for fault in group.faults)

    def as_dict(self) -> dict[str, Any]:
        """Returns the verification as JSON has it."""
        return {
            "run": self.run,
            "verified": not self.faults,
            "status": self.status,
            "groups": [vars(group) | {"faults": list(group.faults)} for group in self.groups],
            "notes": list(self.notes),
        }


def plain(value: Any) -> Any:
    """Returns a value as JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(value, allow_nan=False))


def differences(held: Any, given: Any, path: str = "") -> Iterator[str]:
    """Yields `path: holds X, the records give Y` for each value in which two JSON documents differ."""
    if isinstance(held, Mapping) and isinstance(given, Mapping):
        for key in dict.fromkeys((*given, *held)):
            here = f"{path}.{key}" if path else str(key)
            if key not in held:
                yield f"{here}: is missing, the records give {_shown(given[key])}"
            elif key not in given:
                yield f"{here}: holds {_shown(held[key])}, the records give no such value"
            else:
                yield from differences(held[key], given[key], here)
    elif isinstance(held, list) and isinstance(given, list):
        if len(held) != len(given):
            yield f"{path}: holds {len(held)} entries, the records give {len(given)}"
        for index, (one, other) in enumerate(zip(held, given, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif not _equal(held, given):
        yield f"{path}: holds {_shown(held)}, the records give {_shown(given)}"


def _equal(held: Any, given: Any) -> bool:
    if isinstance(held, float) and isinstance(given, float):
        return math.isclose(held, given, rel_tol=TOLERANCE, abs_tol=0.0)
    return type(held) is type(given) and bool(held == given)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def values(document: Any) -> int:
    """Returns how many values a JSON document holds."""
    if isinstance(document, Mapping):
        return sum(map(values, document.values()))
    if isinstance(document, Sequence) and not isinstance(document, str):
        return sum(map(values, document))
    return 1
