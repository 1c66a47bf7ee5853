"""Percentiles of a latency as lines: over the run, and over the loads of a sweep."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
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
)  # fmt: skip
from hxbench.render.figures.time_axis import has_named, timed

# the marks differ too: lines may cross, and colours may not be seen
_LEVELS = {"p50": (BLUE, "circle"), "p95": (ORANGE, "square"), "p99": (PURPLE, "diamond")}
_FAILED = "a percentile is a failure"


def percentiles(
    frame: pd.DataFrame, *, title: str, of: str, spans: Sequence[Span] = (), limits: Sequence[Limit] = ()
) -> Figure:
    """Returns p50, p95 and p99 over time, from `percentiles.percentiles_over_time`.

    A window of too few values has no mark; one whose percentile is a failure has a cross at the top.
    """
    heading = f"{title} over time"
    largest = largest_percentile(frame)
    if largest is None:
        return nothing(heading, f"Too few {of}, or all of them failed.")
    figure = panels(heading, _windows(frame, of), [1], 380)
    for _, part in frame.groupby("trial"):
        draw_percentiles(figure, part, (part["begin_s"] + part["end_s"]) / 2, top=1.2 * largest)
    draw_levels(figure, 1, limits, largest, "s")
    figure.update_yaxes(tickformat="~s", ticksuffix="s")
    return timed(figure, spans, [title], trials=2)


def _windows(frame: pd.DataFrame, of: str) -> str:
    fewest, most = int(frame["n"].min()), int(frame["n"].max())
    each = f"{fewest} to {most}" if fewest < most else f"{most}"
    windows = "1 window" if len(frame) == 1 else f"{units.count(len(frame))} windows"
    return f"{windows} of {each} {of}; p95 is drawn from 20 on, p99 from 100"


def largest_percentile(frame: pd.DataFrame, prefix: str = "") -> float | None:
    """Returns the largest p50, p95 or p99 of a frame that is no failure; None without any."""
    values = _values(frame, prefix)
    return float(values[np.isfinite(values)].max()) if np.isfinite(values).any() else None


def draw_percentiles(
    figure: Figure, frame: pd.DataFrame, x: pd.Series, *, top: float, row: int = 1, prefix: str = ""
) -> None:
    """Draws p50, p95 and p99 over `x`, with their intervals where known; failures are crosses at `top`.

    The columns are `p50_s` behind a prefix such as `ttft_`; of an interval `p50_low_s` and `p50_high_s`.
    """
    for level, (colour, symbol) in _LEVELS.items():
        y = frame[f"{prefix}{level}_s"].replace(np.inf, np.nan)
        if y.notna().any():
            figure.add_scatter(
                x=thin(x), y=thin(y), row=row, col=1, mode="lines+markers", name=level, legendgroup=level,
                line={"width": 1.6, "color": colour}, marker={"size": 7, "symbol": symbol},
                showlegend=not has_named(figure, level), hovertemplate=f"{level} %{{y:.4~s}}s<extra></extra>",
                error_y=_interval(frame, f"{prefix}{level}", y, top),
            )  # fmt: skip
    failed = x.to_numpy(dtype="float64")[np.isinf(_values(frame, prefix)).any(axis=1)]
    if len(failed):
        figure.add_scatter(
            x=thin(failed), y=thin([top] * len(failed)), row=row, col=1, mode="markers", name=_FAILED,
            marker={"color": RED, "symbol": "x", "size": 9}, legendgroup=_FAILED,
            showlegend=not has_named(figure, _FAILED), hovertemplate=f"{_FAILED}<extra></extra>",
        )  # fmt: skip


def _values(frame: pd.DataFrame, prefix: str) -> npt.NDArray[np.float64]:
    return frame[[f"{prefix}{level}_s" for level in _LEVELS]].to_numpy(dtype="float64")


def _interval(frame: pd.DataFrame, name: str, y: pd.Series, top: float) -> dict[str, object] | None:
    """Returns plotly's bars of an interval; an open end lies at the panel's edge, two are not drawn."""
    if f"{name}_low_s" not in frame:
        return None
    low, high = frame[f"{name}_low_s"], frame[f"{name}_high_s"]
    unknown = low.isna() & high.isna()
    low, high = low.fillna(0.0).mask(unknown, y), high.fillna(max(top, y.max())).mask(unknown, y)
    ends = {"array": thin(high - y), "arrayminus": thin(y - low), "symmetric": False}
    return ends | {"thickness": 1, "width": 4}
