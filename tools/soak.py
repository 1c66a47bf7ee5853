"""The leak verdict on real servers: `python -m tools.soak [CYCLES]`.

llama.cpp's prompt cache keeps each prompt it has seen, about 2 MB each, up to 8 GiB: it grows as a leak does,
and has to be called one. Without it the same server has to pass. The exit status is 1 when either is not so.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import hxbench as hx

EXPECTED = {"on": "FAIL", "off": "PASS"}  # by the prompt cache


def verdict(folder: Path, cache: str, cycles: int) -> str:
    """Returns the leak verdict on an embedded server with the cache on or off, and prints its reason."""
    embedded = {"threads": 1, "slots": 1, "context": 1024, "prompt_cache": cache == "on"}
    changed: dict[str, Any] = {
        "target__embedded": embedded,
        "target__extra_body": {"ignore_eos": True},
        "objectives": {},
    }
    check = hx.memory("smollm2-135m", folder / cache, checks="leak", cycles=cycles, **changed)
    (found,) = check.found
    print(f"prompt cache {cache}: {found.verdict}: {found.reason}")
    return found.verdict


def main() -> int:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory(prefix="hxbench-") as folder:
        found = {cache: verdict(Path(folder), cache, cycles) for cache in EXPECTED}
    return int(found != EXPECTED)


if __name__ == "__main__":
    sys.exit(main())
