"""What remains of a run's journals when its tables are made: nothing, or all bytes but secrets.

The worker masks each read by itself: it cannot hold one back until the next has come. A secret that came in
parts is seen only here, where what a request received lies in one piece.
"""

import shutil
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from hxbench.record import redaction
from hxbench.records import tables
from hxbench.records.journal import HEAD_BYTES, Kind, Reader


class _Piece(NamedTuple):
    """Received bytes, and where in the file they lie."""

    at: int
    data: bytes


def settle(run_dir: Path, keep: str, secrets: Sequence[str]) -> None:
    """Leaves of the journals what `keep.text` of the profile says.

    Not seen is a secret with something of the server's own between its parts, such as the frame of a chunk.
    Raises: OSError when the disk does not let it.
    """
    folder = run_dir / "journal"
    if keep != "full":
        shutil.rmtree(folder)
        return
    for path in sorted(folder.glob("*.journal")):
        _mask(path, secrets)


def _mask(path: Path, secrets: Sequence[str]) -> None:
    reach = redaction.longest(secrets) - 1
    if reach < 1:
        return
    with path.open("r+b") as file:
        for piece in _changed(path, redaction.masking(secrets), reach):
            file.seek(piece.at)
            file.write(piece.data)
    tables.sync(path)


def _changed(path: Path, mask: redaction.Mask, reach: int) -> Iterator[_Piece]:
    """Yields what is to be written anew; of each request that is open `reach` bytes are remembered."""
    received: dict[int, list[_Piece]] = {}
    at = 0
    for entry in Reader(path).entries():
        at += HEAD_BYTES
        if entry.kind == Kind.READ:
            pieces = [*received.get(entry.number, ()), _Piece(at, entry.body)]
            masked = list(_masked(pieces, mask))
            yield from (new for new, old in zip(masked, pieces, strict=True) if new != old)
            received[entry.number] = _last(masked, reach)
        elif entry.kind == Kind.END:
            received.pop(entry.number, None)
        at += len(entry.body)


def _masked(pieces: Sequence[_Piece], mask: redaction.Mask) -> Iterator[_Piece]:
    data = mask(b"".join(piece.data for piece in pieces))
    ends = accumulate(len(piece.data) for piece in pieces)
    for piece, end in zip(pieces, ends, strict=True):
        yield _Piece(piece.at, data[end - len(piece.data) : end])


def _last(pieces: Sequence[_Piece], length: int) -> list[_Piece]:
    kept = []
    for at, data in reversed(pieces):
        if length > 0:
            begin = max(0, len(data) - length)
            kept.append(_Piece(at + begin, data[begin:]))
            length -= len(data)
    return kept[::-1]
