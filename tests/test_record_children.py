"""Child programs: they end with their parent, however it ends, and are heard to their last word."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hxbench.record.children import Child
from tests.loads import PATIENCE_S, await_gone

Start = Callable[[str], Child]
# What a child program may do; each is put into a module of its own.
PROGRAMS = {
    "echo": """
import json, sys
for line in sys.stdin:
    print(json.dumps({"event": "heard", "line": line.strip()}), flush=True)
""",
    "deaf": """
import time
print('{"event": "ready"}', flush=True)
while True:
    time.sleep(60)
""",
    "noisy": """
print('no JSON\\n{"event": "said"}\\n{"half', flush=True)
raise SystemExit(3)
""",
    "brief": """print('{"event": "finished"}', flush=True)""",
    "silent": """import sys; sys.stdin.read()""",
}


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in PROGRAMS.items():
        (tmp_path / f"program_{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Child] = []

    def begin(name: str) -> Child:
        started.append(Child(f"program_{name}", [], subprocess.DEVNULL))
        return started[-1]

    yield begin
    for child in started:
        child.stop(0.1)


def test_a_child_hears_lines_and_is_heard(start: Start) -> None:
    child = start("echo")
    child.tell("hello")
    assert {"event": "heard", "line": "hello"} == child.event(PATIENCE_S)
    assert "program_echo" == child.name


def test_a_child_that_says_nothing_is_waited_for_no_longer_than_asked(start: Start) -> None:
    child = start("silent")
    before = time.monotonic()
    assert child.event(0.05) is None
    assert time.monotonic() - before < PATIENCE_S
    assert (None, None) == (child.status, child.wait(0.01))


def test_the_end_of_stdin_ends_a_child(start: Start) -> None:
    child = start("silent")
    child.stop(PATIENCE_S)
    assert 0 == child.status


def test_a_child_that_does_not_listen_is_killed(start: Start) -> None:
    child = start("deaf")
    assert {"event": "ready"} == child.event(PATIENCE_S)
    child.stop(0.1)
    assert -signal.SIGKILL == child.status


def test_a_child_that_stands_still_is_killed_too(start: Start) -> None:
    child = start("silent")
    os.kill(child.pid, signal.SIGSTOP)
    child.stop(0.1)
    assert -signal.SIGKILL == child.status


def test_a_child_can_be_stopped_twice_and_told_things_after_its_end(start: Start) -> None:
    child = start("brief")
    child.wait(PATIENCE_S)
    child.tell("are you there?")
    child.stop(PATIENCE_S)
    child.stop()
    assert 0 == child.status


def test_the_end_comes_behind_the_last_word(start: Start) -> None:
    child = start("brief")
    child.wait(PATIENCE_S)
    assert [{"event": "finished"}, {"event": "ended"}, None] == [
        child.event(PATIENCE_S),
        child.event(PATIENCE_S),
        child.event(0),
    ]


def test_lines_that_are_no_json_are_passed_over(start: Start) -> None:
    child = start("noisy")
    assert [{"event": "said"}, {"event": "ended"}] == [child.event(PATIENCE_S), child.event(PATIENCE_S)]
    assert 3 == child.wait(PATIENCE_S)


def test_a_child_that_cannot_even_begin_ends_at_once(start: Start) -> None:
    assert {"event": "ended"} == start("of_nobody").event(PATIENCE_S)


def test_an_interrupt_of_the_terminal_does_not_reach_a_child(start: Start) -> None:
    child = start("echo")
    assert child.pid == os.getpgid(child.pid) == os.getsid(child.pid)
    assert os.getpgid(0) != child.pid


PARENT = """
import subprocess, sys
from hxbench.record.children import Child
child = Child("program_silent", [], subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_when_its_parent_is_killed(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(number)
    await_gone(pid)


TELLS_WHY = """
import sys
from hxbench.record.children import Parent
parent = Parent()
print('{"event": "ready"}', flush=True)
while not parent.is_silent(0.05):
    pass
with open(sys.argv[1], "w") as file:
    print("asked" if parent.asked_to_stop else "orphaned", file=file)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_child_can_tell_a_stop_from_its_parents_death(tmp_path: Path, killed: bool) -> None:
    (tmp_path / "program_why.py").write_text(TELLS_WHY)
    code = (
        "import subprocess, sys\nfrom hxbench.record.children import Child\n"
        "child = Child('program_why', [sys.argv[1]], subprocess.DEVNULL)\nchild.event(60)\n"
        "child.tell('anything')\nprint(child.pid, flush=True)\nsys.stdin.read()\nchild.stop(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "why")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if killed:
            parent.kill()
    await_gone(pid)
    assert ("orphaned" if killed else "asked") == (tmp_path / "why").read_text().strip()
