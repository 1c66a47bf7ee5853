"""Commands around servers and the instrument: check, serve, model, calibrate."""

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from hxbench.cli.flags import DEFAULT_PROFILE, Command, json_flag
from hxbench.errors import InputError

# Flag, what stands for its value, what it does: the pace of `serve --mode reference`.
_PACE_FLAGS = (
    ("--ttft", "TIME", "time to the first token; 50 ms."),
    ("--itl", "TIME", "time between two writes; 10 ms."),
    ("--tokens", "N", "tokens of each answer; what the request allows."),
    ("--jitter", "X", "sigma of a log-normal factor of mean 1 on both times; 0."),
    ("--burst", "N", "tokens a write; 1."),
    ("--errors", "SHARE", "share of requests answered with HTTP 500; 0 %."),
    ("--stall-for", "TIME", "length of the stall; 0 s."),
    ("--stall-at", "TIME", "when everything stalls, counted from the first request."),
    ("--stall-token", "N", "tokens after which each stream stalls."),
)


@click.command()
@click.argument("url")
@click.option("--model", metavar="NAME", help="Model name; by default the first that is listed.")
@click.option("--protocol", default="openai-chat", show_default=True, metavar="NAME", help="API dialect.")
@click.option("--api-key-env", metavar="VARIABLE", help="Name of the variable that holds the key.")
@json_flag("what was found")
def check(url: str, model: str | None, protocol: str, api_key_env: str | None, as_json: bool) -> int:
    """Ask the server at URL what it is, for three seconds.

    Its models, and how it does with streaming, usage, its tokenizer, caching and keep-alive.
    """
    from hxbench.record import survey

    found = survey.survey(url, model, api_key_env, protocol)
    click.echo(json.dumps(found, indent=1) if as_json else survey.as_text(found))
    return 0


def _pace_flags(command: Command) -> Command:
    for flag, value, text in reversed(_PACE_FLAGS):
        command = click.option(flag, metavar=value, help=f"Reference: {text}")(command)
    return command


@click.command()
@click.argument("profile", default=DEFAULT_PROFILE)
@click.option(
    "--mode",
    type=click.Choice(["embedded", "reference"]),
    default="embedded",
    show_default=True,
    help="The server of PROFILE, or one that streams tokens exactly on time.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port on 127.0.0.1; by default a free one.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    default=Path(os.devnull),
    metavar="FILE",
    help="The server's own log.",
)
@_pace_flags
@click.option("--service", type=click.Choice(["fixed", "mm1"]), help="Reference: mm1 queues for one server.")
@click.option("--seed", type=int, metavar="N", help="Reference: seed of jitter, errors and service times; 1.")
def serve(profile: str, mode: str, port: int, log: Path, **flags: Any) -> int:
    """Start a server in the foreground, until Ctrl-C.

    The embedded one of PROFILE, or the reference server: its tokens mean nothing, but leave exactly on time,
    and its log says when each left.
    """
    from hxbench.record.supervisor import stop_signals
    from hxbench.servers import reference

    given = {name: value for name, value in flags.items() if value is not None}
    if mode == "embedded" and given:
        raise InputError(f"--{next(iter(given)).replace('_', '-')}: only with --mode reference")
    with stop_signals() as asked:
        if mode == "embedded":
            server, model = _embedded(profile, log, port)
        else:
            server, model = reference.start(reference.pace(given), log, port), "reference"
        try:
            click.echo(f"{server.url}  model {model}  process {server.pid}  (Ctrl-C ends it)")
            while asked.signal is None and server.alive:
                time.sleep(0.2)
        finally:
            server.stop()
    return 0 if asked.signal else 4


def _embedded(profile: str, log: Path, port: int) -> tuple[Any, str]:
    from hxbench.plan.layers import resolve
    from hxbench.servers import embedded
    from hxbench.servers.model import model_file

    target = resolve(profile, environ=os.environ).profile.target
    path = model_file(target.model, _say)
    return embedded.start(path, target.model, target.embedded, log, port), target.model


@click.command()
@click.argument("model", default="smollm2-135m")
def model(model: str) -> int:
    """Fetch and check MODEL for the embedded server.

    Prints where it is. Without MODEL that is SmolLM2-135M.
    """
    from hxbench.servers.model import model_file

    click.echo(model_file(model, _say))
    return 0


@click.command()
@click.option("--short", is_flag=True, help="Five seconds, as before each certification.")
@click.option(
    "--priority",
    type=click.Choice(["normal", "realtime"]),
    default="normal",
    show_default=True,
    help="Of the load worker.",
)
@json_flag("the figures")
def calibrate(short: bool, as_json: bool, priority: str) -> int:
    """Measure the instrument's own error, and its limit here.

    It is held against a reference server that knows when each byte left.
    """
    from hxbench import workbench
    from hxbench.record import calibration
    from hxbench.render import calibration_table

    experiments = calibration.SHORT if short else calibration.FULL
    found = workbench.calibrate(experiments, _say, priority)
    click.echo(json.dumps(found, indent=1) if as_json else calibration_table.as_text(found))
    return 0


def _say(text: str) -> None:
    click.echo(text, err=True)
