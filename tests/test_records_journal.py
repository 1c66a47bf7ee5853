"""The wire journal: what was appended is read back, however the writer ended."""

import subprocess
import sys
from pathlib import Path

import pytest

from hxbench.errors import IncompleteError
from hxbench.records import journal
from hxbench.records.journal import Entry, Kind, Reader, Writer

FIRST = Entry(Kind.READ, 2, 7, 1_000, 2_000, b"some bytes")
SECOND = Entry(Kind.END, 0, 7, 3_000, 0, b"")


def add(writer: Writer, entry: Entry) -> None:
    writer.add(entry.kind, entry.number, entry.time_ns, entry.body, entry.kernel_ns, entry.segments)


def written(path: Path, *entries: Entry) -> bytes:
    writer = Writer(path)
    for entry in entries:
        add(writer, entry)
    writer.close()
    return path.read_bytes()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written(tmp_path / "j", FIRST, SECOND)
    assert [FIRST, SECOND] == list(Reader(tmp_path / "j").entries())


def test_a_last_entry_torn_at_any_byte_is_left_out(tmp_path: Path) -> None:
    whole = written(tmp_path / "j", SECOND, FIRST)
    head = len(written(tmp_path / "head", SECOND))
    for end in range(head, len(whole)):
        torn = tmp_path / f"torn{end}"
        torn.write_bytes(whole[:end])
        assert [SECOND] == list(Reader(torn).entries())


def test_a_reader_follows_a_file_that_grows_byte_by_byte(tmp_path: Path) -> None:
    whole = written(tmp_path / "j", FIRST, SECOND, FIRST)
    growing = tmp_path / "growing"
    growing.touch()
    reader, seen = Reader(growing), []
    for byte in whole:
        with growing.open("ab") as file:
            file.write(bytes([byte]))
        seen += list(reader.entries())
    assert [FIRST, SECOND, FIRST] == seen


def test_an_empty_journal_has_no_entries(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert [] == list(Reader(tmp_path / "j").entries())


def test_an_entry_longer_than_one_block_of_the_reader_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = FIRST._replace(body=bytes(range(256)) * 40)
    written(tmp_path / "j", long, SECOND)
    monkeypatch.setattr(journal, "FLUSH_BYTES", 1000)
    assert [long, SECOND] == list(Reader(tmp_path / "j").entries())


def test_entries_wait_in_the_buffer_until_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FLUSH_BYTES", 60)
    writer = Writer(tmp_path / "j")
    add(writer, FIRST)
    assert 0 == (tmp_path / "j").stat().st_size
    add(writer, FIRST)
    assert [FIRST, FIRST] == list(Reader(tmp_path / "j").entries())
    writer.close()


def test_a_flush_hands_over_what_there_is(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "j")
    add(writer, FIRST)
    writer.flush()
    assert [FIRST] == list(Reader(tmp_path / "j").entries())
    writer.close()


FILLING = """
import resource, signal, sys
from pathlib import Path
from hxbench.errors import IncompleteError
from hxbench.records.journal import Writer

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
writer = Writer(Path(sys.argv[1]))
for number in range(20):
    writer.add(5, number, 1, b"x" * 80)
try:
    writer.flush()
except IncompleteError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.close()
"""


def test_a_disk_that_was_full_for_a_while_tears_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path)], capture_output=True, text=True, check=True
    )
    assert f"{path}: cannot be written: File too large\n" == done.stdout
    assert list(range(20)) == [entry.number for entry in Reader(path).entries()]


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    with pytest.raises(IncompleteError, match="j: cannot be written: File exists"):
        Writer(tmp_path / "j")


def test_more_segments_than_the_head_has_room_for_are_its_most(tmp_path: Path) -> None:
    written(tmp_path / "j", FIRST._replace(segments=70_000))
    assert [65_535] == [entry.segments for entry in Reader(tmp_path / "j").entries()]
