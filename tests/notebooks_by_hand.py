"""Small notebooks: to be run, or as they lie there after a run."""

from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hxbench.render.completeness import RESULT_MIME
from hxbench.render.plot_data import PLOTLY_MIME

RESULT = {
    "status": "CERTIFIED",
    "status_reason": "All 9 required cases passed.",
    "run": "by-hand",
    "level": 1,
}
PARAMETERS = 'profile = "smollm2-135m"  # text\nseed = 0\nrate = 1.0\nfast = False'
# A cell that shows a result, as Run.result() does.
SHOW_RESULT = f"""
class Result:
    def _repr_mimebundle_(self, *_, **__):
        return {{"{RESULT_MIME}": {{"status": "CERTIFIED"}}, "text/plain": "CERTIFIED"}}

Result()
"""


def to_run(*sources: str, parameters: str | None = PARAMETERS) -> nbformat.NotebookNode:
    """Returns a notebook without outputs; `parameters` is the source of its tagged cell, None for none."""
    cells = [new_markdown_cell("# A notebook")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=[*cells, *map(new_code_cell, sources)], metadata=metadata)


def shown(data: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Returns an output that shows `data` by MIME type."""
    return new_output("execute_result", data=dict(data), execution_count=1)


def figure(**more: Any) -> nbformat.NotebookNode:
    """Returns an output with a figure of one trace; `more` goes into the trace."""
    trace = {"type": "scatter", "x": [1, 2, 3], "y": [4.0, 5.0, 6.0], "name": "speed"} | more
    layout = {"title": {"text": "A figure", "subtitle": {"text": "of three points"}}, "height": 300}
    return shown({PLOTLY_MIME: {"data": [trace], "layout": layout}, "text/plain": "Figure"})


def after_run(*outputs: Any, prose: str = "# A notebook", result: Mapping[str, Any] | None = None) -> Any:
    """Returns a notebook after a run: prose, one cell with these outputs, one with the result."""
    ran = new_code_cell("show()", execution_count=1)
    ran.outputs = list(outputs)
    last = new_code_cell("run.result()", execution_count=2)
    last.outputs = [shown({RESULT_MIME: dict(result or RESULT), "text/plain": "CERTIFIED"})]
    notebook = new_notebook(cells=[new_markdown_cell(prose), ran, last])
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook
