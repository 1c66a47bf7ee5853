"""GitHub's summary of a job: what a step appends to $GITHUB_STEP_SUMMARY is shown on the job's page."""

import os
from pathlib import Path

import click

VARIABLE = "GITHUB_STEP_SUMMARY"


def append(run_dir: Path) -> None:
    """Appends the run's summary.md where that variable asks for it; that it cannot is said, and no more."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as summary:
            summary.write((run_dir / "summary.md").read_text(encoding="utf-8") + "\n")
    except OSError as error:
        click.echo(f"hxbench: {VARIABLE}: {path}: cannot be written: {error.strerror}", err=True)
