"""The lock of the machine: one run at a time, whoever started it, and free again however it ended."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hxbench.errors import BusyError, DirectoryError
from hxbench.record import lock

HOLD = """
import sys
from pathlib import Path
from hxbench.record import lock
with lock.measuring(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own, as far as the lock goes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def held(folder: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "held\n" == process.stdout.readline()
        yield process
        process.kill()


def test_a_second_run_is_refused_with_process_and_folder_of_the_first() -> None:
    with held("outputs/first") as first, pytest.raises(BusyError) as caught, lock.measuring(Path("second")):
        pytest.fail("two at once")
    assert (
        f"another run measures on this machine (process {first.pid}, outputs/first): wait for it, or end it"
    ) == str(caught.value)


def test_a_killed_run_holds_nothing() -> None:
    with held("first") as first:
        first.kill()
        first.wait()
        with lock.measuring(Path("second")):
            assert f"process {os.getpid()}, second\n" == lock.lock_path().read_text()


def test_a_finished_run_holds_nothing_and_its_name_is_replaced(machine: Path) -> None:
    with lock.measuring(Path("a rather long name of a first run")):
        pass
    with lock.measuring(Path("second")):
        assert f"process {os.getpid()}, second\n" == lock.lock_path().read_text()


def test_the_lock_of_one_user_can_be_taken_by_another(machine: Path) -> None:
    before = os.umask(0o077)
    try:
        with lock.measuring(Path("first")):
            pass
    finally:
        os.umask(before)
    assert 0o666 == lock.lock_path().stat().st_mode & 0o777


def test_a_link_in_the_place_of_the_lock_is_not_followed(machine: Path) -> None:
    (machine / "precious").write_text("keep")
    lock.lock_path().symlink_to(machine / "precious")
    text = r"hxbench\.lock: the machine's lock cannot be opened: "
    with pytest.raises(DirectoryError, match=text), lock.measuring(Path("run")):
        pytest.fail("followed")
    assert "keep" == (machine / "precious").read_text()


def test_a_lock_nobody_wrote_into_yet_is_refused_all_the_same(machine: Path) -> None:
    with lock.measuring(Path("first")):
        os.truncate(lock.lock_path(), 0)
        with pytest.raises(BusyError, match=r"\(unknown\)"), lock.measuring(Path("second")):
            pytest.fail("two at once")
