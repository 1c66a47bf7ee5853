"""How percentiles of a latency went over the run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.render.figure import (
    BLUE,
    ORANGE,
    PURPLE,
    RED,
    Figure,
    Limit,
    Span,
    draw_levels,
    nothing,
    panels,
    thin,
)
from hxbench.render.figures.time_axis import has_named, timed

# the marks differ too: lines may cross, and colours may not be seen
_LEVELS = (("p50", BLUE, "circle"), ("p95", ORANGE, "square"), ("p99", PURPLE, "diamond"))


def percentiles(
    frame: pd.DataFrame, *, title: str, of: str, spans: Sequence[Span] = (), limits: Sequence[Limit] = ()
) -> Figure:
    """Returns p50, p95 and p99 over time, from `percentiles.percentiles_over_time`.

    A window of too few values has no mark; one whose percentile is a failure has a cross at the top.
    """
    heading = f"{title} over time"
    names = [f"{level}_s" for level, _, _ in _LEVELS]
    values = frame[names].to_numpy(dtype="float64")
    if not np.isfinite(values).any():
        return nothing(heading, f"Too few {of}, or all of them failed.")
    figure = panels(heading, _windows(frame, of), [1], 380)
    largest = float(values[np.isfinite(values)].max())
    for _, part in frame.groupby("trial"):
        for level, colour, symbol in _LEVELS:
            _draw(figure, part, level, colour, symbol)
    _failures(figure, frame, names, 1.2 * largest)
    draw_levels(figure, 1, limits, largest, "s")
    figure.update_yaxes(tickformat="~s", ticksuffix="s")
    return timed(figure, spans, [title], trials=2)


def _windows(frame: pd.DataFrame, of: str) -> str:
    fewest, most = int(frame["n"].min()), int(frame["n"].max())
    each = f"{fewest} to {most}" if fewest < most else f"{most}"
    windows = "1 window" if len(frame) == 1 else f"{units.count(len(frame))} windows"
    return f"{windows} of {each} {of}; p95 is drawn from 20 on, p99 from 100"


def _draw(figure: Figure, part: pd.DataFrame, level: str, colour: str, symbol: str) -> None:
    y = part[f"{level}_s"].replace(np.inf, np.nan)
    if y.notna().any():
        figure.add_scatter(
            x=thin((part["begin_s"] + part["end_s"]) / 2), y=thin(y), mode="lines+markers", name=level,
            line={"width": 1.6, "color": colour}, marker={"size": 7, "symbol": symbol}, legendgroup=level,
            showlegend=not has_named(figure, level), hovertemplate=f"{level} %{{y:.4~s}}s<extra></extra>",
        )  # fmt: skip


def _failures(figure: Figure, frame: pd.DataFrame, names: Sequence[str], at: float) -> None:
    failed = frame[np.isinf(frame[list(names)].to_numpy(dtype="float64")).any(axis=1)]
    if len(failed):
        figure.add_scatter(
            x=thin((failed["begin_s"] + failed["end_s"]) / 2), y=thin([at] * len(failed)), mode="markers",
            marker={"color": RED, "symbol": "x", "size": 9}, name="a percentile is a failure",
            hovertemplate="a percentile is a failure<extra></extra>",
        )  # fmt: skip
