"""Figures as they stand in a notebook (plotly's JSON), taken apart for the page."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from hxbench import units
from hxbench.errors import InputError

PLOTLY_MIME = "application/vnd.plotly.v1+json"
TABLE_ROWS = 40  # of one trace in the table under a figure
_TOP = 36  # pixels left above a plot for a legend when its title has moved out

# What plotly's cartesian bundle can draw. Other types it would draw wrongly, without an error.
TRACE_TYPES = frozenset(
    ("bar", "box", "contour", "heatmap", "histogram", "histogram2d", "histogram2dcontour", "image", "pie",
     "scatter", "scatterternary", "violin")
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One trace as a table; `left_out` rows were passed over evenly."""

    name: str
    columns: tuple[str, str]
    rows: list[tuple[str, str]]
    left_out: int


@dataclass(frozen=True)
class Plot:
    """One figure: what stands above it, its JSON for a script element, its data as tables."""

    title: str
    subtitle: str
    json: str
    tables: list[Series]


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
    tables = [
        _series(trace, layout, number) for number, trace in enumerate(traces, start=1) if _listed(trace)
    ]
    return Plot(
        title=_words(title.get("text")),
        subtitle=_words((title.get("subtitle") or {}).get("text")),
        json=_script_json({"data": traces, "layout": layout}),
        tables=tables,
    )


def _words(text: Any) -> str:
    """Returns plotly's text without its few tags."""
    plain = str(text or "")
    for tag in ("<b>", "</b>", "<i>", "</i>", "<br>"):
        plain = plain.replace(tag, " " if tag == "<br>" else "")
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _script_json(value: Any) -> str:
    """Returns JSON that may stand inside a script element: no `<`, so nothing can end it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c")


def _listed(trace: Mapping[str, Any]) -> bool:
    return trace.get("hoverinfo") != "skip" and "x" in trace and "y" in trace


def _series(trace: Mapping[str, Any], layout: Mapping[str, Any], number: int) -> Series:
    x, y = _values(trace["x"]), _values(trace["y"])
    length = max(len(x), len(y))
    step = max(1, -(-length // TABLE_ROWS))
    rows = [(_cell(a), _cell(b)) for a, b in list(zip_longest(x, y))[::step]]
    return Series(
        name=_words(trace.get("name") or f"Series {number}"),
        columns=(_axis(trace, layout, "x"), _axis(trace, layout, "y")),
        rows=rows,
        left_out=length - len(rows),
    )


def _axis(trace: Mapping[str, Any], layout: Mapping[str, Any], letter: str) -> str:
    """Returns the title of a trace's axis, or that of the shared axis it follows."""
    axis = layout.get(f"{letter}axis{str(trace.get(f'{letter}axis', letter))[1:]}", {})
    title = axis.get("title") or {}
    text = title if isinstance(title, str) else title.get("text")
    followed = layout.get(f"{letter}axis{str(axis.get('matches', letter))[1:]}", {}).get("title") or {}
    return _words(text or (followed.get("text") if isinstance(followed, Mapping) else followed) or letter)


def _values(stored: Any) -> Sequence[Any]:
    """Returns a stored column: a list, or plotly's base64 of a typed array."""
    if isinstance(stored, Mapping):
        return np.frombuffer(base64.b64decode(stored["bdata"]), dtype=f"<{stored['dtype']}").tolist()  # type: ignore[no-any-return]
    return list(stored)


def _cell(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return units.number(value)
    return units.ABSENT if value is None else _words(value)
