"""What Prometheus said of the services, on the run's time axis: one panel a query."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from hxbench.render.figure import BLUE, Figure, Limit, Span, draw_levels, nothing, panels
from hxbench.render.figures.time_axis import binned, line, thinned, timed

_TITLE = "What Prometheus saw"


def prometheus(
    frame: pd.DataFrame,
    units_of: Mapping[str, str],
    *,
    longest_s: float,
    spans: Sequence[Span] = (),
    limits: Mapping[str, Sequence[Limit]],
) -> Figure:
    """Returns the answers to each query of `units_of` over time, from `Frames.prometheus`.

    A line is broken where no value is for longer than `longest_s`.
    """
    names = [name for name in units_of if (frame["name"] == name).any()]
    if not names:
        return nothing(_TITLE, "It gave no number.")
    shown, width = binned(frame, "name", "labels", "trial")
    figure = panels(_TITLE, thinned(width), [1 / len(names)] * len(names), 120 + 150 * len(names))
    for row, name in enumerate(names, start=1):
        mine = shown[shown["name"] == name]
        for (labels, trial), part in mine.groupby(["labels", "trial"]):
            first = trial == shown["trial"].min()
            called = f"{name}{_labelled(str(labels))}" + ("" if first else f", trial {trial}")
            whole = _broken(part, max(longest_s, 2 * (width or 0)))
            line(figure, whole, "value", row, escape(called), BLUE if first else None, "%{y:.4~g}")
        draw_levels(figure, row, limits.get(name, ()), float(mine["value"].max()), units_of[name])
        if (lowest := float(mine["value"].min())) < 0:
            figure.update_yaxes(range=[1.25 * lowest, None], row=row)
    titles = [_titled(name, units_of[name]) for name in names]
    return timed(figure, spans, titles, trials=1 + len(figure.data) - len(names))


def _broken(part: pd.DataFrame, longest_s: float) -> pd.DataFrame:
    """Returns a line with an empty point in each gap, so that nothing is drawn over it."""
    since = part["time_s"].diff()
    gaps = part.assign(value=math.nan, time_s=part["time_s"] - since / 2)[since > longest_s]
    return pd.concat([part, gaps]).sort_values("time_s") if len(gaps) else part


def _labelled(labels: str) -> str:
    """Returns the labels of a series as PromQL writes them, without the metric's name; nothing for none."""
    held = {key: value for key, value in json.loads(labels).items() if key != "__name__"}
    return "{" + ", ".join(f"{key}={value}" for key, value in held.items()) + "}" if held else ""


def _titled(name: str, unit: str) -> str:
    return name if unit in ("count", "ratio", "share") else f"{name}, {unit}"
