"""Figures as they stand in a notebook (plotly's JSON), taken apart for the page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hxbench.errors import InputError
from hxbench.render.plot_tables import Table, tables, words

PLOTLY_MIME = "application/vnd.plotly.v1+json"
_TOP = 36  # pixels left above a plot for a legend when its title has moved out

# What plotly's cartesian bundle can draw. Other types it would draw wrongly, without an error.
TRACE_TYPES = frozenset(
    ("bar", "box", "contour", "heatmap", "histogram", "histogram2d", "histogram2dcontour", "image", "pie",
     "scatter", "scatterternary", "violin")
)  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """One figure: what stands above it, its JSON for a script element, its data as tables."""

    title: str
    subtitle: str
    json: str
    tables: list[Table]
    not_listed: int  # series that are drawn but have no table


def plot(spec: Mapping[str, Any], where: str) -> Plot:
    """Returns the parts of a figure; `where` names it in the error.

    Raises: InputError when it has a trace that the page's plotly bundle cannot draw.
    """
    traces, layout = list(spec.get("data", [])), dict(spec.get("layout", {}))
    for trace in traces:
        kind = trace.get("type", "scatter")
        if kind not in TRACE_TYPES:
            known = ", ".join(sorted(TRACE_TYPES))
            raise InputError(f"{where}: trace type: the page draws {known}; got {kind}")
    title = layout.pop("title", None) or {}
    title = {"text": title} if isinstance(title, str) else title
    if title:  # it stands above the figure, in the page's own words
        layout["margin"] = dict(layout.get("margin", {})) | {"t": _TOP}
    listed, not_listed = tables(traces, layout)
    return Plot(
        title=words(title.get("text")),
        subtitle=words((title.get("subtitle") or {}).get("text")),
        json=_script_json({"data": traces, "layout": layout}),
        tables=listed,
        not_listed=not_listed,
    )


def _script_json(value: Any) -> str:
    """Returns JSON that may stand inside a script element: no `<`, so nothing can end it.

    Letters are not escaped: what is replaced in the page is replaced in its figures.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")
