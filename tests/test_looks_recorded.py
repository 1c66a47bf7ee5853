"""Runs of six trials against small real servers: where they end, and what a kill between two looks keeps."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

import hxbench as hx
from hxbench import workbench
from tests import servers
from tests.loads import await_gone, wait_until
from tests.servers import Behaviour, Request, Server

PROFILE = """\
schema: 1
name: six
target: {{server: '{url}', model: m}}
workload: {{output_tokens: 2}}
load: {{users: 4, warmup: 0 s, requests: 24, trials: 6}}
objectives: {{{objectives}}}
checks: [TC-L1-*]
"""


def slow(request: Request) -> Iterator[Any]:
    """Slow enough for the load generator's own pauses not to count."""
    yield 0.1
    yield from servers.conforming(request)


@pytest.fixture
def failing() -> Iterator[Server]:
    """Of what is asked under load each third fails."""
    asked = count(1)

    def chat(request: Request) -> Iterable[Any]:
        if "x-request-id" in request.headers and next(asked) % 3 == 0:
            return [0.1, servers.plain(503, "{}")]
        return slow(request)

    with Server(Behaviour(chat=chat)) as server:
        yield server


def profile(folder: Path, url: str, objectives: str) -> Path:
    (folder / "profile.yaml").write_text(PROFILE.format(url=url, objectives=objectives))
    return folder / "profile.yaml"


def recorded(folder: Path) -> tuple[hx.Run, int]:
    """A judged run whose limit is far away, and how many requests of the load the server saw."""
    with Server(Behaviour(chat=slow)) as server:
        hx.run(profile(folder, server.url, "error_rate: 50 %"), folder / "run")
        loaded = sum("x-request-id" in request.headers for request in server.chats)
    return workbench.judge(folder / "run"), loaded


def test_limits_far_away_end_the_run_at_its_first_look(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for attempt in range(3):  # other work on the machine may void the PASS of the first look
        folder = tmp_path / str(attempt)
        folder.mkdir()
        run, loaded = recorded(folder)
        if run.records.ending["reason"]:
            break
        assert "broken" in {each["state"] for each in run.certificate["ledger"]}
    assert "look 1 of 2: every limit is decided" in capfd.readouterr().err
    assert {"state": "complete", "reason": "decided at look 1 of 2"} == run.records.ending
    assert (72, {1: 24, 2: 24, 3: 24}) == (loaded, run.requests.groupby("trial").size().to_dict())
    made = run.certificate
    assert [(3, [])] == [(look["after_trials"], look["undecided"]) for look in made["looks"]]
    assert "INCOMPLETE" != made["status"], made["status_reason"]
    verdicts = {each["id"]: each["verdict"] for each in made["verdicts"]}
    assert "PASS" == verdicts["error_rate.share"]
    assert {"PASS"} == {each for name, each in verdicts.items() if name.startswith("TC-") and "-01" in name}
    assert () == workbench.verify(run.path).faults


def test_a_limit_near_the_truth_is_looked_at_and_goes_on_to_the_end(tmp_path: Path, failing: Server) -> None:
    hx.run(profile(tmp_path, failing.url, "error_rate: 33 %"), tmp_path / "run")
    run = workbench.judge(tmp_path / "run")
    assert {"state": "complete", "reason": None} == run.records.ending
    assert dict.fromkeys(range(1, 7), 24) == run.requests.groupby("trial").size().to_dict()
    assert [3, 6] == sorted(each["trial"] for each in run.records.exchanges if each["name"] == "health")
    assert [(3, ["error_rate.share"]), (6, ["error_rate.share"])] == [
        (look["after_trials"], look["undecided"]) for look in run.certificate["looks"]
    ]
    assert "CONDITIONAL" == run.certificate["status"], run.certificate["status_reason"]
    assert () == workbench.verify(tmp_path / "run").faults


def test_a_run_killed_after_a_look_keeps_the_trials_before_and_after_it(
    tmp_path: Path, failing: Server
) -> None:
    profile(tmp_path, failing.url, "error_rate: 33 %")
    command = [sys.executable, "-m", "hxbench.cli", "run", "profile.yaml", "--out", "run"]
    fifth = tmp_path / "run" / "journal" / "t5-w0.journal"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        wait_until(lambda: fifth.exists() or process.poll() is not None, "it has no fifth trial", 300)
        assert process.poll() is None, process.stderr and process.stderr.read()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    for child in children:  # they see their stdin end
        await_gone(child.pid)
    run = hx.open(tmp_path / "run")
    sizes = run.requests.groupby("trial").size()
    assert [24] * 4 == sizes.loc[1:4].tolist()
    assert "INCOMPLETE" == run.certificate["status"]
    assert [3] == [look["after_trials"] for look in run.certificate["looks"]]
