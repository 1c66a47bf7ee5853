"""Each process of a run is killed at a random moment: what was measured stays, and it never looks whole.

`pytest --kills N` draws N moments for each victim; the closing table says what happened in each.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import hxbench as hx
from tests import servers
from tests.loads import PATIENCE_S, await_load, wait_until
from tests.servers import Behaviour, Server

VICTIMS = ("supervisor", "worker", "decoder", "sampler")
LOST_S = 1.3  # the journal is flushed each second
PROFILE = """\
schema: 1
name: killed
target: {{server: '{url}', model: m}}
workload: {{output_tokens: 4}}
load: {{{load}, warmup: 0 s, measure: {measure} s}}
objectives: {{ttft: {{p50: 5 s}}}}
"""


@pytest.fixture
def good() -> Iterator[Server]:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.02, 0.005))) as server:
        yield server


def start(folder: Path, url: str, measure: float = 30, load: str = "users: 4") -> subprocess.Popen[bytes]:
    (folder / "profile.yaml").write_text(PROFILE.format(url=url, measure=measure, load=load))
    command = [sys.executable, "-m", "hxbench.cli", "run", "profile.yaml", "--out", "run"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def family(process: subprocess.Popen[bytes]) -> dict[str, psutil.Process]:
    """The processes of a run by what they do."""
    root = psutil.Process(process.pid)
    named = {"supervisor": root}
    for child in root.children():
        module = next((word for word in child.cmdline() if word.startswith("hxbench.")), "")
        named[module.rpartition(".")[2]] = child
    return named


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def ends_well(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode, said.decode()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_at_any_moment_loses_at_most_the_last_second(
    victim: str, kill: int, tmp_path: Path, good: Server, report_case: Callable[[str], None]
) -> None:
    moment = random.Random(f"{victim} {kill}").uniform(0.0, 2.5)
    process = start(tmp_path, good.url)
    with process:
        wait_until(lambda: good.chats or process.poll() is not None, "the run never began")
        time.sleep(moment)
        wait_until(lambda: victim in family(process), f"the {victim} never began")
        members = family(process)
        members[victim].send_signal(signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        wait_until(lambda: all(map(ended, members.values())), f"still there without the {victim}")
        status = process.wait(PATIENCE_S)
        said = (process.stderr or sys.stdin.buffer).read().decode().splitlines()
    seen = len(good.chats)
    time.sleep(0.2)
    assert seen == len(good.chats), "the server was asked after the end"
    run = hx.open(tmp_path / "run") if (tmp_path / "run" / "records" / "schedule.parquet").exists() else None
    answered = 0 if run is None else int((run.requests["outcome"] == "ok").sum())
    report_case(
        f"{victim} killed after {moment:.2f} s: exit {status}, {seen} asked, {answered} answered kept, "
        f"{'nothing to judge' if run is None else run.certificate['status']}"
    )
    assert status in (4, -signal.SIGKILL), said
    if run is None:
        assert seen == 1, "the load had begun"
        return
    assert "INCOMPLETE" == run.certificate["status"]
    requests = run.records.requests
    kept = requests[requests["outcome"] == "ok"]
    assert kept["request_id"].is_unique
    finished_before = killed_ns - LOST_S * 1e9
    lost = seen - len(requests[requests["dispatched_ns"].notna()])
    assert (kept["done_ns"] <= finished_before).sum() == (requests["done_ns"] <= finished_before).sum()
    assert lost <= 4 * LOST_S / 0.035 + 4  # what four users can ask in that time
    if victim != "supervisor":
        assert any("early" in line or "killed" in line for line in said), said


def test_a_server_that_dies_under_load_is_seen_in_every_request_after_it(
    tmp_path: Path, report_case: Callable[[str], None]
) -> None:
    command = ["hxbench.cli", "run", "--duration", "6s", "--warmup", "0s", "--out", "run"]
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as process:
        journal = tmp_path / "run" / "journal" / "t1-w0.journal"
        wait_until(lambda: journal.exists() and journal.stat().st_size > 5000, "nothing was answered")
        family(process)["embedded"].send_signal(signal.SIGKILL)
        status = process.wait(PATIENCE_S)
    run = hx.open(tmp_path / "run")
    phases = run.requests["error_phase"].value_counts().to_dict()
    report_case(f"server killed under load: exit {status}, {run.certificate['status']}, failed in {phases}")
    assert phases["connect"] > 5
    assert (run.requests["outcome"] == "ok").any()
    assert "CERTIFIED" != run.certificate["status"]


def test_show_says_that_a_killed_run_is_not_whole(tmp_path: Path, good: Server) -> None:
    process = start(tmp_path, good.url)
    with process:
        await_load(good, 20, process)
        time.sleep(1.2)
        members = family(process)
        process.kill()
        wait_until(lambda: all(map(ended, members.values())), "still there without the supervisor")
    shown = subprocess.run(
        [sys.executable, "-m", "hxbench.cli", "show", "run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert 0 == shown.returncode, shown.stderr
    assert "INCOMPLETE" in shown.stdout
    assert not (tmp_path / "run" / "journal").exists()  # it holds the answers' text
    assert "killed" in shown.stdout
    facts = hx.open(tmp_path / "run").records.facts
    assert (None, 1) == (facts["finished_utc"], len(facts["schedule_sha256"]))


@pytest.mark.parametrize("victim", ["worker", "decoder", "sampler"])
def test_a_process_that_stands_still_for_two_seconds_ends_nothing(
    victim: str, tmp_path: Path, good: Server, report_case: Callable[[str], None]
) -> None:
    process = start(tmp_path, good.url, measure=4)
    with process:
        await_load(good, 5, process)
        stopped = family(process)[victim]
        stopped.send_signal(signal.SIGSTOP)
        time.sleep(2)
        stopped.send_signal(signal.SIGCONT)
        ends_well(process)
    run = hx.open(tmp_path / "run")
    outcomes = set(run.requests["outcome"])
    broken = [entry["id"] for entry in run.certificate["ledger"] if entry["state"] == "broken"]
    report_case(f"{victim} stopped for 2 s: {len(run.requests)} requests, {outcomes}, ledger {broken}")
    assert {"ok"} == outcomes
    if victim == "sampler":
        host = run.series.query("source == 'host' and name == 'load1'")["time_ns"].astype("int64")
        assert host.diff().max() > 1_900_000_000  # the hole stays a hole


@pytest.mark.parametrize("workers", [1, 2], ids=["the only one", "one of two"])
@pytest.mark.parametrize(("load", "threat"), [("users: 4", "user_idle"), ("rate: 40", "held_back")])
def test_a_worker_that_stands_still_for_two_seconds_passes_nothing(
    load: str, threat: str, workers: int, tmp_path: Path, good: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HXBENCH_INSTRUMENT__WORKERS", str(workers))
    process = start(tmp_path, good.url, measure=4, load=load)
    with process:
        await_load(good, 5, process)
        stopped = family(process)["worker"]
        stopped.send_signal(signal.SIGSTOP)
        time.sleep(2)
        stopped.send_signal(signal.SIGCONT)
        ends_well(process)
    run = hx.open(tmp_path / "run")
    assert (workers, {"ok"}) == (run.requests["worker"].nunique(), set(run.requests["outcome"]))
    broken = [entry["id"] for entry in run.certificate["ledger"] if entry["state"] == "broken"]
    assert {threat, "stood_still"} <= set(broken)
    verdict = next(each for each in run.certificate["verdicts"] if each["id"] == "ttft.p50")
    assert ("INCONCLUSIVE", True) == (verdict["verdict"], "stood_still" in verdict["ledger"])


def test_a_supervisor_that_stands_still_ends_nothing(tmp_path: Path, good: Server) -> None:
    process = start(tmp_path, good.url, measure=2)
    with process:
        await_load(good, 5, process)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(process.pid, signal.SIGCONT)
        ends_well(process)
    assert {"ok"} == set(hx.open(tmp_path / "run").requests["outcome"])
