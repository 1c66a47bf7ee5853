"""The reference cases by id; their values were computed outside hxbench."""

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _cases() -> dict[str, Any]:
    text = Path(__file__).with_name("reference_cases.json").read_text()
    return {case["id"]: case for case in json.loads(text)["cases"]}


def case(case_id: str) -> Any:
    """Returns one case: input, expected, tolerance."""
    return _cases()[case_id]


def ids(area: str, function: str) -> list[str]:
    """Returns the ids of an area's cases for one function."""
    return [name for name, each in _cases().items() if (each["area"], each["fn"]) == (area, function)]
