"""A rate over time, read from a CSV file `seconds,rate` into stages: straight from one line to the next."""

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from hxbench.errors import ProfileError

MOST = {"seconds": 604_800, "rate": 100_000}  # as of any duration and rate of a profile
HEADER = [*MOST]
MOST_POINTS = 2001  # a day by the minute has 1441
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


class _Point(NamedTuple):
    """A rate (per second) at a time, in seconds; exact, so that the profile says what the file does."""

    time: Decimal
    rate: Decimal


def stages(name: str) -> list[dict[str, Any]]:
    """Returns the stages as a profile has them; each is called by when it begins, such as `300s`.

    Times count from the first line's; two lines of one time are a jump.
    Raises: ProfileError with file and line when there is no such file or it is no series.
    """
    try:
        points = list(islice(_points(name), MOST_POINTS + 1))
    except OSError as error:
        raise ProfileError(f"{name}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{name}: is no CSV: {error}") from None
    except ValueError:  # a NUL in the name
        raise ProfileError("is no file name") from None
    if len(points) > MOST_POINTS:
        raise ProfileError(f"{name}: holds more than {MOST_POINTS} lines")
    found = [_stage(points[0], *pair) for pair in pairwise(points) if pair[0].time < pair[1].time]
    if not found:
        raise ProfileError(f"{name}: expected two or more lines of {','.join(HEADER)}, at different times")
    return found


def _points(name: str) -> Iterator[_Point]:
    path, before = Path(name), Decimal(0)
    if path.exists() and not path.is_file():
        raise ProfileError(f"{name}: is no regular file, expected a CSV")
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        if [cell.strip() for cell in next(lines, [])] != HEADER:
            raise ProfileError(f"{name}:1: expected the header {','.join(HEADER)}")
        for cells in lines:
            if not cells:
                continue
            place = f"{name}:{lines.line_num}"
            if len(cells) != len(HEADER):
                raise ProfileError(f"{place}: expected {','.join(HEADER)}, got {len(cells)} values")
            point = _Point(*(_number(*each, place) for each in zip(HEADER, cells, strict=True)))
            if point.time < before:
                raise ProfileError(f"{place}: seconds: {point.time} comes before the line above")
            before = point.time
            yield point


def _number(key: str, written: str, place: str) -> Decimal:
    if not _NUMBER.fullmatch(written.strip()):
        raise ProfileError(f"{place}: {key}: expected a number such as 12.5, got {written[:40]!r}")
    if (number := Decimal(written.strip())) > MOST[key]:
        raise ProfileError(f"{place}: {key}: expected at most {MOST[key]}, got {number}")
    return number


def _stage(first: _Point, begin: _Point, end: _Point) -> dict[str, Any]:
    return {
        "name": f"{_plain(begin.time - first.time)}s",
        "rate": {"from": f"{_plain(begin.rate)} req/s", "to": f"{_plain(end.rate)} req/s"},
        "duration": f"{_plain(end.time - begin.time)} s",
    }


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")
