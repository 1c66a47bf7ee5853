"""Commands that take the folder of a run: judge, render, show, verify. None of them needs the server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hxbench.cli import several, step_summary
from hxbench.cli.flags import json_flag, run_directories, run_directory

if TYPE_CHECKING:
    from hxbench.workbench import Run


@click.command()
@run_directory
@json_flag("the certificate")
def judge(directory: Path, as_json: bool) -> int:
    """Judge the records in DIRECTORY, write certificate.json."""
    from hxbench import workbench

    return shown(workbench.judge(directory), as_json=as_json)


@click.command()
@run_directories
def render(directories: tuple[Path, ...]) -> int:
    """Judge, and write the pages of the run in DIRECTORY.

    Certificate, executed notebook, junit.xml, summary.md, metrics.txt, badge.svg and manifest.json. Several
    runs are rendered side by side; the exit status is then the worst: 4, 1, 3, 0.
    """
    from hxbench import workbench

    if len(directories) > 1:
        return several.render(directories)
    run = workbench.render(directories[0])
    step_summary.append(run.path)
    return shown(run, as_json=False)


@click.command()
@run_directory
@click.option(
    "--as",
    "tool",
    type=click.Choice(["vllm", "guidellm", "aiperf", "mlperf", "all"]),
    help="What another tool's definitions make of the same records, and why.",
)
@json_flag("the certificate, or the table of --as,")
def show(directory: Path, tool: str | None, as_json: bool) -> int:
    """Show the run in DIRECTORY as tables.

    Writes nothing, and ends with 0 whatever the verdicts are.
    """
    from hxbench import workbench
    from hxbench.render import terminal

    run = workbench.open(directory)
    if tool is None:
        shown(run, as_json=as_json)
        if not as_json:
            click.echo(f"\n{terminal.waterfall_text(run.waterfall(), run.summary()['diagnosis'])}")
        return 0
    table = run.translated()
    table = table if tool == "all" else table[table["tool"] == tool]
    click.echo(table.to_json(orient="records", indent=1) if as_json else terminal.translation_text(table))
    return 0


@click.command()
@run_directory
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The public key of who must have signed it.",
)
@json_flag("what was found")
def verify(directory: Path, key: Path | None, as_json: bool) -> int:
    """Hold the run in DIRECTORY against hashes, records, signature.

    Ends with 0 when all is equal and with 1 when anything is not; writes nothing.
    """
    from hxbench import workbench
    from hxbench.render import terminal

    found = workbench.verify(directory, key)
    as_text = json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if as_json else None
    click.echo(as_text or terminal.verification_text(found))
    return 1 if found.faults else 0


def shown(run: "Run", *, as_json: bool) -> int:
    """Prints the certificate as a card or as JSON; returns its exit status."""
    from hxbench.judge.certificate import exit_status
    from hxbench.render import run_view

    certificate = run.certificate
    if as_json:
        click.echo(json.dumps(certificate, indent=1, ensure_ascii=False))
    else:
        page = run.path / "certificate.html"
        click.echo(f"{run_view.card_text(certificate)}\n\n{page if page.exists() else run.path}")
    signal = run.records.ending.get("signal")
    return 128 + int(signal) if signal else int(exit_status(certificate))
