"""A sweep: latency and throughput at rising loads."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.judge.scaling import Advice
from hxbench.render.figure import (
    BLUE,
    GREEN,
    GREY,
    RED,
    Figure,
    Limit,
    draw_levels,
    nothing,
    panels,
    thin,
)  # fmt: skip
from hxbench.render.figures.percentiles import draw_percentiles, largest_percentile
from hxbench.stats.scalability import Scalability

_LOADS = {"users": ("Users, each waiting for its answer", "users"), "rate": ("Requests/s offered", "req/s")}
_LATENCIES = {"ttft": "Time to first token", "itl": "Time between tokens", "e2e": "Time to last token"}


def sweep_latency(frame: pd.DataFrame, axis: str, limits: Mapping[str, Sequence[Limit]]) -> Figure:
    """Returns p50, p95 and p99 of three latencies over the load, each with its interval (95 %).

    From `Sweep.frame`; `axis` is its column of the load, users or rate. A percentile of too few values has no
    mark, one that is a failure a cross at the top.
    """
    title = "Latency against load"
    largest = {name: largest_percentile(frame, f"{name}_") for name in _LATENCIES}
    shown = {name: value for name, value in largest.items() if value is not None}
    if not shown:
        return nothing(title, "No load has enough answers for a percentile.")
    says = "Bars are intervals (95 %); p95 is drawn from 20 values on, p99 from 100"
    figure = panels(title, says, [1 / len(shown)] * len(shown), 120 + 190 * len(shown))
    for row, (name, value) in enumerate(shown.items(), start=1):
        draw_percentiles(figure, frame, frame[axis], top=1.2 * value, row=row, prefix=f"{name}_")
        draw_levels(figure, row, limits.get(name, ()), value, "s")
        figure.update_yaxes(title_text=_LATENCIES[name], tickformat="~s", ticksuffix="s", row=row)
    return _over_load(figure, frame, axis, row=len(shown))


def sweep_throughput(frame: pd.DataFrame, axis: str, found: Advice) -> Figure:
    """Returns output tokens and answers a second over the load, with the law and the knee as advice."""
    title = "Throughput against load"
    if frame["achieved_per_s"].isna().all():
        return nothing(title, "Nothing was answered at any load.")
    figure = panels(title, _said(found, axis), [0.6, 0.4], 520)
    _rate(figure, frame, axis, 1, "tokens_per_s", "output tokens", BLUE)
    _rate(figure, frame, axis, 2, "achieved_per_s", "answers", GREEN)
    largest, last = float(frame["tokens_per_s"].fillna(0).max()), float(frame[axis].max())
    if found.law is not None:
        largest = max(largest, _draw_law(figure, found.law, float(frame[axis].min()), last))
    if axis == "rate":
        _line(figure, [0, last], [0, last], 2, "all that was offered", GREY)
    if found.knee is not None:
        figure.add_vline(x=found.knee, line={"color": GREY, "width": 1.5, "dash": "dash"})
    draw_levels(figure, 1, (), largest, "tok/s")
    draw_levels(figure, 2, (), float(frame["achieved_per_s"].max()), "req/s")
    figure.update_yaxes(title_text="Output tok/s", row=1)
    figure.update_yaxes(title_text="Answers/s", row=2)
    return _over_load(figure, frame, axis, row=2)


def _rate(
    figure: Figure, frame: pd.DataFrame, axis: str, row: int, column: str, name: str, colour: str
) -> None:
    figure.add_scatter(
        x=thin(frame[axis]), y=thin(frame[column]), row=row, col=1, mode="lines+markers", name=name,
        line={"width": 1.6, "color": colour}, marker={"size": 8},
        hovertemplate=f"%{{y:.4~g}} {name} a second<extra></extra>",
    )  # fmt: skip


def _draw_law(figure: Figure, law: Scalability, first: float, last: float) -> float:
    """Draws the fitted law between two loads; returns the largest throughput on it."""
    loads = np.linspace(first, last, 50)
    fitted = [law.throughput(load) for load in loads]
    _line(figure, loads, fitted, 1, "Universal Scalability Law, fitted", RED)
    return max(fitted)


def _line(
    figure: Figure,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float],
    row: int,
    name: str,
    colour: str,
) -> None:
    figure.add_scatter(
        x=thin(x), y=thin(y), row=row, col=1, mode="lines", name=name, hoverinfo="skip",
        line={"color": colour, "width": 1.5, "dash": "dot"},
    )  # fmt: skip


def _said(found: Advice, axis: str) -> str:
    """Returns in words what the sweep suggests; it is advice and decides nothing."""
    bend = (
        "no knee"
        if found.knee is None
        else f"a knee at {units.number(found.knee)} {_LOADS[axis][1]} (dashed)"
    )
    if found.law is None:
        return f"Advice, no verdict: {bend}"
    peak = "no peak shown" if found.law.peak is None else f"peak at {units.number(found.law.peak)} users"
    return f"Advice, no verdict: {bend}; contention {units.share(max(found.law.sigma, 0.0))}, {peak}"


def _over_load(figure: Figure, frame: pd.DataFrame, axis: str, row: int) -> Figure:
    figure.update_xaxes(range=[0, 1.06 * float(frame[axis].max())])
    figure.update_xaxes(title_text=_LOADS[axis][0], row=row)
    return figure.update_layout(showlegend=True)  # type: ignore[no-any-return]
