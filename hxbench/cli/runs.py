"""Commands that take the folder of a run or a check: judge, render, show, verify. None needs the server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hxbench.cli import several, step_summary
from hxbench.cli.flags import json_flag, run_directories, run_directory
from hxbench.errors import InputError

if TYPE_CHECKING:
    from hxbench.folders import Opened
    from hxbench.workbench import Run


@click.command()
@run_directory
@json_flag("the certificate")
def judge(directory: Path, as_json: bool) -> int:
    """Judge the records in DIRECTORY, write certificate.json.

    Of a memory check or a sweep that is result.json.
    """
    from hxbench import folders

    return shown(folders.judge(directory), as_json=as_json)


@click.command()
@run_directories
def render(directories: tuple[Path, ...]) -> int:
    """Judge, and write the pages of the run in DIRECTORY.

    Certificate, executed notebook, junit.xml, summary.md, metrics.txt, badge.svg and manifest.json; of a
    memory check or a sweep its page. Several runs are rendered side by side; the exit status is then the
    worst: 4, 1, 3, 0.
    """
    from hxbench import folders

    if len(directories) > 1:
        return several.render(directories)
    found = folders.render(directories[0])
    if (found.path / "summary.md").exists():  # a sweep has none
        step_summary.append(found.path)
    return shown(found, as_json=False)


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
    from hxbench import folders, workbench
    from hxbench.render import terminal

    if (check := folders.opened(directory)) is not None:
        if tool is not None:
            raise InputError(f"--as: is for runs, and {directory} holds none")
        shown(check, as_json=as_json)
        return 0
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
    from hxbench import folders
    from hxbench.render import terminal

    found = folders.verify(directory, key)
    as_text = json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if as_json else None
    click.echo(as_text or terminal.verification_text(found))
    return 1 if found.faults else 0


def shown(run: "Run | Opened", *, as_json: bool) -> int:
    """Prints the certificate or result as a card or as JSON; returns its exit status."""
    from hxbench.workbench import Run

    return _run_shown(run, as_json=as_json) if isinstance(run, Run) else _check_shown(run, as_json=as_json)


def rendered(check: "Opened", *, as_json: bool) -> int:
    """Renders what was just recorded, not what somebody may have signed since; prints it as `shown` does."""
    from hxbench import folders
    from hxbench.records.kinds import RESULT

    is_there = (check.path / RESULT).exists()
    return shown(check if is_there else folders.render(check.path), as_json=as_json)


def _run_shown(run: "Run", *, as_json: bool) -> int:
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


def _check_shown(check: "Opened", *, as_json: bool) -> int:
    """What made it INCOMPLETE, if it is, stands on a line of its own."""
    from hxbench.judge.certificate import INCOMPLETE, exit_status
    from hxbench.records.kinds import kind_of

    kind, result = kind_of(check.path), check.document
    page = check.path / (kind.page if kind else "")
    if as_json:
        click.echo(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        click.echo(f"{check}\n\n{page if page.exists() else check.path}")
    if result["status"] == INCOMPLETE:
        click.echo(f"hxbench: {result['status_reason']}", err=True)
    signal = check.ending.get("signal")
    return 128 + int(signal) if signal else int(exit_status(result))
