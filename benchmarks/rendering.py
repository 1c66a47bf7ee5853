"""What a notebook costs: executed headless and written as a page, beside the stock tools.

`python -m benchmarks.rendering WAY SOURCE TARGET` does it one way; the caller times the whole process,
libraries and kernel included. The notebook is `validation` on a finished run of 100 000 made-up tokens.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.experiments import HXBENCH
from benchmarks.figures import PAGE_WRITTEN, RUN_HEADLESS
from hxbench.errors import IncompleteError
from simulation import cost

REQUESTS = 200
NOTEBOOK = "validation"
PAPERMILL, IN_PROCESS, NBCONVERT = "papermill, stock", "IPython, no kernel", "nbconvert, stock"


def execute(run_dir: Path, target: Path) -> None:
    """hxbench: papermill and a kernel in processes of their own, what came out checked."""
    from hxbench.render import notebooks

    done = notebooks.execute(NOTEBOOK, target, {"run_dir": str(run_dir)})
    if not done.complete:
        raise IncompleteError(f"{NOTEBOOK}: {done.reason}")


def execute_stock(run_dir: Path, target: Path) -> None:
    """papermill as its command line calls it."""
    import papermill

    from hxbench.render.notebooks import find

    papermill.execute_notebook(
        str(find(NOTEBOOK)), str(target), parameters={"run_dir": str(run_dir)}, progress_bar=False
    )


def execute_in_process(run_dir: Path, target: Path) -> None:
    """The same cells in one shell without a kernel: what the questions themselves take. Writes nothing."""
    from IPython.core.interactiveshell import InteractiveShell

    from hxbench.render.files import read_notebook
    from hxbench.render.notebooks import find

    new: Any = InteractiveShell  # it has no types
    shell = new()
    for cell in read_notebook(find(NOTEBOOK)).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.user_ns["run_dir"] = str(run_dir)
    target.touch()


def write_page(notebook: Path, target: Path) -> None:
    """hxbench's exporter: figures that draw without a network."""
    from hxbench.render import exporter

    exporter.write_page(notebook, target)


def write_page_stock(notebook: Path, target: Path) -> None:
    """nbconvert's own HTML exporter, whose page draws none of the figures."""
    from nbconvert import HTMLExporter

    new: Any = HTMLExporter  # it has no types
    target.write_text(new().from_filename(str(notebook))[0], encoding="utf-8")


WAYS: dict[str, dict[str, Callable[[Path, Path], None]]] = {
    RUN_HEADLESS.experiment: {
        HXBENCH: execute,
        PAPERMILL: execute_stock,
        IN_PROCESS: execute_in_process,
    },
    PAGE_WRITTEN.experiment: {HXBENCH: write_page, NBCONVERT: write_page_stock},
}


def rows(repetitions: int) -> Iterator[dict[str, Any]]:
    """Yields a row each time a way was gone; each repetition begins with another."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir, executed = Path(folder) / "run", Path(folder) / "executed.ipynb"
        cost.make(run_dir, REQUESTS)
        execute(run_dir, executed)
        for repetition in range(repetitions):
            for experiment, ways in WAYS.items():
                source = run_dir if experiment == RUN_HEADLESS.experiment else executed
                names = list(ways)
                for name in names[repetition % len(names) :] + names[: repetition % len(names)]:
                    print(f"{experiment}: {name}", file=sys.stderr, flush=True)
                    yield _row(experiment, name, source, Path(folder))


def _row(experiment: str, name: str, source: Path, folder: Path) -> dict[str, Any]:
    target = folder / "target"
    way = [f"{experiment}: {name}", str(source), str(target)]
    command = [sys.executable, "-m", "benchmarks.rendering", *way]
    load1, begun = os.getloadavg()[0], time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise IncompleteError(f"{experiment}: {name}: {(done.stderr.splitlines() or ['no reason'])[-1]}")
    made = {"seconds": seconds, "bytes": target.stat().st_size or None, "load1": load1}
    target.unlink()
    return {"client": name, "experiment": experiment, **made}


def main(way: str, source: Path, target: Path) -> None:
    experiment, _, name = way.partition(": ")
    WAYS[experiment][name](source, target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
