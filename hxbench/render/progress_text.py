"""How far a run is, in words and as a share: what the decoder tells, held against the plan."""

from collections.abc import Iterator, Mapping
from typing import Any

from hxbench import units
from hxbench.plan.outline import Outline

ERROR_SHOWN = 60  # characters
PHASES = {"warmup": "warm-up", "measure": "measuring", "drain": "draining"}


def place(progress: Mapping[str, Any], planned: Outline | None) -> str:
    """Returns where in the plan a run is: `trial 2 of 3, measuring, 42 s left`."""
    if progress["event"] == "finished":
        return "load ended"
    trial, left = progress["trial"], None if planned is None else left_s(progress, planned)
    most = "at most " if planned and len(planned.looks) > 1 else ""  # a look may end it
    phase, _, stage = (progress["phase"] or "").partition(" ")
    said = [
        f"trial {trial} of {most}{planned.trials}" if trial and planned and planned.trials > 1 else "",
        f"{PHASES.get(phase, phase or 'starting')} {stage}".rstrip(),
        f"{most}{units.duration(round(left))} left" if left else "",
    ]
    return ", ".join(part for part in said if part)


def left_s(progress: Mapping[str, Any], planned: Outline) -> float | None:
    """Returns the seconds of load still to come; None where only the server knows.

    A load by time ends with its plan. One by number ends when its requests are answered, as fast as in the
    last seconds; each further trial takes as long as this one.
    """
    to_come, elapsed_s = planned.trials - (progress["trial"] or 1), progress["elapsed_s"]
    if planned.seconds is not None:
        each_s = planned.seconds / planned.trials
        return float(max(each_s - elapsed_s, 0.0) + to_come * each_s)
    missing = max(planned.measured / planned.trials - progress["measured"], 0)
    if not progress["measured"] or not progress["requests_per_s"]:
        return None
    here_s = missing / progress["requests_per_s"]
    return float(here_s + to_come * (elapsed_s + here_s))


def share_done(progress: Mapping[str, Any], planned: Outline) -> float:
    """Returns how much of the load is behind a run, from 0 to 1."""
    if planned.seconds is None:
        part = progress["measured"] * planned.trials / max(planned.measured, 1)
    else:
        part = progress["elapsed_s"] * planned.trials / max(planned.seconds, 1e-9)
    return float(((progress["trial"] or 1) - 1 + min(part, 1.0)) / planned.trials)


def line(progress: Mapping[str, Any], planned: Outline | None, width: int | None = None) -> str:
    """Returns the state of the load in one line, what matters most first; of a width, what fits into it."""
    first, *rest = parts(progress, planned)
    text = first if width is None else first[:width]
    for part in rest:
        if width is None or len(text) + len(part) + 3 <= width:
            text += f" · {part}"
    return text


def parts(progress: Mapping[str, Any], planned: Outline | None) -> Iterator[str]:
    """Yields what there is to say of the load, its place in the plan first."""
    yield place(progress, planned)
    yield f"{units.count(progress['ok'])} answered"
    yield f"{units.count(progress['failed'])} failed"
    if progress["last_error"]:
        yield f"last error: {shortened(progress['last_error'])}"
    if progress["ttft_p50_s"] is not None:
        p50, p95 = (units.duration(progress[f"ttft_{level}_s"]) for level in ("p50", "p95"))
        yield f"ttft p50 {p50}, p95 {p95}"
    if progress["event"] == "finished":
        return
    if progress["tokens_per_s"] is not None:
        yield units.rate(progress["tokens_per_s"], "tok/s")
        yield units.rate(progress["requests_per_s"], "req/s")
    yield f"{units.count(progress['in_flight'])} in flight"


def shortened(error: str) -> str:
    """Returns as much of an error as tells it from others; nothing in it steers a terminal."""
    error = "".join(sign if sign.isprintable() else "�" for sign in error)
    return error if len(error) <= ERROR_SHOWN else f"{error[: ERROR_SHOWN - 1]}…"
