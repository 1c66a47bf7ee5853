"""Everything a judged run is shown as: notebooks, pages, and the files other programs read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hxbench.render import (
    badge,
    certificate_page,
    exporter,
    junit,
    notebooks,
    openmetrics,
    statement,
    summary,
)
from hxbench.render.files import write_whole

OBSERVABILITY = "observability"  # of runs that a Prometheus watched
NOTEBOOKS = ("validation", OBSERVABILITY)
CELL_S = 300.0  # a cell only opens and draws what is recorded


def notebooks_of(certificate: Mapping[str, Any]) -> list[str]:
    """Returns the names of the notebooks that show a run."""
    return [name for name in NOTEBOOKS if name != OBSERVABILITY or certificate.get("prometheus")]


def notebook_pages(run_dir: Path, certificate: Mapping[str, Any]) -> list[str]:
    """Executes the notebooks over the recorded run and exports them; returns why any is not whole."""
    found = (notebook_page(run_dir, name, {"run_dir": ".."}) for name in notebooks_of(certificate))
    return [shortfall for shortfall in found if shortfall is not None]


def notebook_page(run_dir: Path, name: str, parameters: Mapping[str, Any]) -> str | None:
    """Executes a notebook over what is recorded and exports it; returns why it is not whole, or None."""
    (run_dir / "notebooks").mkdir(exist_ok=True)
    path = run_dir / "notebooks" / f"{name}.ipynb"
    executed = notebooks.execute(name, path, parameters, CELL_S)  # `..`: it may be moved with its run
    exporter.write_page(executed.path, run_dir / f"{name}.html")
    return None if executed.complete else f"notebook {name}: {executed.reason}"


def report_texts(certificate: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """Returns what makes each report, by its file's name: the certificate, or the result of what is no run,
    alone gives them all. Only a run's has a page; of what judged nothing there is no report.
    """
    if "kind" in certificate and not certificate["verdicts"]:
        return {}
    pages = [(name, f"{name}.html") for name in notebooks_of(certificate)]
    page = {"certificate.html": lambda: certificate_page.page(certificate, facts, pages)}
    return ({} if "kind" in certificate else page) | {
        "junit.xml": lambda: junit.xml(certificate),
        "summary.md": lambda: summary.markdown(certificate),
        "metrics.txt": lambda: openmetrics.text(certificate),
        "badge.svg": lambda: badge.svg(certificate),
    }


def reports(run_dir: Path, certificate: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes the reports, and what vouches for all files last."""
    for name, make in report_texts(certificate, facts).items():
        write_whole(run_dir / name, make())
    statement.seal(run_dir, certificate, facts)
