"""The command that checks a server's memory."""

from pathlib import Path
from typing import Any

import click

from hxbench.cli import runs
from hxbench.cli.flags import json_flag, profile_flags, recording_flags, resolved


@click.command()
@profile_flags
@click.option("--checks", metavar="LIST", help="at once, growth, servers (these by default), leak.")
@click.option("--at-once", metavar="LIST", help="How many requests at once; 1,2,4,8,16 by default.")
@click.option("--tokens", type=int, metavar="N", help="Tokens of each of those; 200 by default.")
@click.option("--cycles", type=int, metavar="N", help="Of the leak check; 8 by default.")
@click.option("--leak-time", metavar="TIME", help="Cycles follow until this long under load: 30min (R3.6).")
@click.option("--loaded", metavar="SIZE", help="What a server may hold before its first request: 2 GB.")
@recording_flags
@json_flag("the result")
def memory(profile: str | None, out: Path | None, as_json: bool, **flags: Any) -> int:
    """Check the memory of PROFILE's embedded server.

    Under requests at once, after twenty answers, four servers against one, and over cycles. It leaves a
    folder with the raw samples and memory.html, for `verify` and `sign`; with --out a check that is there is
    not measured again.
    """
    from hxbench import footprint

    names = ("checks", "at_once", "tokens", "cycles", "leak_time", "loaded")
    given = {name: flags[name] for name in names if flags[name] is not None}
    found = footprint.memory(resolved(profile, flags), out, **given)
    return runs.rendered(found, as_json=as_json)
