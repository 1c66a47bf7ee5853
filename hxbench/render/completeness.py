"""Says whether an executed notebook is whole, from what stands in it and not from what its runner claims."""

from collections.abc import Iterator, Mapping
from typing import Any

RESULT_MIME = "application/vnd.hxbench.result+json"
PARTIAL_TAG = "hxbench-incomplete"
_NO_RESULT = "it shows no result"


def shortfall(notebook: Any) -> str | None:
    """Returns why a notebook is not whole, or None: a cell that failed or never ran, no result."""
    marked = notebook.metadata.get("hxbench", {})
    if marked.get("state") == "INCOMPLETE":
        return str(marked.get("reason", "it was marked so"))
    cells = enumerate((cell for cell in notebook.cells if _counts(cell)), start=1)
    found = (_fault(number, cell) for number, cell in cells)
    first = next((fault for fault in found if fault is not None), None)
    return first or (_NO_RESULT if result_of(notebook) is None else None)


def result_of(notebook: Any) -> Mapping[str, Any] | None:
    """Returns the last result a notebook shows, or None."""
    shown = [data[RESULT_MIME] for data in _data(notebook) if isinstance(data.get(RESULT_MIME), Mapping)]
    return shown[-1] if shown else None


def mark(notebook: Any, reason: str) -> None:
    """Writes INCOMPLETE and the reason into a notebook: in its metadata and as its first cell."""
    import nbformat  # its schemas take a second to import, which no load should wait for

    notebook.metadata["hxbench"] = {"state": "INCOMPLETE", "reason": reason}
    new_cell: Any = nbformat.v4.new_markdown_cell
    face = new_cell(f"**INCOMPLETE.** This notebook proves nothing: {_literal(reason)}.")
    face.metadata["tags"] = [PARTIAL_TAG]
    face["id"] = PARTIAL_TAG
    notebook.cells.insert(0, face)


def unmark(notebook: Any) -> None:
    """Takes away what `mark` wrote."""
    notebook.metadata.pop("hxbench", None)
    notebook.cells = [cell for cell in notebook.cells if PARTIAL_TAG not in cell.metadata.get("tags", [])]


def _counts(cell: Any) -> bool:
    return bool(cell.cell_type == "code" and cell.source.strip())


def _fault(number: int, cell: Any) -> str | None:
    for output in cell.outputs:
        if output.output_type == "error":
            first_line = (str(output.evalue).strip().splitlines() or [""])[0][:200]
            return f"code cell {number} ended in {output.ename}: {first_line}".rstrip(": ")
    return f"code cell {number} never ran to its end" if cell.execution_count is None else None


def _data(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("data", {})


def _literal(text: str) -> str:
    """Escapes what Markdown would read as markup; a reason may quote foreign text."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+-.!|<>$&~" else sign for sign in text)
