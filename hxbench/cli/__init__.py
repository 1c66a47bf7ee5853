"""The command line: thin. Every command says one thing, and its exit status tells how it went."""

import sys

import click

from hxbench import __version__
from hxbench.cli import alerts, exporting, failures, measuring, memory, outputs, runs, servers, signing
from hxbench.render.files import spare_the_grammar

_COMMANDS = (
    measuring.certify, measuring.plan, measuring.run, measuring.sweep, memory.memory, alerts.alerts,
    runs.judge, runs.render, runs.show, runs.verify, signing.sign, signing.keygen, exporting.export,
    outputs.index, outputs.gc, measuring.init, servers.check, servers.serve, servers.model, servers.calibrate,
)  # fmt: skip


class _AsListed(click.Group):
    """A group whose help has its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(
    cls=_AsListed,
    commands=list(_COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 certified (or done), 1 failed, 2 wrong input and nothing started, 3 conditional, "
    "4 incomplete.",
)
@click.version_option(__version__, prog_name="hxbench")
def cli() -> None:
    """Says, with evidence, whether an LLM inference server is good enough to ship."""


def main() -> None:
    """Runs the command line and ends the process with the command's status."""
    spare_the_grammar()
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Returns the exit status of one command line; errors of every kind become a line on stderr."""
    try:
        status = cli.main(arguments or ["--help"], prog_name="hxbench", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        click.echo(_usage(error), err=True)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        said, status = failures.line_and_status(error)
        click.echo(said, err=True)
        return status


def _usage(error: click.ClickException) -> str:
    """Returns what the command line does not know as one line, with the command that knows."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hxbench"
    said = " ".join(error.format_message().split())
    return f"{command}: {said} See `{command} --help`."
