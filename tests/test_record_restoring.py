"""A stopped service is started again, whatever becomes of whoever stopped it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hxbench.errors import IncompleteError
from hxbench.record.restoring import Restorer, run
from tests.loads import await_gone

STOPS_AND_DIES = """
import os, signal, sys
from hxbench.record.restoring import Restorer
restorer = Restorer(["touch", sys.argv[1]], 10)
restorer.stopping()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def restorer(tmp_path: Path) -> Iterator[Restorer]:
    started = Restorer(["touch", str(tmp_path / "restored")], 10)
    yield started
    started.dismiss()


def await_file(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_command_that_ends_well_has_no_problem() -> None:
    assert run(["true"], 10) is None


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["false"], "ended with status 1"),
        (["sh", "-c", "kill -TERM $$"], "ended with status -15"),
        (["/no/such/program"], "cannot be started: No such file or directory"),
    ],
)
def test_a_command_that_fails_says_how(command: list[str], problem: str) -> None:
    assert problem == run(command, 10)


def test_a_command_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = ["sh", "-c", f'sleep 60 & echo $! >"{pid}"; wait']
    assert "did not end within 500 ms" == run(command, 0.5, lambda: None)
    await_gone(int(pid.read_text()))


def test_a_command_whose_end_nobody_waits_for_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def poll() -> None:
        if pid.exists() and pid.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", f'echo $$ >"{pid}"; sleep 60'], 30, poll)
    await_gone(int(pid.read_text()))


def test_a_restore_that_takes_too_long_is_left_alone(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    restorer = Restorer(["sh", "-c", f'echo $$ >"{pid}"; exec sleep 60'], 0.5)
    restorer.stopping()
    assert "did not end within 500 ms" == restorer.restore()["problem"]
    os.kill(int(pid.read_text()), signal.SIGKILL)  # it is there


def test_a_service_that_holds_on_to_its_output_holds_up_nobody(tmp_path: Path) -> None:
    begin = time.monotonic()
    assert run(["sh", "-c", f'sleep 60 & echo $! >"{tmp_path / "pid"}"'], 60) is None
    assert time.monotonic() - begin < 50
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_it_restores_when_it_is_told_to_and_says_when(restorer: Restorer, tmp_path: Path) -> None:
    restorer.stopping()
    before = time.monotonic_ns()
    said = restorer.restore()
    assert (tmp_path / "restored").exists()
    assert before < said["began_ns"] < said["ended_ns"] < time.monotonic_ns()
    assert said["problem"] is None


def test_it_restores_nothing_that_was_not_stopped(restorer: Restorer, tmp_path: Path) -> None:
    restorer.dismiss()
    assert not (tmp_path / "restored").exists()


def test_a_restore_that_fails_says_how() -> None:
    restorer = Restorer(["false"], 10)
    restorer.stopping()
    assert "ended with status 1" == restorer.restore()["problem"]


def test_it_restores_when_its_parent_is_killed(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", STOPS_AND_DIES, str(tmp_path / "restored")])
    assert -signal.SIGKILL == ended.returncode
    await_file(tmp_path / "restored")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_keeps_it_from_restoring(restorer: Restorer, tmp_path: Path, number: int) -> None:
    restorer.stopping()
    os.kill(restorer._child.pid, number)
    assert restorer.restore()["problem"] is None
    assert (tmp_path / "restored").exists()


def test_what_it_starts_heeds_signals(tmp_path: Path) -> None:
    restorer = Restorer(["sh", "-c", f'sleep 60 & echo $! >"{tmp_path / "pid"}"'], 10)
    restorer.stopping()
    assert restorer.restore()["problem"] is None
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGTERM)
    await_gone(pid)


def test_its_parent_restores_where_it_was_killed_itself(restorer: Restorer, tmp_path: Path) -> None:
    restorer.stopping()
    os.kill(restorer._child.pid, signal.SIGKILL)
    assert restorer.restore()["problem"] is None
    assert (tmp_path / "restored").exists()


def test_nothing_is_stopped_where_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(IncompleteError, match="the program that restores the service did not start"):
        Restorer(["true"], 10)
