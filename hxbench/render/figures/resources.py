"""What the server used, and what it says of itself, on one time axis."""

from collections.abc import Sequence

import pandas as pd

from hxbench.render.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Figure,
    Limit,
    Span,
    draw_levels,
    nothing,
    panels,
)  # fmt: skip
from hxbench.render.figures.time_axis import binned, line, thinned, timed

_ELSEWHERE = "Not sampled: the server runs on another machine"
# as `metrics.resources` calls them -> name, colour
_SOURCES = {"process": ("server", BLUE), "client": ("load generator", ORANGE), "host": ("machine", GREY)}
_USED = ("Processor, cores", "Memory (resident)")
# as `server_metrics` calls them -> panel, name, colour, unit
_METRICS = {
    "processing": (0, "at work", GREEN, "requests"),
    "waiting": (0, "waiting for a slot", RED, "requests"),
    "prompt_tokens_per_s": (1, "prompt tokens", PURPLE, "tok/s"),
    "output_tokens_per_s": (1, "output tokens", BLUE, "tok/s"),
}
_SAID = ("Requests, it says", "Tokens/s, it says")


def resources(
    frame: pd.DataFrame,
    server: pd.DataFrame,
    *,
    spans: Sequence[Span] = (),
    cpu_limits: Sequence[Limit] = (),
    memory_limits: Sequence[Limit] = (),
) -> Figure:
    """Returns what the server used, from `metrics.resources`, above what it says of itself.

    `server` is as of `server_metrics`; of what was not sampled, or not scraped, there is no panel.
    """
    title = "Processor, memory, and the server's own metrics"
    known = frame[frame["source"].isin(list(_SOURCES))]
    scraped = server.dropna(how="all", subset=list(_METRICS))
    if known.empty and scraped.empty:
        return nothing(title, f"{_ELSEWHERE}, and it has no metrics that are known here.")
    names = [*(_SAID if known.empty else _USED), *(_SAID if len(known) and len(scraped) else ())]
    shown, width = (known, None) if known.empty else binned(known, "source", "trial")
    says = f"{_ELSEWHERE}." if known.empty else thinned(width)
    figure = panels(title, says, [1 / len(names)] * len(names), 120 + 150 * len(names))
    if len(known):
        _used(figure, shown, cpu_limits, memory_limits)
    if len(scraped):
        _said(figure, scraped, row=len(names) - 1)
    return timed(figure, spans, names, trials=2)


def _used(
    figure: Figure, shown: pd.DataFrame, cpu_limits: Sequence[Limit], memory_limits: Sequence[Limit]
) -> None:
    for (source, trial), part in shown.groupby(["source", "trial"]):
        name, colour = _SOURCES[str(source)]
        name = name if trial == shown["trial"].min() else f"{name}, trial {trial}"
        line(figure, part, "cpu_cores", 1, name, colour, "%{y:.3~s} cores")
        line(figure, part, "rss_bytes", 2, name, colour, "%{y:.4~s}B")
    draw_levels(figure, 1, cpu_limits, float(shown["cpu_cores"].max()), "cores")
    draw_levels(figure, 2, memory_limits, float(shown["rss_bytes"].max()), "B")
    figure.update_yaxes(tickformat="~s", ticksuffix="B", row=2)


def _said(figure: Figure, server: pd.DataFrame, row: int) -> None:
    """Draws the server's gauges in panel `row` and its rates in the next."""
    shown, _ = binned(server, "trial")
    for _, part in shown.groupby("trial"):
        for column, (below, name, colour, unit) in _METRICS.items():
            if part[column].notna().any():
                line(figure, part, column, row + below, name, colour, f"%{{y:.3~s}} {unit}")
    for below in range(len(_SAID)):
        columns = [column for column, look in _METRICS.items() if look[0] == below]
        draw_levels(figure, row + below, (), float(shown[columns].fillna(0).max().max()), "count")
