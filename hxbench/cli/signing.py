"""Commands around signatures: keygen, sign. `verify --key` checks them."""

import shlex
from pathlib import Path

import click

from hxbench.cli.flags import run_directory


@click.command()
@click.option(
    "--out", default="hxbench", show_default=True, metavar="NAME", help="Makes NAME.key and NAME.pub."
)
def keygen(out: str) -> int:
    """Make a pair of keys to sign runs with.

    Ed25519, in new files. The private key has no password: whoever reads its file can sign. Its mode is 0600.
    """
    from hxbench.render import keys, signing

    private, public = Path(f"{out}.key"), Path(f"{out}.pub")
    keyid = keys.generate(private, public)
    click.echo(
        f"{private}: private, without a password: keep it off the machine under test\n"
        f"{public}: public, {signing.shown(keyid)}: hand it to whoever verifies, by another way than the runs"
    )
    return 0


@click.command()
@run_directory
@click.option(
    "--key", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The private key."
)
def sign(directory: Path, key: Path) -> int:
    """Sign the run in DIRECTORY, once it verifies.

    Ends with 1 when `verify` finds a fault in it. Signatures of others stay.
    """
    from hxbench import folders
    from hxbench.render import signing

    keyid = folders.sign(directory, key)
    check = f"hxbench verify {shlex.quote(str(directory))} --key PUBLIC"
    click.echo(f"{directory}: signed by {signing.shown(keyid)}: {check}")
    return 0
