"""What holds of a shipped notebook, told from its file: each rule yields what is wrong."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
TAGS = {"parameters", "optional"}
MOST_LINES = 8
_NOT_HERE = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.For, ast.While, ast.Lambda, ast.With,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|opt|var|mnt|srv|Users)\b|\b[A-Z]:\\|file://|~/")


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def without_outputs(notebook: Any) -> Iterator[str]:
    for cell in _code(notebook):
        if cell.outputs or cell.execution_count is not None:
            yield f"{cell.id}: was committed after a run"


def neutral_metadata(notebook: Any) -> Iterator[str]:
    if notebook.metadata != {"kernelspec": KERNEL, "language_info": {"name": "python"}}:
        yield f"metadata: {notebook.metadata}"
    for cell in notebook.cells:
        if set(cell.metadata) - {"tags"} or set(cell.metadata.get("tags", [])) - TAGS:
            yield f"{cell.id}: metadata {cell.metadata}"


def parameters_first(notebook: Any) -> Iterator[str]:
    first = next(iter(_code(notebook)), None)
    if first is None or first.metadata.get("tags") != ["parameters"]:
        yield "the first code cell does not hold the parameters"
        return
    for line in first.source.splitlines():
        if not re.fullmatch(r"\w+ = [^#]+  # \S.*", line):
            yield f"parameters: expected NAME = LITERAL  # unit or meaning, got {line}"
    for each in ast.parse(first.source).body:
        if not (isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)):
            yield f"parameters: no literal: {ast.unparse(each)}"
    if sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) > 1:
        yield "there are two cells of parameters"


def explained(notebook: Any) -> Iterator[str]:
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type == "code" and (before is None or before.cell_type != "markdown"):
            yield f"{cell.id}: no prose says what is asked"
        if cell.cell_type == "code" and before is not None and before.id != f"{cell.id}-text":
            yield f"{cell.id}: the prose before it is called {before.id}"


def short(notebook: Any) -> Iterator[str]:
    for cell in _code(notebook):
        tree = ast.parse(cell.source)
        if len(cell.source.splitlines()) > MOST_LINES:
            yield f"{cell.id}: more than {MOST_LINES} lines"
        if any(isinstance(node, _NOT_HERE) for node in ast.walk(tree)):
            yield f"{cell.id}: it computes by itself"
        if "parameters" not in cell.metadata.get("tags", []) and not isinstance(tree.body[-1], ast.Expr):
            yield f"{cell.id}: it shows nothing"


def unique_ids(notebook: Any) -> Iterator[str]:
    ids = [cell.id for cell in notebook.cells]
    yield from sorted({f"{each}: twice" for each in ids if ids.count(each) > 1})
    yield from (f"{each}: says nothing" for each in ids if re.fullmatch(r"[0-9a-f]{8}(-.*)?", each))


def questions(notebook: Any) -> Iterator[str]:
    headings = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    ]
    if not headings or not headings[0].startswith("# "):
        yield "it does not begin with its title"
    for each in headings[1:]:
        if not each.startswith("## "):
            yield f"{each}: expected a heading of the second level"
        elif not each.endswith("?") and each != headings[-1]:
            yield f"{each}: asks nothing"
    if headings[-1:] != ["## The result"]:
        yield "it does not end with the result"


def verdict_first(notebook: Any) -> Iterator[str]:
    shown = [cell.source.splitlines()[-1] for cell in _code(notebook)]
    subject = shown[1] if len(shown) > 1 else ""
    if subject not in ("run", "sweep", "check"):
        yield f"the first thing shown is {subject or 'nothing'}, not the run, sweep or check"
    elif shown[-1] != f"{subject}.result()":
        yield f"the last thing shown is {shown[-1]}, not {subject}.result()"


def no_absolute_paths(notebook: Any) -> Iterator[str]:
    for cell in notebook.cells:
        yield from (f"{cell.id}: {found[0]}" for found in _ABSOLUTE.finditer(cell.source))


RULES: Mapping[str, Callable[[Any], Iterator[str]]] = {
    each.__name__: each
    for each in (
        without_outputs, neutral_metadata, parameters_first, explained, short, unique_ids, questions,
        verdict_first, no_absolute_paths,
    )
}  # fmt: skip
