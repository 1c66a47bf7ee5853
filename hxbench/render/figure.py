"""The one look of all figures: class, template, colours, and the marks they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hxbench import units
from hxbench.render.plot_data import PLOTLY_MIME

# Okabe and Ito (2008), Color Universal Design: told apart with any colour vision, on white and on black.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
GREY = "#7d8590"
_TEXT = "#6e7681"  # where no page chooses: readable on JupyterLab's white and on its black
FORBIDDEN = "rgba(213, 94, 0, 0.13)"
SHADE = "rgba(125, 133, 144, 0.14)"
_AXIS = {
    "showline": True, "linecolor": "#c3c9d0", "gridcolor": "rgba(125,133,144,.22)", "zeroline": False,
    "ticks": "outside", "ticklen": 4, "tickcolor": "#c3c9d0", "automargin": True,
    "title": {"standoff": 8, "font": {"size": 12}},
}  # fmt: skip
_TEMPLATE = {
    "layout": {
        "colorway": [BLUE, ORANGE, GREEN, PURPLE, RED, SKY],
        "font": {"family": "system-ui, Segoe UI, Roboto, sans-serif", "size": 12, "color": _TEXT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "title": {"x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 8}, "font": {"size": 15}},
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "xanchor": "left"},
        "hovermode": "x",
        "bargap": 0.35,
    }
}


class Figure(go.Figure):  # type: ignore[misc]
    """A plotly figure that a notebook stores as plotly's JSON only, without 5 MB of script."""

    _ipython_display_ = None

    def _repr_html_(self) -> None:
        return None

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        layout = self.to_plotly_json()["layout"]
        return {PLOTLY_MIME: self.to_plotly_json(), "text/plain": f"Figure: {layout['title']['text']}"}


@dataclass(frozen=True)
class Limit:
    """One limit to draw: its value in base units, its text, and for a quantile the share it allows above."""

    value: float
    text: str
    allowed_share: float | None = None


@dataclass(frozen=True)
class Span:
    """One phase on the time axis, in seconds since the measured phase began."""

    name: str
    start_s: float
    end_s: float


def panels(title: str, subtitle: str, heights: Sequence[float], height: int) -> Figure:
    """Returns an empty figure of panels above each other with one shared x axis; heights are shares."""
    figure = make_subplots(
        rows=len(heights), cols=1, shared_xaxes=True, vertical_spacing=0.07, row_heights=list(heights),
        figure=Figure(),
    )  # fmt: skip
    figure.layout.template = _TEMPLATE  # in place of plotly's own, not merged into it
    figure.update_layout(
        title={"text": title, "subtitle": {"text": subtitle}},
        height=height,
        margin={"l": 64, "r": 20, "t": 92, "b": 52},
    )
    return figure  # type: ignore[no-any-return]


def thin(values: Any) -> Any:
    """Returns numbers as float32: seven digits are enough for the eye and half the size in the notebook."""
    return np.asarray(pd.array(values, dtype="Float64").to_numpy(dtype="float64", na_value=np.nan), "f4")


def draw_spans(figure: Figure, spans: Sequence[Span]) -> None:
    """Shades what is not the measured phase, in all panels, and names it where there is room."""
    whole = sum(span.end_s - span.start_s for span in spans)
    for span in spans:
        width = span.end_s - span.start_s
        if span.name == "measure" or width <= 0:
            continue
        figure.add_vrect(x0=span.start_s, x1=span.end_s, fillcolor=SHADE, line_width=0, layer="below")
        if width > whole / 12:
            figure.add_annotation(
                x=span.start_s, xanchor="left", y=1, yref="paper", yanchor="top", showarrow=False,
                text=escape({"warmup": "warm-up"}.get(span.name, span.name)), font={"size": 11},
            )  # fmt: skip


def draw_levels(figure: Figure, row: int, limits: Sequence[Limit], largest: float, unit: str) -> None:
    """Sets a panel's range and draws its limits; one far above all that was seen is only named."""
    near = [limit.value for limit in limits if not _is_far(limit, largest)]
    figure.update_yaxes(range=[0, 1.25 * max([largest, *near]) or 1], row=row)
    for limit in limits:
        far = _is_far(limit, largest)
        if not far:
            figure.add_hline(y=limit.value, row=row, col=1, line={"color": RED, "width": 1.5, "dash": "dash"})
        text = f"limit {limit.text}" + (f", far above the {units.value(largest, unit)} seen" if far else "")
        figure.add_annotation(
            x=1, xref="x domain", xanchor="right", row=row, col=1, showarrow=False, text=escape(text),
            y=1 if far else limit.value, yref="y domain" if far else None, yanchor="top" if far else "bottom",
            font={"size": 11, "color": RED},
        )  # fmt: skip


def _is_far(limit: Limit, largest: float) -> bool:
    return limit.value > 4 * largest > 0


def nothing(title: str, why: str) -> Figure:
    """Returns the figure that stands where there is nothing to draw, and says so."""
    figure = panels(title, escape(why), [1], 180)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
