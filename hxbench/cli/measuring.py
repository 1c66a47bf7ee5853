"""Commands that take a profile: plan, run, certify; and init, which writes one."""

import json
from pathlib import Path
from typing import Any

import click

from hxbench.cli import several, step_summary
from hxbench.cli.flags import json_flag, profile_flags, profiles_flags, recording_flags, resolved
from hxbench.cli.runs import shown
from hxbench.errors import InputError


@click.command()
@profiles_flags
@recording_flags
@click.option("--undecided-ok", is_flag=True, help="Go on though an objective cannot be decided.")
@click.option(
    "--sign-key", type=click.Path(path_type=Path), metavar="FILE", help="Sign the run with this private key."
)
@json_flag("the certificate, of several a list,")
def certify(
    profiles: tuple[str, ...],
    out: Path | None,
    undecided_ok: bool,
    sign_key: Path | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Record, judge and render: the certificate of PROFILE.

    Without PROFILE that of SmolLM2-135M, on the embedded server. The exit status is the certificate's.
    Several are all checked before the first starts, measured one after the other, then rendered side by
    side; one that fails stops no other, Ctrl-C stops all. The exit status is then the worst: 4, 1, 3, 0.
    """
    from hxbench import workbench

    if not profiles and flags["url"]:
        raise InputError(
            "--url without a profile has no objectives, so there is nothing to certify: measure with "
            "`hxbench run --url …`, then `hxbench init --from-run DIR` proposes a profile"
        )
    asked = [resolved(profile, flags) for profile in profiles or (None,)]
    how = {"undecided_ok": undecided_ok, "sign_key": sign_key, "yes": flags["yes"]}
    if len(asked) > 1:
        return several.certify(asked, out, as_json=as_json, **how)
    run = workbench.certify(asked[0], run_dir=out, **how)
    step_summary.append(run.path)
    return shown(run, as_json=as_json)


@click.command()
@profile_flags
@click.option(
    "--inflation",
    type=float,
    default=1.0,
    show_default=True,
    metavar="X",
    help="How many requests are worth one that depends on no other; queues need more than 1.",
)
@json_flag("the plan")
def plan(profile: str | None, inflation: float, as_json: bool, **flags: Any) -> int:
    """Say what a run of PROFILE would ask for and could decide.

    Nothing is started and nothing is written.
    """
    from hxbench import workbench
    from hxbench.render import plan_table

    if not 1 <= inflation <= 1000:
        raise InputError(f"--inflation: expected a number from 1 to 1000, got {inflation:g}")
    asked = resolved(profile, flags)
    found = workbench.plan(asked, inflation)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    else:
        click.echo(f"profile {asked.profile.name} {asked.sha256}\n\n{plan_table.as_text(found)}")
    return 0


@click.command()
@profile_flags
@recording_flags
@json_flag("the summary")
def run(profile: str | None, out: Path | None, as_json: bool, **flags: Any) -> int:
    """Record by PROFILE, or by --url alone; no verdict.

    `judge`, `render`, `show` and `verify` follow from the folder alone.
    """
    from hxbench.recording import Recording
    from hxbench.records.run_directory import is_recorded
    from hxbench.render.progress import view

    asked = resolved(profile, flags)
    if out is None or not is_recorded(out):
        out = Recording(asked, out, view(), yes=flags["yes"]).record()

    from hxbench import workbench  # what judges takes a second to import, which no load should wait for
    from hxbench.render import terminal

    recorded = workbench.Run(out.resolve())
    if as_json:
        click.echo(json.dumps(recorded.summary(), indent=1))
    else:
        click.echo(f"{terminal.summary_text(recorded.summary())}\n\nrecords  {recorded.path}")
    signal = recorded.records.ending.get("signal")
    return 128 + int(signal) if signal else 0


@click.command()
@profile_flags
@click.option("--rates", metavar="LIST", help="Open loop: the rates to measure at, such as 0.5,1,2.")
@recording_flags
@json_flag("the result")
def sweep(profile: str | None, rates: str | None, out: Path | None, as_json: bool, **flags: Any) -> int:
    """Record PROFILE at each load of a list, for a curve.

    The list is --users 1,2,4,8 or --rates 0.5,1,2. It leaves a folder with a run each, and benchmark.html; no
    verdict. With --out what is there is not measured again.
    """
    from hxbench import folders, sweeping

    if flags["rate"] is not None:
        raise InputError("--rate: has no place in a sweep, which has --rates LIST")
    asked = sweeping.loads(flags["users"], rates)
    if asked is None:
        raise InputError("sweep: no loads: give --users 1,2,4,8 or --rates 0.5,1,2")
    axis, values = asked
    profiles = {load: resolved(profile, flags | {"users": None, axis: str(load)}) for load in values}
    found = sweeping.measure(axis, profiles, out, yes=flags["yes"])
    if found.runs:
        return shown(folders.render(found.path), as_json=as_json)
    click.echo(found)  # nothing of which there is a page
    return 128 + found.signal if found.signal else 4


@click.command()
@click.option(
    "--from-run",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Propose objectives from a measured run.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("profile.yaml"),
    show_default=True,
    metavar="FILE",
    help="The profile to write.",
)
def init(from_run: Path | None, out: Path) -> int:
    """Write a profile to begin with; never over a file."""
    from hxbench import workbench
    from hxbench.render import proposal

    records = workbench.open(from_run).records if from_run else None
    click.echo(f"{proposal.write(out, records)}: edit it, then: hxbench certify {out}")
    return 0
