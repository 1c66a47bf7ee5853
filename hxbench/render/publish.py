"""Everything a judged run is shown as: notebooks, pages, and the files other programs read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hxbench.render import certificate_page, exporter, junit, notebooks, statement, summary
from hxbench.render.files import write_whole

NOTEBOOKS = ("validation",)
CELL_S = 300.0  # a cell only opens and draws what is recorded


def notebook_pages(run_dir: Path) -> list[str]:
    """Executes the notebooks over the recorded run and exports them; returns why any is not whole."""
    shortfalls = []
    (run_dir / "notebooks").mkdir(exist_ok=True)
    for name in NOTEBOOKS:
        path = run_dir / "notebooks" / f"{name}.ipynb"
        executed = notebooks.execute(name, path, {"run_dir": ".."}, CELL_S)  # it may be moved with its run
        exporter.write_page(executed.path, run_dir / f"{name}.html")
        if not executed.complete:
            shortfalls.append(f"notebook {name}: {executed.reason}")
    return shortfalls


def reports(run_dir: Path, certificate: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes the certificate's page, junit.xml and summary.md, and what vouches for all files last."""
    pages = [(name, f"{name}.html") for name in NOTEBOOKS]
    write_whole(run_dir / "certificate.html", certificate_page.page(certificate, facts, pages))
    write_whole(run_dir / "junit.xml", junit.xml(certificate))
    write_whole(run_dir / "summary.md", summary.markdown(certificate))
    statement.seal(run_dir, certificate, facts)
