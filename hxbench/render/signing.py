"""Signatures over what a run claims: an envelope for each of its statements, a line each of one file.

Stricter than in-toto, which passes over lines it does not know: no manifest covers this file, so nothing but
the run's own statements may stand in it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hxbench.errors import EvidenceError, InputError
from hxbench.render import dsse
from hxbench.render.dsse import Envelope, Signature
from hxbench.render.files import write_whole
from hxbench.render.manifest import ATTESTATION, STATEMENTS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SHOWN = 16  # digits of a keyid in a sentence


def signer(key_file: Path, run_dir: Path | None = None) -> "Ed25519PrivateKey":
    """Returns the private key in a file.

    Raises: InputError when it is none, or would be handed on with the run.
    """
    from hxbench.render import keys

    if run_dir is not None and _inside(key_file, run_dir):
        raise InputError(f"{key_file}: a private key inside the run: keep it where no run takes it along")
    return keys.private_key(key_file)


def checker(key_file: Path, run_dir: Path) -> "Ed25519PublicKey":
    """Returns the public key in a file.

    Raises: InputError when it is none, or came with the run.
    """
    from hxbench.render import keys

    if _inside(key_file, run_dir):
        raise InputError(f"{key_file}: a key that comes with the run proves nothing: ask the signer for it")
    return keys.public_key(key_file)


def _inside(key_file: Path, run_dir: Path) -> bool:
    return key_file.resolve().is_relative_to(run_dir.resolve())


def sign(run_dir: Path, key: "Ed25519PrivateKey") -> str:
    """Signs the statements of a verified run, beside the signatures of others, and returns the key's id."""
    from hxbench.render import keys

    there, keyid, lines = envelopes(run_dir), keys.keyid(key.public_key()), []
    for name in STATEMENTS:
        others = there[name].signatures if there else ()
        envelope = Envelope((run_dir / name).read_bytes(), ())
        mine = Signature(keyid, key.sign(envelope.signed))
        kept = tuple(each for each in others if each.keyid != keyid)
        lines.append(Envelope(envelope.payload, (*kept, mine)).as_line())
    write_whole(run_dir / ATTESTATION, b"".join(lines))
    return keyid


def envelopes(run_dir: Path) -> dict[str, Envelope]:
    """Returns by its statement each envelope beside a run; none of an unsigned one.

    Raises: EvidenceError unless each statement, as it lies there, is in exactly one of them.
    """
    path = run_dir / ATTESTATION
    if not path.is_file():  # whatever else stands there, the manifest's check names it
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{ATTESTATION}: not readable: {error}") from None
    payloads = {(run_dir / name).read_bytes(): name for name in STATEMENTS if (run_dir / name).is_file()}
    found = dict(_named(number, line, payloads) for number, line in enumerate(lines, 1))
    if len(found) < len(STATEMENTS) or len(found) < len(lines):
        raise EvidenceError(f"{ATTESTATION}: expected an envelope for each of {', '.join(STATEMENTS)}")
    return found


def _named(number: int, line: str, payloads: Mapping[bytes, str]) -> tuple[str, Envelope]:
    where = f"{ATTESTATION}: line {number}"
    try:
        envelope = dsse.parse(line)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{where}: no envelope: {error}") from None
    if envelope.payload_type != dsse.IN_TOTO:
        raise EvidenceError(
            f"{where}: payloadType: expected {dsse.IN_TOTO}, got {envelope.payload_type[:64]!r}"
        )
    if envelope.payload not in payloads:
        raise EvidenceError(
            f"{where}: signs no statement of this run as it stands here, but another run, or this one before "
            "it was judged or rendered again; delete the file to sign anew"
        )
    return payloads[envelope.payload], envelope


def faults(signed: Mapping[str, Envelope], key: "Ed25519PublicKey") -> Iterator[str]:
    """Yields one sentence for each statement that the holder of the key did not sign."""
    from hxbench.render import keys

    if not signed:
        yield f"{ATTESTATION}: is missing: nobody signed this run"
    for name, envelope in signed.items():
        if not any(keys.made_by(key, each.bytes, envelope.signed) for each in envelope.signatures):
            names = ", ".join(signers({name: envelope}))
            yield f"{name}: is not signed by this key; its signatures say they are by {names}"


def called(key: "Ed25519PublicKey") -> str:
    """Returns what a sentence calls a key."""
    from hxbench.render import keys

    return shown(keys.keyid(key))


def signers(signed: Mapping[str, Envelope]) -> list[str]:
    """Returns what sentences call the keys that signatures name; nothing vouches for these names."""
    keyids = (each.keyid for envelope in signed.values() for each in envelope.signatures)
    return [shown(keyid) for keyid in dict.fromkeys(keyids)]


def shown(keyid: str) -> str:
    """Returns a keyid as a sentence has it: cut short, and whatever a stranger wrote there in ASCII."""
    return f"keyid {ascii(keyid[:_SHOWN])[1:-1]}…"
