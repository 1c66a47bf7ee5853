"""What is left of the journals of a run: no secret, however its bytes were cut into reads."""

import base64
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from hxbench.record import journals
from hxbench.records.journal import Entry, Kind, Reader, Writer

KEY = "cnry/9f8e"
HIDDEN = b"the key is xxxxxxxxx."
SAID = f"the key is {KEY}.".encode()


def journal(folder: Path, *entries: tuple[int, int, bytes]) -> Path:
    """A run's only journal: kind, request and body of each entry, at 1, 2, 3 … ns."""
    (folder / "journal").mkdir()
    path = folder / "journal" / "t1-w0.journal"
    writer = Writer(path)
    for time_ns, (kind, number, body) in enumerate(entries, start=1):
        writer.add(kind, number, time_ns, body, kernel_ns=time_ns + 5, segments=1)
    writer.close()
    return path


def reads(number: int, *bodies: bytes) -> list[tuple[int, int, bytes]]:
    return [(Kind.READ, number, body) for body in bodies]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


def received(path: Path) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for entry in Reader(path).entries():
        found[entry.number] = found.get(entry.number, b"") + entry.body
    return found


@pytest.mark.parametrize("places", [*combinations(range(1, len(SAID)), 1), *combinations(range(8, 21), 2)])
def test_a_secret_is_taken_out_wherever_it_was_cut(places: tuple[int, ...], tmp_path: Path) -> None:
    path = journal(tmp_path, *reads(1, *cut(SAID, places)))
    journals.settle(tmp_path, "full", [KEY])
    assert {1: HIDDEN} == received(path)


def test_a_secret_that_came_byte_by_byte_between_other_requests_is_taken_out(tmp_path: Path) -> None:
    bodies = cut(SAID, range(1, len(SAID)))
    between = [each for body in bodies for each in (*reads(1, body), *reads(2, b"no key"))]
    path = journal(tmp_path, *between)
    journals.settle(tmp_path, "full", [KEY])
    assert {1: HIDDEN, 2: b"no key" * len(bodies)} == received(path)


def test_a_secret_in_base64_is_taken_out_too(tmp_path: Path) -> None:
    encoded = base64.b64encode(KEY.encode())
    path = journal(tmp_path, *reads(1, encoded[:5], encoded[5:]))
    journals.settle(tmp_path, "full", [KEY])
    assert {1: b"x" * len(encoded)} == received(path)


def test_several_secrets_in_one_request_are_taken_out(tmp_path: Path) -> None:
    path = journal(tmp_path, *reads(1, b"cnry/", b"9f8e and oth", b"er-key", b" and cnry", b"/9f8e"))
    journals.settle(tmp_path, "full", ["other-key", KEY])
    assert {1: b"xxxxxxxxx and xxxxxxxxx and xxxxxxxxx"} == received(path)


def test_all_else_stays_as_it_was(tmp_path: Path) -> None:
    entries = [(Kind.DISPATCH, 1, b""), *reads(1, b"a cn", b"ry/9f8e b"), (Kind.END, 1, b"whole")]
    path = journal(tmp_path, *entries, *reads(1, b"cn"), (Kind.PHASE, 0, b"drain"))
    before = list(Reader(path).entries())
    journals.settle(tmp_path, "full", [KEY])
    masked = [b"", b"a xx", b"xxxxxxx b", b"whole", b"cn", b"drain"]
    expected = [Entry(*each[:5], body) for each, body in zip(before, masked, strict=True)]
    assert expected == list(Reader(path).entries())


def test_the_ends_of_two_requests_are_not_taken_for_one_secret(tmp_path: Path) -> None:
    path = journal(tmp_path, *reads(1, b"cnry/"), *reads(2, b"9f8e"), (Kind.END, 1, b""), *reads(1, b"9f8e"))
    before = path.read_bytes()
    journals.settle(tmp_path, "full", [KEY])
    assert before == path.read_bytes()


@pytest.mark.parametrize("secrets", [[], [""], ["abc"]])
def test_without_a_secret_a_journal_is_left_alone(secrets: list[str], tmp_path: Path) -> None:
    path = journal(tmp_path, *reads(1, b"ab", b"c"))
    before = path.read_bytes()
    journals.settle(tmp_path, "full", secrets)
    assert before == path.read_bytes()


@pytest.mark.parametrize("keep", ["none", "hash"])
def test_unless_all_is_kept_nothing_is(keep: str, tmp_path: Path) -> None:
    journal(tmp_path, *reads(1, SAID))
    journals.settle(tmp_path, keep, [KEY])
    assert [] == list(tmp_path.iterdir())
