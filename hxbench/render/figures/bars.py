"""Single requests as bars: where the time of each went."""

from collections.abc import Sequence
from html import escape

import pandas as pd

from hxbench import units
from hxbench.render import wording
from hxbench.render.figure import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Figure, nothing, panels, thin

_Part = tuple[str, str, str]
_SECONDS = {"tickformat": "~s", "ticksuffix": "s"}  # 0.02 is written 20ms


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
    return _stacked(figure, shown, list(shown["label"]), _WORDED)


def typical(frame: pd.DataFrame, *, of: int, seed: int) -> Figure:
    """Returns where the time of requests drawn by lot went: `Frames.typical`, out of so many."""
    title = "Where the time of ordinary requests went"
    if frame.empty:
        return nothing(title, "No request was answered.")
    says = f"Sampled: {len(frame)} of {units.count(of)} answered requests, drawn by lot with seed {seed}"
    figure = panels(title, says, [1], 170 + 22 * len(frame))
    labels = [escape(str(name)) for name in frame["request_id"]]
    return _stacked(figure, _seen(frame), labels, _WORDED)


# as `diagnosis.waterfall` calls them -> colour
_PARTS = (
    ("dispatch_wait_ns", GREY), ("rest_ns", RED), ("connect_ns", ORANGE), ("send_ns", SKY),
    ("server_ns", BLUE), ("first_token_ns", PURPLE), ("decode_ns", GREEN),
)  # fmt: skip
_WORDED = [(name, wording.PARTS[name], colour) for name, colour in _PARTS]
_SEEN = 0.002  # of the longest bar


def waterfall_rows(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Returns median, p95 and the slowest: their labels, and each part in seconds, 0 where it is not seen."""
    n = len(frame)
    chosen = [n - -(-level * n // 100) for level in (50, 95)]  # nearest rank, the slowest first
    rows = frame.iloc[[*chosen, *range(min(count, n))]].reset_index(drop=True)
    names = ["median", "p95", *(f"{place}." for place in range(1, len(rows) - 1))]
    labels = [f"{name}  {escape(str(each))}" for name, each in zip(names, rows["request_id"], strict=True)]
    return _seen(rows).assign(label=labels)


def _seen(rows: pd.DataFrame) -> pd.DataFrame:
    parts = rows[[name for name, _ in _PARTS]] / 1e9
    return parts.where(parts >= _SEEN * parts.sum(axis=1).max(), 0.0)


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
