"""The command line: thin. Every command says one thing, and its exit status tells how it went."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hxbench import __version__
from hxbench.errors import HxbenchError, InputError

Command = TypeVar("Command", bound=Callable[..., Any])

# Flag, key of the profile, help. One list, so that a flag means the same for every command.
_PROFILE_FLAGS = (
    ("--url", "target.server", "Address of the server, such as http://127.0.0.1:8000."),
    ("--model", "target.model", "Model name to ask for."),
    ("--protocol", "target.protocol", "API dialect."),
    ("--api-key-env", "target.api_key_env", "Name of the variable that holds the key."),
    ("--prompts", "workload.prompts", "Prompt set by name, or a JSONL file."),
    ("--max-tokens", "workload.output_tokens", "Tokens to ask for in each answer."),
    ("--seed", "workload.seed", "Seed of prompts, salt and arrivals."),
    ("--users", "load.users", "Closed loop: users who wait for their answer."),
    ("--rate", "load.rate", "Open loop: requests a second."),
    ("--arrivals", "load.arrivals", "Open loop: constant, poisson, or gamma (with load.burstiness)."),
    ("--scale", "load.scale", "Factor for users and rates; the verdict holds for the scaled load only."),
    ("--time-scale", "load.time_scale", "Factor for the times of the load, warm-up and limits apart."),
    ("--duration", "load.measure", "Length of the measured phase, such as 60s."),
    ("--requests", "load.requests", "Number of measured requests."),
    ("--warmup", "load.warmup", "Length of the warm-up, such as 10s."),
    ("--trials", "load.trials", "Independent repetitions, server restarted between."),
)


def _profile_flags(command: Command) -> Command:
    for flag, _, text in reversed(_PROFILE_FLAGS):
        command = click.option(flag, help=text)(command)
    command = click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the profile."
    )(command)
    command = click.option("--yes", is_flag=True, help="Agree to what a server elsewhere may cost.")(command)
    return click.option(
        "--load",
        type=click.Path(path_type=Path),
        help="A second profile, or baseline, step, stress, spike or soak, laid over the first.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hxbench")
def cli() -> None:
    """Says, with evidence, whether an LLM inference server is good enough to ship."""


@cli.command()
@click.argument("profile", required=False)
@_profile_flags
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run; by default a new one in outputs/."
)
@click.option("--undecided-ok", is_flag=True, help="Go on though an objective cannot be decided.")
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON.")
def certify(profile: str | None, out: Path | None, undecided_ok: bool, as_json: bool, **flags: Any) -> int:
    """Record, judge and render: the certificate of PROFILE (default: smollm2-135m)."""
    from hxbench import workbench

    if profile is None and flags["url"]:
        raise InputError(
            "--url without a profile has no objectives, so there is nothing to certify: measure with "
            "`hxbench run --url …`, then `hxbench init --from-run DIR` proposes a profile"
        )
    resolved = _resolve(profile, flags)
    run = workbench.certify(resolved, run_dir=out, undecided_ok=undecided_ok, yes=flags["yes"])
    return _show(run, as_json=as_json)


@cli.command()
@click.argument("profile", required=False)
@_profile_flags
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run; by default a new one in outputs/."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def run(profile: str | None, out: Path | None, as_json: bool, **flags: Any) -> int:
    """Record only; `judge`, `render` and `show` follow from the folder alone."""
    from hxbench.recording import Recording
    from hxbench.records.run_directory import is_recorded
    from hxbench.render.progress import view

    resolved = _resolve(profile, flags)
    if out is None or not is_recorded(out):
        out = Recording(resolved, out, view(), yes=flags["yes"]).record()

    from hxbench import workbench  # what judges takes a second to import, which no load should wait for
    from hxbench.render import terminal

    recorded = workbench.Run(out.resolve())
    if as_json:
        click.echo(json.dumps(recorded.summary(), indent=1))
    else:
        click.echo(terminal.summary_text(recorded.summary()))
        click.echo(f"\nrecords  {recorded.path}")
    state = recorded.records.ending
    return 128 + state["signal"] if state.get("signal") else 0


def _resolve(profile: str | None, flags: dict[str, Any]) -> Any:
    from hxbench.plan.layers import resolve

    if profile is None and not flags["url"]:
        profile = "smollm2-135m"
    return resolve(profile, load=flags["load"], overrides=_overrides(flags), environ=os.environ)


def _overrides(flags: dict[str, Any]) -> dict[str, tuple[object, str]]:
    """The keys that flags set, as the text they were given in."""
    values = {
        key: (flags[flag.removeprefix("--").replace("-", "_")], flag) for flag, key, _ in _PROFILE_FLAGS
    }
    overrides: dict[str, tuple[object, str]] = {
        key: given for key, given in values.items() if given[0] is not None
    }
    for setting in flags["settings"]:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: expected KEY=VALUE, such as load.users=4")
        overrides[key] = (value, "--set")
    return overrides


def _show(run: Any, *, as_json: bool) -> int:
    from hxbench.judge.certificate import exit_status
    from hxbench.render import run_view

    certificate = run.certificate
    if as_json:
        click.echo(json.dumps(certificate, indent=1, ensure_ascii=False))
    else:
        click.echo(run_view.card_text(certificate))
        page = run.path / "certificate.html"
        click.echo(f"\n{page if page.exists() else run.path}")
    signal = run.records.ending.get("signal")
    return 128 + int(signal) if signal else int(exit_status(certificate))


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON.")
def judge(directory: Path, as_json: bool) -> int:
    """Judge the records in DIRECTORY again and write certificate.json."""
    from hxbench import workbench

    return _show(workbench.judge(directory), as_json=as_json)


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
def render(directory: Path) -> int:
    """Write notebooks and pages of the run in DIRECTORY."""
    from hxbench import workbench

    return _show(workbench.render(directory), as_json=False)


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "tool",
    type=click.Choice(["vllm", "guidellm", "aiperf", "mlperf", "all"]),
    help="What another tool's definitions make of the same records, and why.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the certificate, or that table, as JSON.")
def show(directory: Path, tool: str | None, as_json: bool) -> int:
    """Show the run in DIRECTORY as a table; writes nothing and always ends with 0 when it could."""
    from hxbench import workbench
    from hxbench.render import terminal

    run = workbench.open(directory)
    if tool is None:
        _show(run, as_json=as_json)
        if not as_json:
            click.echo(f"\n{terminal.waterfall_text(run.waterfall(), run.summary()['diagnosis'])}")
        return 0
    table = run.translated()
    table = table if tool == "all" else table[table["tool"] == tool]
    click.echo(table.to_json(orient="records", indent=1) if as_json else terminal.translation_text(table))
    return 0


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(directory: Path, as_json: bool) -> int:
    """Hold the run in DIRECTORY against its hashes, and every number of it against its records.

    Ends with 0 when all is equal and with 1 when anything is not; writes nothing.
    """
    from hxbench import workbench
    from hxbench.render import terminal

    found = workbench.verify(directory)
    as_text = json.dumps(found.as_dict(), indent=1, ensure_ascii=False) if as_json else None
    click.echo(as_text or terminal.verification_text(found))
    return 1 if found.faults else 0


@cli.command()
@click.argument("profile", required=False)
@_profile_flags
@click.option(
    "--inflation",
    type=float,
    default=1.0,
    show_default=True,
    help="How many requests are worth one that depends on no other; queues need more than 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(profile: str | None, inflation: float, as_json: bool, **flags: Any) -> int:
    """Say what a run of PROFILE would ask for and could decide; nothing is started."""
    from hxbench import workbench
    from hxbench.render import plan_table

    if not 1 <= inflation <= 1000:
        raise InputError(f"--inflation: expected a number from 1 to 1000, got {inflation:g}")
    resolved = _resolve(profile, flags)
    found = workbench.plan(resolved, inflation)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    else:
        click.echo(f"profile {resolved.profile.name} {resolved.sha256}\n\n{plan_table.as_text(found)}")
    return 0


@cli.command()
@click.argument("model", default="smollm2-135m")
def model(model: str) -> int:
    """Fetch MODEL for the embedded server, check it, and print where it is."""
    from hxbench.servers.model import model_file

    click.echo(model_file(model, lambda text: click.echo(text, err=True)))
    return 0


# Flag, what it does: the pace of `serve --mode reference`.
_PACE_FLAGS = (
    ("--ttft", "Time to the first token; 50 ms."),
    ("--itl", "Time between two writes; 10 ms."),
    ("--tokens", "Tokens of each answer; what the request allows."),
    ("--jitter", "Sigma of a log-normal factor of mean 1 on both times; 0."),
    ("--burst", "Tokens a write; 1."),
    ("--errors", "Share of requests answered with HTTP 500; 0 %."),
    ("--stall-for", "Length of the stall; 0 s."),
    ("--stall-at", "When everything stalls, counted from the first request."),
    ("--stall-token", "Tokens after which each stream stalls."),
)


def _pace_flags(command: Command) -> Command:
    for flag, text in reversed(_PACE_FLAGS):
        command = click.option(flag, help=f"Reference: {text}")(command)
    return command


@cli.command()
@click.argument("profile", default="smollm2-135m")
@click.option("--mode", type=click.Choice(["embedded", "reference"]), default="embedded", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; by default a free one."
)
@click.option(
    "--log", type=click.Path(path_type=Path), default=Path(os.devnull), help="File for the server's own log."
)
@_pace_flags
@click.option("--service", type=click.Choice(["fixed", "mm1"]), help="Reference: mm1 queues for one server.")
@click.option("--seed", type=int, help="Reference: seed of jitter, errors and service times; 1.")
def serve(profile: str, mode: str, port: int, log: Path, **flags: Any) -> int:
    """Start a server in the foreground, until Ctrl-C: the embedded one of PROFILE, or the reference server.

    The reference server streams tokens that mean nothing, exactly on time; its log says when each left.
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
    path = model_file(target.model, lambda text: click.echo(text, err=True))
    return embedded.start(path, target.model, target.embedded, log, port), target.model


@cli.command()
@click.option("--short", is_flag=True, help="Five seconds, as before each certification.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--priority",
    type=click.Choice(["normal", "realtime"]),
    default="normal",
    show_default=True,
    help="Of the load worker.",
)
def calibrate(short: bool, as_json: bool, priority: str) -> int:
    """Hold the instrument against a server that knows the truth, and find where this machine's limit lies."""
    from hxbench import workbench
    from hxbench.record import calibration
    from hxbench.render import calibration_table

    experiments = calibration.SHORT if short else calibration.FULL
    found = workbench.calibrate(experiments, lambda text: click.echo(text, err=True), priority)
    click.echo(json.dumps(found, indent=1) if as_json else calibration_table.as_text(found))
    return 0


@cli.command()
@click.argument("url")
@click.option("--model", help="Model name; by default the first that is listed.")
@click.option("--protocol", default="openai-chat", show_default=True, help="API dialect.")
@click.option("--api-key-env", help="Name of the variable that holds the key.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def check(url: str, model: str | None, protocol: str, api_key_env: str | None, as_json: bool) -> int:
    """Ask URL for three seconds what it is: models, streaming, usage, tokenizer, caching, keep-alive."""
    from hxbench.record import survey

    found = survey.survey(url, model, api_key_env, protocol)
    click.echo(json.dumps(found, indent=1) if as_json else survey.as_text(found))
    return 0


@cli.command()
@click.option("--from-run", type=click.Path(path_type=Path), help="Propose objectives from a measured run.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("profile.yaml"), show_default=True)
def init(from_run: Path | None, out: Path) -> int:
    """Write a profile to begin with; never over an existing file."""
    from hxbench import workbench
    from hxbench.render import proposal

    records = workbench.open(from_run).records if from_run else None
    click.echo(f"{proposal.write(out, records)}: edit it, then: hxbench certify {out}")
    return 0


def main() -> None:
    """Runs the command line and ends the process with the command's status."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Returns the exit status of one command line; errors of every kind become a line on stderr."""
    try:
        status = cli.main(arguments, prog_name="hxbench", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except HxbenchError as error:
        click.echo(f"hxbench: {error}", err=True)
        return error.exit_status
    except BrokenPipeError:
        return 141
    except OSError as error:  # the disk, a folder, a descriptor: the machine's, not ours
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"hxbench: {where}{error.strerror or error}", err=True)
        return 4
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # our own bug: one line, the traceback in a file
        return _own_bug(error)


def _own_bug(error: Exception) -> int:
    from hxbench.recording import outputs

    path = outputs() / "log.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            traceback.print_exception(error, file=log)
        where = f"the traceback is in {path}"
    except OSError:
        where = "and its traceback could not be written"
    click.echo(f"hxbench: a bug in hxbench: {type(error).__name__}: {error}; {where}", err=True)
    return 4


if __name__ == "__main__":
    main()
