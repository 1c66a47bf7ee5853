"""What the server used, and what it says of itself, on one time axis."""

from collections.abc import Sequence

import pandas as pd

from hxbench.render.figure import BLUE, GREY, ORANGE, Figure, Limit, Span, draw_levels, nothing, panels
from hxbench.render.figures.time_axis import binned, line, thinned, timed


def resources(
    frame: pd.DataFrame,
    *,
    spans: Sequence[Span] = (),
    cpu_limits: Sequence[Limit] = (),
    memory_limits: Sequence[Limit] = (),
) -> Figure:
    """Returns processor time and memory of the server and of the generator, from `metrics.resources`."""
    title = "Processor and memory"
    known = frame[frame["source"].isin(list(_SOURCES))]
    if known.empty:
        return nothing(title, "Not sampled: the server runs on another machine.")
    shown, width = binned(known, "source", "trial")
    figure = panels(title, thinned(width), [0.5, 0.5], 460)
    for (source, trial), part in shown.groupby(["source", "trial"]):
        name, colour = _SOURCES[str(source)]
        name = name if trial == shown["trial"].min() else f"{name}, trial {trial}"
        line(figure, part, "cpu_cores", 1, name, colour, "%{y:.3~s} cores")
        line(figure, part, "rss_bytes", 2, name, colour, "%{y:.4~s}B")
    draw_levels(figure, 1, cpu_limits, float(shown["cpu_cores"].max()), "cores")
    draw_levels(figure, 2, memory_limits, float(shown["rss_bytes"].max()), "B")
    figure.update_yaxes(tickformat="~s", ticksuffix="B", row=2)
    return timed(figure, spans, ["Processor, cores", "Memory (resident)"], trials=2)


# as `metrics.resources` calls them -> name, colour
_SOURCES = {"process": ("server", BLUE), "client": ("load generator", ORANGE), "host": ("machine", GREY)}
