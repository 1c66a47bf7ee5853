"""The figures of a run: frames in, figures out. Drawing computes no number that a verdict rests on.

Large data is thinned for display only and the figure says so; the frames beside the figures hold all.
"""

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd

from hxbench import units
from hxbench.render import wording
from hxbench.render.figure import (
    BLUE,
    FORBIDDEN,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Figure,
    Limit,
    Span,
    draw_levels,
    draw_spans,
    nothing,
    panels,
    thin,
)

_Part = tuple[str, str, str]
_POINTS = 400  # of one line; more than the pixels it is drawn on
_BINS = 48
_TIME = "Seconds since the measured phase began"
_SECONDS = {"tickformat": "~s", "ticksuffix": "s"}  # 0.02 is written 20ms


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


def throughput(
    frame: pd.DataFrame,
    *,
    spans: Sequence[Span] = (),
    token_limits: Sequence[Limit] = (),
    request_limits: Sequence[Limit] = (),
) -> Figure:
    """Returns tokens and requests a second and requests in flight over time, from `metrics.over_time`.

    Of an open loop also the requests a second that were due (grey) and sent (orange).
    """
    title = "Throughput and concurrency"
    if frame.empty:
        return nothing(title, "Nothing was received.")
    shown, width = _binned(frame, "trial")
    figure = panels(title, _thinned(width), [0.4, 0.3, 0.3], 560)
    for trial, part in shown.groupby("trial"):
        name, first = f"trial {trial}", trial == shown["trial"].min()
        colour = BLUE if first else None
        _line(figure, part, "output_tokens_per_s", 1, name, colour, "%{y:.3~s} tok/s")
        if part["due_per_s"].notna().any():  # what was asked for, beneath what came of it
            _line(figure, part, "due_per_s", 2, name, GREY, "%{y:.3~s} due/s")
            _line(figure, part, "sent_per_s", 2, name, ORANGE, "%{y:.3~s} sent/s")
        _line(figure, part, "requests_per_s", 2, name, colour, "%{y:.3~s} req/s")
        _line(figure, part, "in_flight", 3, name, colour, "%{y:.3~s} in flight")
        _failures(figure, part)
    draw_levels(figure, 1, token_limits, float(shown["output_tokens_per_s"].max()), "tok/s")
    draw_levels(figure, 2, request_limits, float(shown["requests_per_s"].max()), "req/s")
    draw_levels(figure, 3, (), float(shown["in_flight"].max()), "count")
    return _timed(figure, spans, ["Output tok/s", "Requests/s", "In flight"], trials=shown["trial"].nunique())


def _failures(figure: Figure, part: pd.DataFrame) -> None:
    failed = part[part["failures_per_s"] > 0]
    if len(failed):
        figure.add_scatter(
            x=thin(failed["time_s"]), y=thin(failed["failures_per_s"]), row=2, col=1, mode="markers",
            marker={"color": RED, "symbol": "x", "size": 8}, name="failures",
            hovertemplate="%{y:.3~s} failures/s<extra></extra>",
        )  # fmt: skip


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
    shown, width = _binned(known, "source", "trial")
    figure = panels(title, _thinned(width), [0.5, 0.5], 460)
    for (source, trial), part in shown.groupby(["source", "trial"]):
        name, colour = _SOURCES[str(source)]
        name = name if trial == shown["trial"].min() else f"{name}, trial {trial}"
        _line(figure, part, "cpu_cores", 1, name, colour, "%{y:.3~s} cores")
        _line(figure, part, "rss_bytes", 2, name, colour, "%{y:.4~s}B")
    draw_levels(figure, 1, cpu_limits, float(shown["cpu_cores"].max()), "cores")
    draw_levels(figure, 2, memory_limits, float(shown["rss_bytes"].max()), "B")
    figure.update_yaxes(tickformat="~s", ticksuffix="B", row=2)
    return _timed(figure, spans, ["Processor, cores", "Memory (resident)"], trials=2)


# as `metrics.resources` calls them -> name, colour
_SOURCES = {"process": ("server", BLUE), "client": ("load generator", ORANGE), "host": ("machine", GREY)}


def waterfall(frame: pd.DataFrame, *, count: int = 10, subtitle: str | None = None) -> Figure:
    """Returns where the time of good requests went, from `diagnosis.waterfall`: stacked bars of its parts.

    The median and the p95 stand on top, the slowest below; a part too short to be seen has no bar.
    """
    title = "Where the time went"
    if frame.empty:
        return nothing(title, "No request was answered.")
    shown = waterfall_rows(frame, count)
    says = escape(subtitle or f"{units.count(len(frame))} answered requests", quote=False)
    figure = panels(title, says, [1], 170 + 22 * len(shown))
    parts = [(name, wording.PARTS[name], colour) for name, colour in _PARTS]
    return _stacked(figure, shown, list(shown["label"]), parts)


# as `diagnosis.waterfall` calls them -> colour
_PARTS = (
    ("dispatch_wait_ns", GREY), ("rest_ns", RED), ("connect_ns", ORANGE), ("send_ns", "#b5a000"),
    ("server_ns", BLUE), ("first_token_ns", PURPLE), ("decode_ns", GREEN),
)  # fmt: skip
_SEEN = 0.002  # of the longest bar


def waterfall_rows(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Returns median, p95 and the slowest: their labels, and each part in seconds, 0 where it is not seen."""
    n = len(frame)
    chosen = [n - -(-level * n // 100) for level in (50, 95)]  # nearest rank, the slowest first
    rows = frame.iloc[[*chosen, *range(min(count, n))]].reset_index(drop=True)
    names = ["median", "p95", *(f"{place}." for place in range(1, len(rows) - 1))]
    labels = [f"{name}  {escape(str(each))}" for name, each in zip(names, rows["request_id"], strict=True)]
    parts = rows[[name for name, _ in _PARTS]] / 1e9
    return parts.where(parts >= _SEEN * parts.sum(axis=1).max(), 0.0).assign(label=labels)


def slowest(frame: pd.DataFrame, *, count: int = 20) -> Figure:
    """Returns the slowest requests as bars: waiting to be sent, waiting for the first token, streaming.

    Failed requests stand on top, ordered by how long they took to fail.
    """
    title = "Slowest requests"
    rows = slowest_rows(frame, count)
    if rows.empty:
        return nothing(title, "No request was made.")
    subtitle = f"{len(rows)} of {units.count(int(frame['attempted'].sum()))} requests, the slowest on top"
    figure = panels(title, subtitle, [1], 170 + 22 * len(rows))
    labels = [escape(str(name)) for name in rows["request_id"]]
    return _stacked(figure, rows, labels, _STAGES)


def _stacked(figure: Figure, rows: pd.DataFrame, labels: Sequence[str], parts: Sequence[_Part]) -> Figure:
    """Draws a bar a row, the first on top: its parts (column in seconds, name, colour) end to end."""
    for column, name, colour in parts:
        if rows[column].fillna(0).gt(0).any():
            figure.add_bar(
                x=thin(rows[column].fillna(0)), y=labels, orientation="h", name=name,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{name}: %{{x:.4~s}}s<extra>%{{y}}</extra>",
            )  # fmt: skip
    figure.update_xaxes(title_text="Since due (sent, in closed loop)", **_SECONDS)
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"family": "monospace", "size": 11})
    return figure.update_layout(  # type: ignore[no-any-return]
        barmode="stack", hovermode="closest", showlegend=True, legend_traceorder="normal"
    )


_STAGES = (
    ("queued_s", "due, not yet sent", GREY),
    ("waiting_s", "waiting for the first token", BLUE),
    ("streaming_s", "streaming", GREEN),
    ("failing_s", "failed", RED),
)


def slowest_rows(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Returns the slowest attempted requests of `metrics.per_request` with their stages in seconds."""
    rows = frame[frame["attempted"]].copy()
    start = rows["due_s"].fillna(rows["dispatched_s"])
    ok = rows["ok"].astype(bool)
    rows["total_s"] = rows["done_s"] - start
    rows["queued_s"] = (rows["dispatched_s"] - start).clip(lower=0)
    rows["waiting_s"] = rows["ttft_dispatch_s"].where(ok)
    rows["streaming_s"] = (rows["total_s"] - rows["queued_s"] - rows["waiting_s"]).clip(lower=0).where(ok)
    rows["failing_s"] = (rows["total_s"] - rows["queued_s"]).where(~ok)
    ordered = rows.assign(failed=~ok).sort_values(["failed", "total_s"], ascending=False, kind="stable")
    stages = [column for column, _, _ in _STAGES]
    return (
        ordered[["request_id", "trial", "outcome", "total_s", *stages, "output_tokens"]]
        .head(count)
        .reset_index(drop=True)
    )


def _line(
    figure: Figure, part: pd.DataFrame, column: str, row: int, name: str, colour: str | None, hover: str
) -> None:
    figure.add_scatter(
        x=thin(part["time_s"]), y=thin(part[column]), row=row, col=1, mode="lines",
        line={"width": 1.6, "color": colour}, name=name, legendgroup=name, showlegend=row == 1,
        hovertemplate=f"{hover}<extra>{name}</extra>",
    )  # fmt: skip


def _binned(frame: pd.DataFrame, *keys: str) -> tuple[pd.DataFrame, float | None]:
    """Returns means over equal stretches of time, at most as many as are shown, and the stretch's length."""
    length = float(frame["time_s"].max() - frame["time_s"].min())
    if frame.groupby(list(keys)).size().max() <= _POINTS or not length:
        return frame, None
    width = length / _POINTS
    middle = (np.floor(frame["time_s"] / width) + 0.5) * width
    binned = frame.assign(time_s=middle).groupby([*keys, "time_s"], as_index=False)
    return binned.mean(numeric_only=True), width


def _thinned(width: float | None) -> str:
    return "" if width is None else f"Means over {units.duration(width)}, for display only"


def _timed(figure: Figure, spans: Sequence[Span], titles: list[str], *, trials: int) -> Figure:
    draw_spans(figure, spans)
    for row, title in enumerate(titles, start=1):
        figure.update_yaxes(title_text=title, row=row)
    figure.update_xaxes(title_text=_TIME, row=len(titles))
    return figure.update_layout(showlegend=trials > 1)  # type: ignore[no-any-return]
