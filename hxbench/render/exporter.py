"""The nbconvert exporter: an executed notebook as one page that needs nothing but itself.

It stands beside nbconvert's own HTML exporter and not on it: that one fills its templates without
escaping, asks four servers for scripts, and runs what it finds in outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbconvert.exporters
from markupsafe import Markup
from traitlets import default

from hxbench.render.completeness import PARTIAL_TAG, result_of, shortfall
from hxbench.render.files import read_notebook, write_whole
from hxbench.render.markup import markdown
from hxbench.render.outputs import shown
from hxbench.render.plot_data import Plot
from hxbench.render.status import looks
from hxbench.render.template import asset, plotly_bundle, plotly_packed, policy, render
from hxbench.render.wording import moment, plain, short_hash

_FACTS = {
    "Model": "model", "Level": "level", "Kind": "kind", "Measured": "created", "Checks": "counts",
    "Profile": "profile",
    "SHA-256 of the profile": "profile_sha256",
}  # fmt: skip
_WRITTEN = {"created": moment, "profile_sha256": short_hash}
OPTIONAL_TAG = "optional"  # of a code cell whose question is left out, with its prose, when it shows nothing
_NOT_SHOWN = frozenset({PARTIAL_TAG, "papermill-error-cell-tag"})  # the page says it at its top


@dataclass(frozen=True)
class Cell:
    """One cell of the page: its prose, or its outputs and the code behind them."""

    prose: Markup | None
    outputs: list[Markup | Plot]
    code: str


class Exporter(nbconvert.exporters.Exporter):
    """`jupyter nbconvert --to hxbench`, also in JupyterLab's menu."""

    export_from_notebook = "hxbench page"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".html"

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
        notebook, resources = super().from_notebook_node(nb, resources, **kw)
        return page(notebook, name=resources["metadata"]["name"] or "notebook"), resources


def write_page(notebook: Path, html: Path) -> None:
    """Writes the page of a notebook file; the page appears whole or not at all."""
    write_whole(html, page(read_notebook(notebook), name=notebook.name))


def page(notebook: Any, name: str = "notebook") -> str:
    """Returns a notebook as one HTML page; the same notebook gives the same bytes.

    Raises: InputError when a figure has a trace type that the page cannot draw.
    """
    title, cells = _titled([_cell(cell, name) for cell in _visible(notebook.cells)], name)
    loader, draws = asset("page.js"), any(isinstance(o, Plot) for cell in cells for o in cell.outputs)
    result, reason = result_of(notebook) or {}, shortfall(notebook)
    return render(
        "notebook.html.j2",
        title=title,
        cells=cells,
        run=result.get("run"),
        says=f"This notebook proves nothing: {reason}." if reason else result.get("status_reason", ""),
        facts=[] if reason else _facts(result),
        look=looks("INCOMPLETE" if reason else str(result.get("status"))),
        loader=Markup(loader) if draws else None,  # noqa: S704
        packed=plotly_packed() if draws else None,
        policy=policy(loader, plotly_bundle()) if draws else policy(),
    )


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what a result says beside its status; it is foreign data, so nothing in it is relied upon."""
    return [(name, _fact(key, result[key])) for name, key in _FACTS.items() if result.get(key) is not None]


def _fact(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(number)} {name}" for name, number in value.items() if number)
    return _WRITTEN.get(key, str)(plain(value))


def _visible(cells: Sequence[Any]) -> list[Any]:
    """Returns the cells that a page shows: an optional question without an answer is not asked."""
    shown = [cell for cell in cells if not _NOT_SHOWN & _tags(cell)]
    silent = {place for place, cell in enumerate(shown) if OPTIONAL_TAG in _tags(cell) and _silent(cell)}
    return [cell for place, cell in enumerate(shown) if not {place, place + 1} & silent]


def _tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _silent(cell: Any) -> bool:
    return cell.cell_type == "code" and cell.execution_count is not None and not cell.outputs


def _cell(cell: Any, name: str) -> Cell:
    if cell.cell_type == "markdown":
        return Cell(prose=markdown(cell.source), outputs=[], code="")
    if cell.cell_type != "code":
        return Cell(prose=None, outputs=[], code=cell.source)
    parts = (shown(output, f"{name}: cell {cell.execution_count}") for output in cell.outputs)
    return Cell(prose=None, outputs=[part for part in parts if part is not None], code=cell.source)


def _titled(cells: list[Cell], name: str) -> tuple[str, list[Cell]]:
    """Takes the first heading out of the prose: it becomes the title of the page."""
    for number, cell in enumerate(cells):
        head, opened, rest = (cell.prose or "").partition("<h2>")
        text, closed, rest = rest.partition("</h2>")
        if opened and closed:
            left = Cell(prose=Markup(head + rest), outputs=[], code="")  # noqa: S704
            return Markup(text).striptags(), [*cells[:number], left, *cells[number + 1 :]]  # noqa: S704
        if cell.prose is not None:
            break
    return name, cells
