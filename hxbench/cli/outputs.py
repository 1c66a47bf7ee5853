"""Commands over the folder of runs: index, gc."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hxbench.cli.flags import json_flag
from hxbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hxbench.retention import Fate

_DAYS = re.compile(r"([0-9]{1,6}) ?d")

outputs_folder = click.argument("outputs", required=False, type=click.Path(path_type=Path))


@click.command()
@outputs_folder
def index(outputs: Path | None) -> int:
    """Write index.html over all runs in OUTPUTS.

    By model and profile, with the history of each number. `certify` and `render` keep that of outputs/ (or
    $HXBENCH_OUTPUTS) up to date; of another folder it is written by this command.
    """
    from hxbench.render import index_page

    click.echo(index_page.write(_folder(outputs)))
    return 0


@click.command()
@outputs_folder
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="N", help="The newest N of each model and profile stay."
)
@click.option("--older-than", metavar="AGE", help="Only what is older goes, such as 30d or 12h.")
@click.option("--dry-run", is_flag=True, help="Show what would go; so does leaving out --yes.")
@click.option("--yes", is_flag=True, help="Delete.")
@json_flag("what goes and what stays")
def gc(
    outputs: Path | None, keep: int | None, older_than: str | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Delete old runs in OUTPUTS, after --yes only.

    Never goes: what is no run, the run that `latest` names, one that may be being recorded, one with files
    of your own in it, and the newest certified run of each model and profile.
    """
    from hxbench import retention

    if keep is None and older_than is None:
        raise InputError("gc: say what may go: --keep N, --older-than AGE, or both")
    age_s = None if older_than is None else _age_s(older_than)
    folder = _folder(outputs)
    found = retention.fates(folder, keep, age_s, datetime.now(UTC))
    deleting = yes and not dry_run
    if deleting:
        retention.delete(folder, [each for each in found if not each.why])
    click.echo(_as_json(found) if as_json else _as_text(found, deleted=deleting))
    return 0


def _folder(outputs: Path | None) -> Path:
    if outputs is not None:
        return outputs
    from hxbench import recording

    return recording.outputs()


def _age_s(text: str) -> float:
    """Returns an age in seconds: days, or what a profile takes for a duration."""
    from hxbench import units

    days = _DAYS.fullmatch(text.strip())
    try:
        return int(days[1]) * 86400.0 if days else units.parse(text, "duration")
    except ValueError:
        raise InputError(f"--older-than: expected an age such as 30d or 12h, got {text[:60]}") from None


def _as_json(found: "Sequence[Fate]") -> str:
    rows = [
        {"run": str(each.found.path), "bytes": each.size_bytes, "goes": not each.why, "why": each.why or None}
        for each in found
    ]
    return json.dumps(rows, indent=1)


def _as_text(found: "Sequence[Fate]", *, deleted: bool) -> str:
    """Returns a line for each run that goes, or stays though it was asked for, and the sum."""
    from hxbench import units
    from hxbench.render.tables import aligned

    going = [each for each in found if not each.why]
    rows = [
        [_verb(each, deleted=deleted), each.found.path.name, units.size(each.size_bytes), each.why]
        for each in found
        if each.asked_for
    ]
    freed, every = (units.size(sum(each.size_bytes for each in some)) for some in (going, found))
    runs = "1 run" if len(going) == 1 else f"{units.count(len(going))} runs"
    done = "deleted" if deleted else "would go: pass --yes to delete" if going else "to delete"
    return "\n".join(
        [*(aligned(rows) if rows else []), f"{runs} of {len(found)}, {freed} of {every}, {done}"]
    )


def _verb(fate: "Fate", *, deleted: bool) -> str:
    if fate.why:
        return "stays"
    return "deleted" if deleted else "goes"
