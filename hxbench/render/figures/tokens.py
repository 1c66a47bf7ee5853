"""When tokens arrived: a row a request, a mark a read, over the run's time."""

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.render.figure import BLUE, GREY, ORANGE, RED, Figure, Span, nothing, panels, thin
from hxbench.render.figures.time_axis import timed

_MARKS = 1000  # in the figure; more could not be told apart
_COLUMNS = ["request_id", "trial", "attempted", "ok", "begin_s", "done_s"]


def tokens(
    requests: pd.DataFrame, reads: pd.DataFrame, *, count: int = 20, spans: Sequence[Span] = ()
) -> Figure:
    """Returns the token-bearing reads of requests that followed each other, the slowest among them.

    `requests` as of `per_request`, `reads` with request_id, time_s. The sample is one stretch of the run, not
    single requests from all of it: what waits for what is seen among neighbours only.
    """
    title = "Tokens as they arrived"
    rows = stretch(requests, reads, count)
    if rows.empty:
        return nothing(title, "No request was made.")
    shown = reads[reads["request_id"].isin(rows["request_id"])]
    first = ~shown.duplicated("request_id")
    of = units.count(int(requests["attempted"].sum()))
    says = f"Sampled: {len(rows)} of {of} requests, those around the slowest answer"
    figure = panels(title, says, [1], 160 + 17 * len(rows))
    _bars(figure, rows)
    _marks(figure, shown[~first], "more tokens", BLUE, 6, "line-ns")
    _marks(figure, shown[first], "first token", ORANGE, 8, "diamond")
    failed = rows[~rows["ok"].astype(bool)].rename(columns={"done_s": "time_s"}).dropna(subset="time_s")
    _marks(figure, failed, "failed", RED, 8, "x")
    figure.update_yaxes(
        categoryorder="array", categoryarray=_names(rows), range=[len(rows) - 0.4, -0.6], showgrid=False,
        tickfont={"family": "monospace", "size": 10},
    )  # fmt: skip
    figure = timed(figure, _within(spans, rows), ["Request"], trials=2)
    return figure.update_layout(hovermode="closest")  # type: ignore[no-any-return]


def stretch(requests: pd.DataFrame, reads: pd.DataFrame, count: int) -> pd.DataFrame:
    """Returns up to `count` requests that began one after the other, the slowest good one in their middle.

    Fewer where their reads would be too many marks.
    """
    began = requests["due_s"].fillna(requests["dispatched_s"])
    known = requests.assign(begin_s=began).loc[requests["attempted"] & began.notna(), _COLUMNS]
    known = known.sort_values(["trial", "begin_s"], kind="stable").reset_index(drop=True)
    if known.empty:
        return known
    took = (known["done_s"] - known["begin_s"]).where(known["ok"].astype(bool)).fillna(-1.0)
    slowest = int(took.to_numpy(dtype="float64").argmax())
    mine = known[known["trial"] == known.loc[slowest, "trial"]]
    reads_each = max(len(reads) / max(reads["request_id"].nunique(), 1), 1.0)
    count = max(min(count, len(mine), int(_MARKS / reads_each)), 1)
    start = min(max(slowest - count // 2, mine.index[0]), mine.index[-1] + 1 - count)
    return mine.loc[start : start + count - 1].reset_index(drop=True)


def _names(rows: pd.DataFrame) -> list[str]:
    return [escape(str(name)) for name in rows["request_id"]]


def _bars(figure: Figure, rows: pd.DataFrame) -> None:
    """Draws when each request was under way: one line in all, with gaps."""
    x = np.column_stack([rows["begin_s"], rows["done_s"], np.full(len(rows), np.nan)]).ravel()
    figure.add_scatter(
        x=thin(x), y=[name for name in _names(rows) for _ in range(3)], mode="lines", name="under way",
        line={"color": GREY, "width": 1}, hoverinfo="skip",
    )  # fmt: skip


def _marks(figure: Figure, shown: pd.DataFrame, name: str, colour: str, size: int, symbol: str) -> None:
    if len(shown):
        figure.add_scatter(
            x=thin(shown["time_s"]), y=_names(shown), mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": size, "line": {"color": colour, "width": 1}},
            hovertemplate=f"%{{y}}: {name} at %{{x:.4~f}} s<extra></extra>",
        )  # fmt: skip


def _within(spans: Sequence[Span], rows: pd.DataFrame) -> list[Span]:
    """Returns what of the phases lies within the stretch: more would widen the axis."""
    low, high = float(rows["begin_s"].min()), float(rows[["begin_s", "done_s"]].max().max())
    cut = [Span(each.name, max(each.start_s, low), min(each.end_s, high)) for each in spans]
    return [span for span in cut if span.end_s > span.start_s]
