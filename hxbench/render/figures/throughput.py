"""Throughput and concurrency over time."""

from collections.abc import Sequence

import pandas as pd

from hxbench.render.figure import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    Figure,
    Limit,
    Span,
    draw_levels,
    nothing,
    panels,
    thin,
)  # fmt: skip
from hxbench.render.figures.time_axis import binned, line, thinned, timed


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
    shown, width = binned(frame, "trial")
    figure = panels(title, thinned(width), [0.4, 0.3, 0.3], 560)
    for trial, part in shown.groupby("trial"):
        name, first = f"trial {trial}", trial == shown["trial"].min()
        colour = BLUE if first else None
        line(figure, part, "output_tokens_per_s", 1, name, colour, "%{y:.3~s} tok/s")
        if part["due_per_s"].notna().any():  # what was asked for, beneath what came of it
            line(figure, part, "due_per_s", 2, name, GREY, "%{y:.3~s} due/s")
            line(figure, part, "sent_per_s", 2, name, ORANGE, "%{y:.3~s} sent/s")
        line(figure, part, "requests_per_s", 2, name, colour, "%{y:.3~s} req/s")
        line(figure, part, "in_flight", 3, name, colour, "%{y:.3~s} in flight")
        _failures(figure, part)
    draw_levels(figure, 1, token_limits, float(shown["output_tokens_per_s"].max()), "tok/s")
    draw_levels(figure, 2, request_limits, float(shown["requests_per_s"].max()), "req/s")
    draw_levels(figure, 3, (), float(shown["in_flight"].max()), "count")
    return timed(figure, spans, ["Output tok/s", "Requests/s", "In flight"], trials=shown["trial"].nunique())


def _failures(figure: Figure, part: pd.DataFrame) -> None:
    failed = part[part["failures_per_s"] > 0]
    if len(failed):
        figure.add_scatter(
            x=thin(failed["time_s"]), y=thin(failed["failures_per_s"]), row=2, col=1, mode="markers",
            marker={"color": RED, "symbol": "x", "size": 8}, name="failures",
            hovertemplate="%{y:.3~s} failures/s<extra></extra>",
        )  # fmt: skip
