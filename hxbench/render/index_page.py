"""index.html: every run of a folder, by model and profile, with what became of each number over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from hxbench import units
from hxbench.render import wording
from hxbench.render.files import write_whole
from hxbench.render.past_runs import RUN, Found, Judged, Number, find
from hxbench.render.status import looks
from hxbench.render.template import policy, render
from hxbench.render.trend import HEIGHT, WIDTH, trend

NAME = "index.html"
DRAWN = 30  # runs in a plot; more than R5.3's 20, and each still has its place
LISTED = 10  # runs of a history that stand open; the older ones stand behind a fold


def write(outputs: Path) -> Path:
    """Writes the index over a folder of runs and returns its path; links in it are relative.

    Raises: DirectoryError when the folder cannot be read or written.
    """
    path = outputs / NAME
    write_whole(path, page(find(outputs)))
    return path


def page(found: Sequence[Found]) -> str:
    """Returns the page over what was found, the newest first; the same runs give the same bytes."""
    histories: dict[tuple[str, str, str], list[tuple[Found, Judged]]] = {}
    for each in found:
        if each.judged is not None:
            histories.setdefault(each.judged.history, []).append((each, each.judged))
    return render(
        "index.html.j2",
        counts=_counts(found),
        histories=[_history(place, runs) for place, runs in enumerate(histories.values(), start=1)],
        others=[_other(each) for each in found if each.judged is None],
        looks=looks,
        listed=LISTED,
        width=WIDTH,
        height=HEIGHT,
        policy=policy(),
    )


def _counts(found: Sequence[Found]) -> list[tuple[str, str]]:
    judged = [each.judged for each in found if each.judged is not None]
    runs, statuses = sum(each.kind == RUN for each in judged), [each.status for each in judged]
    numbers = [("Runs with a certificate", runs), ("Checks and sweeps", len(judged) - runs)]
    numbers += [(looks(word).word.capitalize(), statuses.count(word)) for word in dict.fromkeys(statuses)]
    rest = len(found) - len(statuses)
    return [(name, units.count(number)) for name, number in (*numbers, ("Other folders", rest)) if number]


def _history(place: int, runs: Sequence[tuple[Found, Judged]]) -> dict[str, Any]:
    newest, judged = runs[0]
    oldest_first = [each for _, each in reversed(runs[:DRAWN])]
    return {
        "anchor": f"history-{place}",
        "model": judged.model,
        "profile": judged.profile if judged.kind == RUN else f"{judged.profile}, {judged.kind}",
        "status": judged.status,
        "when": _moment(newest),
        "runs": [_row(found, each) for found, each in runs],
        "plots": [_plot(number, oldest_first) for number in judged.numbers],
    }


def _row(found: Found, judged: Judged) -> dict[str, Any]:
    return {
        "name": _name(found),
        "href": _href(found),
        "status": judged.status,
        "when": _moment(found),
        "level": judged.level,
        "counts": judged.counts,
        "attempt": units.count(found.attempt),
        "profile": wording.short_hash(judged.sha256),
    }


def _other(found: Found) -> dict[str, Any]:
    return {"name": _name(found), "why": found.why, "href": _href(found)}


def _plot(newest: Number, runs: Sequence[Judged]) -> dict[str, Any]:
    """Returns one number's plot over the runs, the oldest first, with its newest value as text."""
    over_time = [next((each for each in run.numbers if each.id == newest.id), None) for run in runs]
    values = [each.estimate for each in over_time if each is not None]
    span = " to ".join(wording.amount(value, newest.unit) for value in (min(values), max(values)))
    return {
        "name": newest.name,
        "verdict": newest.verdict,
        "measured": wording.amount(newest.estimate, newest.unit),
        "interval": _interval(newest),
        "limit": wording.bound(newest.comparator, newest.limit, newest.unit),
        "says": f"{newest.name} over {units.count(len(values))} runs: {span}",
        "trend": trend(over_time, [run.sha256 for run in runs]),
    }


def _interval(number: Number) -> str | None:
    if number.low is None and number.high is None:
        return None
    return wording.interval({"interval": (number.low, number.high), "unit": number.unit})


def _moment(found: Found) -> str:
    return wording.moment(found.when.isoformat(timespec="seconds"))


def _name(found: Found) -> str:
    return found.path.name.encode("utf-8", "replace").decode()


def _href(found: Found) -> str | None:
    """Returns the address of the page in a folder beside the index; None when it is not there."""
    if found.path.is_symlink() or not (found.path / found.page).is_file():
        return None
    return f"./{quote_from_bytes(bytes(Path(found.path.name)))}/{found.page}"
