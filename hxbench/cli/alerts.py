"""The command that stops a service to see whether its alert arrives."""

import json
from pathlib import Path
from typing import Any

import click

from hxbench.cli.flags import json_flag, profile_flags, resolved
from hxbench.cli.memory import STATUS


@click.command()
@profile_flags
@click.option("--yes", is_flag=True, help="Agree to the stop of the service.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Folder of the drill; by default a new one in outputs/.",
)
@json_flag("the verdicts")
def alerts(profile: str | None, out: Path | None, yes: bool, as_json: bool, **flags: Any) -> int:
    """Stop the service of PROFILE's alerts: is it reported?

    The alert must fire, reach a receiver that listens here meanwhile, and clear once the service is restored,
    which it is whatever happens. With --out a drill that is there is not run again.
    """
    from hxbench import drill

    found = drill.alerts(resolved(profile, flags), out, yes=yes)
    click.echo(json.dumps([each.as_dict() for each in found.found], indent=1) if as_json else found)
    return 128 + found.signal if found.signal else STATUS.get(found.result().data["status"], 3)
