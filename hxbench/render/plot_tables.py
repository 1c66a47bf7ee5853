"""The data of a figure as tables: for readers without scripts, and for those who hear the page."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from hxbench import units

ROWS = 60  # of one table; more than a histogram has bins
SERIES = 24  # of one figure

Trace = Mapping[str, Any]

# how the ticks of an axis end -> the unit of its values
_TICKS = dict.fromkeys(("ns", "µs", "ms", "s", "min", "h"), "s")
_TICKS |= dict.fromkeys(("B", "kB", "MB", "GB", "TB"), "B") | {"%": "share"}


@dataclass(frozen=True)
class Table:
    """Traces that share one axis, a column each; `left_out` rows were passed over evenly."""

    caption: str
    columns: tuple[str, ...]  # the first heads the rows
    rows: list[tuple[str, ...]]
    left_out: int


@dataclass(frozen=True)
class _Axis:
    title: str
    unit: str | None  # None where the title names it


def tables(traces: Sequence[Trace], layout: Mapping[str, Any]) -> tuple[list[Table], int]:
    """Returns the tables of a figure, and how many further series it draws."""
    listed = [trace for trace in traces if _listed(trace)]
    groups: dict[tuple[_Axis, tuple[Any, ...]], list[Trace]] = {}
    for trace in listed[:SERIES]:
        shared = _shared(trace)
        key = _axis(trace, layout, shared), tuple(_values(trace, shared))
        groups.setdefault(key, []).append(trace)
    made = [_table(axis, values, group, layout) for (axis, values), group in groups.items()]
    return made, max(0, len(listed) - SERIES)


def words(text: Any) -> str:
    """Returns plotly's text without its few tags."""
    plain = str(text or "")
    for tag in ("<b>", "</b>", "<i>", "</i>", "<br>"):
        plain = plain.replace(tag, " " if tag == "<br>" else "")
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _listed(trace: Trace) -> bool:
    return trace.get("hoverinfo") != "skip" and not all(map(_absent, _values(trace, _measured(trace))))


def _shared(trace: Trace) -> str:
    """Returns the axis along which a trace runs: that of its places, its times, its names."""
    return "y" if trace.get("orientation") == "h" else "x"


def _measured(trace: Trace) -> str:
    return "x" if _shared(trace) == "y" else "y"


def _values(trace: Trace, letter: str) -> Sequence[Any]:
    """Returns a column as stored: a list, or plotly's base64 of a typed array; nothing when there is none."""
    stored = trace.get(letter)
    if isinstance(stored, Mapping):
        return np.frombuffer(base64.b64decode(stored["bdata"]), dtype=f"<{stored['dtype']}").tolist()  # type: ignore[no-any-return]
    return list(stored or ())


def _table(axis: _Axis, shared: Sequence[Any], group: list[Trace], layout: Mapping[str, Any]) -> Table:
    axes = [_axis(trace, layout, _measured(trace)) for trace in group]
    caption, heads = _named([words(trace.get("name")) for trace in group], [each.title for each in axes])
    columns = [
        [_cell(value, each.unit) for value in _values(trace, _measured(trace))]
        for trace, each in zip(group, axes, strict=True)
    ]
    length = max(len(shared), *map(len, columns))
    index = [_cell(value, axis.unit) for value in shared or range(1, length + 1)]
    rows = _evenly(list(zip_longest(index, *columns, fillvalue=units.ABSENT)))
    return Table(caption, (axis.title, *heads), rows, length - len(rows))


def _evenly(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Returns at most ROWS of the rows, the first and the last among them."""
    last = len(rows) - 1
    return rows if last < ROWS else [rows[place * last // (ROWS - 1)] for place in range(ROWS)]


def _named(names: list[str], titles: list[str]) -> tuple[str, list[str]]:
    """Returns the caption of a table, which is what its columns have in common, and their heads."""
    if len(set(names)) == 1:
        return names[0], titles
    if len(set(titles)) == 1:
        return titles[0], names
    return "", [", ".join(filter(None, pair)) for pair in zip(names, titles, strict=True)]


def _axis(trace: Trace, layout: Mapping[str, Any], letter: str) -> _Axis:
    """Returns a trace's axis, with the title and the ticks of the shared axis that it follows."""
    own = layout.get(_full(letter, trace.get(f"{letter}axis", letter)), {})
    followed = layout.get(_full(letter, own.get("matches", letter)), {})
    return _Axis(_title(own) or _title(followed) or letter, _unit({**followed, **own}))


def _full(letter: str, name: Any) -> str:
    """Returns the name in the layout of an axis as a trace names it: `x2` is `xaxis2`."""
    return f"{letter}axis{str(name)[1:]}"


def _title(axis: Mapping[str, Any]) -> str:
    title = axis.get("title") or {}
    return words(title if isinstance(title, str) else title.get("text"))


def _unit(axis: Mapping[str, Any]) -> str | None:
    """Returns the unit of the values on an axis, as the text of its ticks says it."""
    if str(axis.get("tickformat", "")).endswith("%"):
        return "share"
    ticks = axis.get("ticktext") or [axis.get("ticksuffix", "")]
    return _TICKS.get(str(ticks[-1]).strip().rpartition(" ")[2])


def _cell(value: Any, unit: str | None) -> str:
    if _absent(value):
        return units.ABSENT
    if isinstance(value, int | float) and not isinstance(value, bool):
        return units.number(value) if unit is None else units.value(value, unit)
    return words(value)


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
