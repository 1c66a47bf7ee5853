"""Real-time priority: asked for, refused in plain words, and given back when a worker cannot sleep."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hxbench as hx
from hxbench import cli
from hxbench.errors import InputError
from hxbench.record import priority
from tests import loads, servers
from tests.loads import SECOND, plan
from tests.servers import Behaviour, Server

LINUX = hasattr(os, "sched_setscheduler")


def is_permitted() -> bool:
    try:
        priority.require(priority.REALTIME)
    except InputError:
        return False
    return True


needs_it = pytest.mark.skipif(not is_permitted(), reason="this system refuses real-time priority")


def refuse(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.skipif(not LINUX, reason="only Linux has it")
def test_a_system_that_does_not_permit_it_says_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(InputError) as caught:
        priority.require("realtime")
    assert (
        "instrument.priority: realtime: the system refuses it (Operation not permitted): allow it with "
        "CAP_SYS_NICE or `ulimit -r 10`, or set it to normal"
    ) == str(caught.value)


def test_a_system_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    with pytest.raises(InputError) as caught:
        priority.require("realtime")
    assert "instrument.priority: realtime: only Linux has it; set it to normal" == str(caught.value)


def test_normal_priority_asks_the_system_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    before = resource.getrlimit(resource.RLIMIT_RTTIME), signal.getsignal(signal.SIGXCPU)
    priority.require("normal")
    priority.take("normal", lambda: None)
    assert before == (resource.getrlimit(resource.RLIMIT_RTTIME), signal.getsignal(signal.SIGXCPU))


def test_a_refused_run_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)
    arguments = ["--url", "http://127.0.0.1:1", "--model", "m", "--set", "instrument.priority=realtime"]
    assert 2 == cli.run_command(["run", *arguments, "--out", "run"])
    assert "instrument.priority: realtime: only Linux has it" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


@needs_it
def test_trying_leaves_the_caller_as_it_was() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    priority.require("realtime")
    assert before == (os.sched_getscheduler(0), os.sched_getparam(0))


@needs_it
def test_a_load_worker_has_it_while_it_works(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(4))) as server:
        worker = loads.start(tmp_path, plan(tmp_path, server.url, loads.closed(20), priority="realtime"))
        assert (os.SCHED_FIFO, 10) == (
            os.sched_getscheduler(worker.pid),
            os.sched_getparam(worker.pid).sched_priority,
        )
        worker.tell(f"start {time.monotonic_ns() + SECOND // 10}")
        said = worker.event(loads.PATIENCE_S)
        worker.stop()
    assert {"event": "finished"} == said


SPIN = """
import os, time
from hxbench.record import priority
lost = []
priority.take("realtime", lambda: lost.append(time.monotonic()))
assert os.sched_getscheduler(0) == os.SCHED_FIFO
began = time.monotonic()
while not lost and time.monotonic() < began + 10: pass
print(len(lost), os.sched_getscheduler(0) == os.SCHED_OTHER)
"""


@needs_it
def test_who_cannot_sleep_becomes_an_ordinary_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPIN], capture_output=True, text=True, timeout=loads.PATIENCE_S
    )
    assert ("1 True\n", "") == (done.stdout, done.stderr)


@needs_it
def test_a_run_records_what_was_asked_for_and_what_was_obtained(tmp_path: Path) -> None:
    with Server(Behaviour(chat=servers.conforming)) as server:
        asked = {"instrument__priority": "realtime", "instrument__workers": 2, "load__users": 2}
        load = {"load__requests": 20, "load__warmup": "0 s"}
        run = hx.run(None, tmp_path / "run", target__server=server.url, target__model="m", **asked, **load)
    facts = json.loads((run.path / "facts.json").read_text())
    expected = {"workers": 2, "priority": "realtime", "priority_obtained": "realtime"}
    assert expected == facts["instrument"]
    assert (2, "realtime") == tuple(
        run.certificate["measurement"][key] for key in ("load_workers", "priority")
    )
    assert 20 == int((run.requests["outcome"] == "ok").sum())
