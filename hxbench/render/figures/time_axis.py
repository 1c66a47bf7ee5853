"""Lines over the run's time: thinned for display, phases shaded, one axis for all panels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hxbench import units
from hxbench.render.figure import Figure, Span, draw_spans, thin

_POINTS = 400  # of one line; more than the pixels it is drawn on
_TITLE = "Seconds since the measured phase began"


def line(
    figure: Figure, part: pd.DataFrame, column: str, row: int, name: str, colour: str | None, hover: str
) -> None:
    """Draws a column over `time_s` in a panel; the legend has each name once."""
    figure.add_scatter(
        x=thin(part["time_s"]), y=thin(part[column]), row=row, col=1, mode="lines",
        line={"width": 1.6, "color": colour}, name=name, legendgroup=name,
        showlegend=not has_named(figure, name),
        hovertemplate=f"{hover}<extra>{name}</extra>",
    )  # fmt: skip


def has_named(figure: Figure, name: str) -> bool:
    """Tells whether the legend has a name already."""
    return any(drawn.legendgroup == name for drawn in figure.data)


def binned(frame: pd.DataFrame, *keys: str) -> tuple[pd.DataFrame, float | None]:
    """Returns means over equal stretches of time, at most as many as are shown, and the stretch's length."""
    length = float(frame["time_s"].max() - frame["time_s"].min())
    if frame.groupby(list(keys)).size().max() <= _POINTS or not length:
        return frame, None
    width = length / _POINTS
    middle = (np.floor(frame["time_s"] / width) + 0.5) * width
    stretches = frame.assign(time_s=middle).groupby([*keys, "time_s"], as_index=False)
    return stretches.mean(numeric_only=True), width


def thinned(width: float | None) -> str:
    """Returns what a figure says of stretches that `binned` took means over."""
    return "" if width is None else f"Means over {units.duration(width)}, for display only"


def timed(figure: Figure, spans: Sequence[Span], titles: list[str], *, trials: int) -> Figure:
    """Returns the figure with its phases shaded and its axes named; a legend where `trials` are several."""
    draw_spans(figure, spans)
    for row, title in enumerate(titles, start=1):
        figure.update_yaxes(title_text=title, row=row)
    figure.update_xaxes(title_text=_TITLE, row=len(titles))
    return figure.update_layout(showlegend=trials > 1)  # type: ignore[no-any-return]
