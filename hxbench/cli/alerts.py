"""The command that stops a service to see whether its alert arrives."""

from pathlib import Path
from typing import Any

import click

from hxbench.cli import runs
from hxbench.cli.flags import json_flag, profile_flags, resolved


@click.command()
@profile_flags
@click.option("--yes", is_flag=True, help="Agree to the stop of the service.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Folder of the drill; by default a new one in outputs/.",
)
@json_flag("the result")
def alerts(profile: str | None, out: Path | None, yes: bool, as_json: bool, **flags: Any) -> int:
    """Stop the service of PROFILE's alerts: is it reported?

    The alert must fire, reach a receiver that listens here meanwhile, and clear once the service is restored,
    which it is whatever happens. It leaves a folder with what was seen and alerts.html, for `verify` and
    `sign`; with --out a drill that is there is not run again.
    """
    from hxbench import drill

    return runs.rendered(drill.alerts(resolved(profile, flags), out, yes=yes), as_json=as_json)
