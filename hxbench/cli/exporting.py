"""The command that hands a finished run to a monitoring system: export."""

import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from hxbench.cli.flags import run_directory
from hxbench.errors import InputError

if TYPE_CHECKING:
    from hxbench.workbench import Run

JOB = "hxbench"
_WAYS = ("--out", "--push", "--expose")


@click.command()
@run_directory
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write a file.")
@click.option("--timestamps", is_flag=True, help="With the time of the run's end, to backfill a Prometheus.")
@click.option("--push", metavar="URL", help="Put it into the Pushgateway there, for what it held of this.")
@click.option("--token-env", metavar="VARIABLE", help="Name of the variable that holds its bearer token.")
@click.option("--ca-file", metavar="FILE", help="Certificates that vouch for it, for https.")
@click.option(
    "--expose", metavar="HOST:PORT", help="Serve /metrics until Ctrl-C; :PORT is for this machine alone."
)
def export(
    directory: Path,
    out: Path | None,
    timestamps: bool,
    push: str | None,
    token_env: str | None,
    ca_file: str | None,
    expose: str | None,
) -> int:
    """Hand the run in DIRECTORY to Prometheus.

    As OpenMetrics: status, verdicts and numbers of its certificate, and histograms of its requests under the
    names of OpenTelemetry's GenAI conventions; on stdout, or where a flag says. Ends with 0 whatever the
    verdicts are; hxbench_status has the exit status of `certify`.
    """
    given = {
        "--out": out, "--push": push, "--expose": expose,
        "--timestamps": timestamps or None, "--token-env": token_env, "--ca-file": ca_file,
    }  # fmt: skip
    _require_one_way({flag for flag, value in given.items() if value is not None})
    if push is not None:
        return _push(directory, push, token_env, ca_file)
    if expose is not None:
        return _expose(directory, expose)
    return _write(directory, out, timestamps=timestamps)


def _require_one_way(given: set[str]) -> None:
    ways = [flag for flag in _WAYS if flag in given]
    if len(ways) > 1:
        raise InputError(f"export: {ways[1]} has no place beside {ways[0]}; give one of them")
    for flag in ("--token-env", "--ca-file"):
        if flag in given and ways != ["--push"]:
            raise InputError(f"export: {flag}: only with --push")
    if "--timestamps" in given and ways not in ([], ["--out"]):
        raise InputError(f"export: --timestamps: not with {ways[0]}: a scrape is of the present")


def _write(directory: Path, out: Path | None, *, timestamps: bool) -> int:
    from hxbench import workbench
    from hxbench.render.files import write_whole

    text = workbench.open(directory).openmetrics(timestamps=timestamps)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_whole(out, text)
        click.echo(out)
    return 0


def _push(directory: Path, written: str, token_env: str | None, ca_file: str | None) -> int:
    from hxbench import workbench
    from hxbench.plan.prometheus import address
    from hxbench.record import preflight, pushgateway
    from hxbench.render import gen_ai

    try:
        url = address(written, example="http://127.0.0.1:9091")
    except ValueError as error:
        raise InputError(f"--push: {error}") from None
    token = None if token_env is None else preflight.secret(_variable(token_env), "--token-env")
    tls = preflight.trusted(url, ca_file, "--ca-file")
    run = workbench.open(directory)
    group = _group(run)
    pushgateway.push(url, group, gen_ai.classic(run.openmetrics()), tls, token)
    click.echo(f"{url}: pushed as {', '.join(f'{name}={value}' for name, value in group.items())}")
    return 0


def _variable(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise InputError("--token-env: expected the name of an environment variable, never a token itself")
    return name


def _group(run: "Run") -> dict[str, str]:
    """Returns the labels under which a Pushgateway keeps a run: of the next like it, not of other servers."""
    from hxbench.render import openmetrics

    server = str(run.records.profile.target.server)
    labels = {"job": JOB, "instance": urlsplit(server).netloc or server, **openmetrics.about(run.certificate)}
    return {name: openmetrics.label(value) for name, value in labels.items()}


def _expose(directory: Path, written: str) -> int:
    from hxbench import workbench
    from hxbench.record import exposition
    from hxbench.record.supervisor import stop_signals
    from hxbench.render import gen_ai

    host, port = exposition.place(written)
    text = workbench.open(directory).openmetrics()
    with stop_signals() as asked, exposition.exposed(host, port, text, gen_ai.classic(text)) as url:
        click.echo(f"{url}  (Ctrl-C ends it)")
        while asked.signal is None:
            time.sleep(0.2)
    return 0
