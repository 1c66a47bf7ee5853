"""The data of a figure as tables: for readers without scripts, and for those who hear the page."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class _Column:
    name: str
    axis: _Axis
    values: Sequence[Any]


def tables(traces: Sequence[Trace], layout: Mapping[str, Any]) -> tuple[list[Table], int]:
    """Returns the tables of a figure, and how many further series it draws."""
    listed = [trace for trace in traces if _listed(trace)]
    groups: dict[tuple[_Axis, tuple[str, ...]], list[Trace]] = {}
    for trace in listed[:SERIES]:
        shared = _shared(trace)
        key = _axis(trace, layout, shared), tuple(map(str, _values(trace, shared)))
        groups.setdefault(key, []).append(trace)
    made = [_table(axis, group, layout) for (axis, _), group in groups.items()]
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
    """Returns the axis along which a trace runs: that of its times, its places, its names."""
    named_upwards = _is_text(_values(trace, "y")) and not _is_text(_values(trace, "x"))
    return "y" if trace.get("orientation") == "h" or named_upwards else "x"


def _is_text(values: Sequence[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _measured(trace: Trace) -> str:
    return "x" if _shared(trace) == "y" else "y"


def _values(part: Mapping[str, Any], key: str) -> Sequence[Any]:
    """Returns values as stored: a list, or plotly's base64 of a typed array; nothing when there are none."""
    stored = part.get(key)
    if isinstance(stored, Mapping):
        return np.frombuffer(base64.b64decode(stored["bdata"]), dtype=f"<{stored['dtype']}").tolist()  # type: ignore[no-any-return]
    return list(stored or ())


def _table(axis: _Axis, group: list[Trace], layout: Mapping[str, Any]) -> Table:
    shared = _values(group[0], _shared(group[0]))
    columns = [column for trace in group for column in _columns(trace, layout)]
    caption, heads = _named([each.name for each in columns], [each.axis.title for each in columns])
    cells = [[_cell(value, each.axis.unit) for value in each.values] for each in columns]
    length = max(len(shared), *map(len, cells))
    index = [_cell(value, axis.unit) for value in shared or range(1, length + 1)]
    rows = _evenly(list(zip_longest(index, *cells, fillvalue=units.ABSENT)))
    return Table(caption, (axis.title, *heads), rows, length - len(rows))


def _columns(trace: Trace, layout: Mapping[str, Any]) -> Iterator[_Column]:
    """Yields what a trace measures, and the ends of its intervals where it has any."""
    letter, name = _measured(trace), words(trace.get("name"))
    axis, values = _axis(trace, layout, letter), _values(trace, letter)
    yield _Column(name, axis, values)
    interval = trace.get(f"error_{letter}") or {}
    above = _values(interval, "array")
    for end, sign, size in (("from", -1, _values(interval, "arrayminus") or above), ("to", 1, above)):
        if above:
            ends = [_moved(value, sign, by) for value, by in zip(values, size, strict=False)]
            yield _Column(name, replace(axis, title=f"{axis.title}, {end}"), ends)


def _moved(value: Any, sign: int, by: Any) -> Any:
    return value + sign * by if isinstance(value, int | float) and isinstance(by, int | float) else None


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
    nameless = "Name" if _is_text(_values(trace, letter)) else letter
    return _Axis(_title(own) or _title(followed) or nameless, _unit({**followed, **own}))


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
