"""How a latency is spread: a histogram, and the share of attempts slower than each time."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd

from hxbench import units
from hxbench.render.figure import BLUE, FORBIDDEN, RED, Figure, Limit, nothing, panels, thin

_POINTS = 400  # of one line; more than the pixels it is drawn on
_BINS = 48


def distribution(
    frame: pd.DataFrame, column: str, *, title: str, of: str = "requests", limits: Sequence[Limit] = ()
) -> Figure:
    """Returns how a latency (`column`, seconds) is spread: a histogram above, the share slower below.

    A row without a value is a failure: it is slower than everything. The region beyond a quantile's limit
    and above the share the limit allows is shaded: the line must stay out of it.
    """
    values = np.sort(frame[column].dropna().to_numpy(dtype="float64"))
    total, failed = len(frame), len(frame) - len(values)
    if not len(values):
        return nothing(title, f"No {of} with a value: {units.count(failed)} failed.")
    figure = panels(title, _spread(values, failed, of), [0.42, 0.58], 520)
    low, high = _range(values, [limit.value for limit in limits])
    _histogram(figure, values, low, high, of)
    _share_slower(figure, values, total, high, of)
    for number, limit in enumerate(limits):
        _quantile_limit(figure, limit, high, number)
    ticks = _ticks(low, high)
    figure.update_xaxes(
        type="log", range=[np.log10(low), np.log10(high)],
        tickvals=ticks, ticktext=[units.duration(tick) for tick in ticks],
    )  # fmt: skip
    figure.update_xaxes(title_text=f"{title} (logarithmic)", row=2)
    figure.update_yaxes(title_text=of.capitalize(), rangemode="tozero", row=1)
    floor = np.log10(0.5 / total)
    figure.update_yaxes(
        title_text=f"{of.capitalize()} slower", type="log", range=[floor, 0.05], row=2,
        tickvals=[1, 0.5, 0.1, 0.05, 0.01, 0.001, 0.0001],
        ticktext=["100 %", "50 %", "10 %", "5 %", "1 %", "0.1 %", "0.01 %"],
    )  # fmt: skip
    return figure.update_layout(showlegend=False)  # type: ignore[no-any-return]


def _spread(values: npt.NDArray[np.float64], failed: int, of: str) -> str:
    """Nearest-rank quantiles of all attempts, failures above everything; for reading the figure only."""
    total = len(values) + failed
    ranks = {f"p{level}": -(-level * total // 100) - 1 for level in (50, 95, 99)}
    shown = [
        f"{name} {units.duration(values[rank]) if rank < len(values) else 'failed'}"
        for name, rank in ranks.items()
    ]
    missing = [f"{units.count(failed)} failed"] if failed else []
    return " · ".join([f"{units.count(total)} {of}", *shown, *missing])


def _range(values: npt.NDArray[np.float64], limits: list[float]) -> tuple[float, float]:
    """Returns the ends of a logarithmic axis with values and limits, at least a factor of 4 apart.

    The few smallest values may lie before it: they would push together what matters.
    """
    smallest = max(float(min([values[len(values) // 200], *limits])), 1e-7)
    largest = float(max([values[-1], *limits]))
    middle, half = np.sqrt(smallest * largest), max(np.sqrt(largest / smallest) * 1.25, 2.0)
    return float(middle / half), float(middle * half)


def _ticks(low: float, high: float) -> list[float]:
    """Returns the 1, 2 and 5 of each power of ten between the ends of an axis."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _histogram(figure: Figure, values: npt.NDArray[np.float64], low: float, high: float, of: str) -> None:
    counts, edges = np.histogram(np.maximum(values, low), bins=np.geomspace(low, high, _BINS + 1))
    figure.add_scatter(
        x=thin(edges), y=[*counts.tolist(), 0], row=1, col=1,
        mode="lines", name=f"{of.capitalize()} from here",
        line={"shape": "hv", "width": 1, "color": BLUE}, fill="tozeroy", fillcolor="rgba(0, 114, 178, 0.45)",
        hovertemplate="%{y} from %{x:.3~s}s<extra></extra>",
    )  # fmt: skip


def _share_slower(figure: Figure, values: npt.NDArray[np.float64], total: int, high: float, of: str) -> None:
    """Draws the share of attempts not done within x; ranks are kept densely where few are left."""
    ranks = np.unique(total - np.geomspace(total, total - len(values) + 1, _POINTS).round().astype(int))
    ranks = ranks[ranks < len(values)]
    x, y = values[ranks], (total - ranks) / total
    if total > len(values):
        x, y = np.append(x, high), np.append(y, (total - len(values)) / total)
    figure.add_scatter(
        x=thin(x), y=thin(y), row=2, col=1, mode="lines", line={"shape": "vh", "width": 2, "color": BLUE},
        name=f"{of.capitalize()} slower", hovertemplate="%{y:.3~%} take %{x:.4~s}s or longer<extra></extra>",
    )  # fmt: skip


def _quantile_limit(figure: Figure, limit: Limit, high: float, number: int) -> None:
    line = {"color": RED, "width": 1.5, "dash": "dash"}
    for row in (1, 2):
        figure.add_vline(x=limit.value, row=row, col=1, line=line)
    figure.add_annotation(
        x=np.log10(limit.value), y=1, yref="y domain", row=1, col=1, text=escape(f"limit {limit.text}"),
        showarrow=False, xanchor="right", yanchor="top", xshift=-4, yshift=-15 * number,
        font={"size": 11, "color": RED},
    )  # fmt: skip
    if limit.allowed_share is not None:
        figure.add_shape(
            type="rect", x0=limit.value, x1=high, y0=limit.allowed_share, y1=1.2, row=2, col=1,
            fillcolor=FORBIDDEN, line_width=0, layer="below",
        )  # fmt: skip
