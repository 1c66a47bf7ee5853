"""What a memory check does: steps, each with fresh servers of its own. Standard library only."""

from collections.abc import Iterable
from dataclasses import dataclass

from hxbench import units
from hxbench.errors import InputError
from hxbench.plan.messages import suggestion

AT_ONCE, GROWTH, OWN, SHARED, LEAK = "at once", "growth", "own servers", "one server", "leak"
DEFAULT_CHECKS = "at once, growth, servers"
MOST_TOKENS = 2000  # a longer answer would not be kept whole
FEWEST_CYCLES = 7  # the first warms up
MOST_AT_ONCE = 256
LONGEST_LEAK_S = 24 * 3600.0  # ten samples a second of it are a gigabyte of journal
_CHECKS = ("at once", "growth", "servers", "leak")


@dataclass(frozen=True)
class Step:
    """`requests` answers of `tokens` tokens, `users` at a time, `cycles` times; a rest before and after each.

    Several servers have the requests dealt to them in turn. Where fewer than `under_load_s` seconds, rests
    apart, have passed by then, cycles follow until they have.
    """

    name: str
    users: int
    requests: int
    tokens: int
    servers: int = 1
    cycles: int = 1
    under_load_s: float = 0.0


def steps(
    checks: str = DEFAULT_CHECKS, at_once: Iterable[object] | str = "1, 2, 4, 8, 16", tokens: int = 200,
    cycles: int = 8, leak_time: str | None = None,
) -> tuple[Step, ...]:  # fmt: skip
    """Returns the steps of the checks: `at once` is R3.5, `growth` R3.6, `servers` R3.7, `leak` R3.6's too.

    `at_once` is how many requests, of `tokens` tokens; `cycles` are the leak check's, which goes on until it
    had the server `leak_time`, such as "30 min", under load.
    Raises: InputError when they are not as they should be.
    """
    chosen = [str(part).strip() for part in _parts(checks)]
    for part in chosen:
        if part not in _CHECKS:
            raise InputError(f"memory: checks: unknown check {part[:40]}; {suggestion(part, _CHECKS)}")
    numbers = [_whole("at_once", each, 1, MOST_AT_ONCE) for each in _parts(at_once)]
    if not numbers or numbers != sorted(set(numbers)):
        raise InputError(f"memory: at_once: expected rising numbers such as 1, 2, 4, got {at_once or 'none'}")
    length = _whole("tokens", tokens, 1, MOST_TOKENS)
    turns = _whole("cycles", cycles, FEWEST_CYCLES, 10_000)
    under_load_s = _duration(leak_time, chosen)
    found = {
        "at once": [Step(AT_ONCE, users, users, length) for users in numbers],
        "growth": [Step(GROWTH, 1, 20, 50)],
        "servers": [Step(OWN, 4, 4, 50, servers=4), Step(SHARED, 4, 10, 50)],
        "leak": [Step(LEAK, 1, 10, 50, cycles=turns, under_load_s=under_load_s)],
    }
    if not chosen:
        raise InputError(f"memory: checks: expected some of {', '.join(_CHECKS)}, got none")
    return tuple(step for check in _CHECKS if check in chosen for step in found[check])


def _duration(leak_time: str | None, chosen: list[str]) -> float:
    if not leak_time:
        return 0.0
    if "leak" not in chosen:
        raise InputError("memory: leak_time: has no place without the check leak: --checks leak")
    try:
        seconds = float(units.parse(leak_time, "duration"))
    except ValueError as error:
        raise InputError(f"memory: leak_time: {error}") from None
    if not 0 < seconds <= LONGEST_LEAK_S:
        longest = units.duration(LONGEST_LEAK_S)
        raise InputError(f"memory: leak_time: expected more than 0 s and at most {longest}, got {leak_time}")
    return seconds


def _parts(given: Iterable[object] | str) -> list[object]:
    parts = [part for part in given.split(",") if part.strip()] if isinstance(given, str) else given
    return list(parts)


def _whole(name: str, given: object, least: int, most: int) -> int:
    try:
        number = int(units.parse(str(given), "count"))
    except ValueError as error:
        raise InputError(f"memory: {name}: {error}") from None
    if not least <= number <= most:
        raise InputError(f"memory: {name}: expected {least} to {most}, got {number}")
    return number
