"""Runs against small real servers: what each command does, its exit status, and what a stop keeps."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hxbench as hx
from hxbench import cli
from tests import servers
from tests.loads import await_load
from tests.servers import Behaviour, Server, plain

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def good() -> Iterator[Server]:
    with Server(Behaviour(chat=servers.conforming)) as server:
        yield server


def profile(folder: Path, server: Server, objectives: str, load: str) -> str:
    path = folder / "profile.yaml"
    path.write_text(
        f"schema: 1\nname: small\ntarget: {{server: '{server.url}', model: m}}\n"
        f"workload: {{output_tokens: 4}}\nload: {{{load}}}\nobjectives: {{{objectives}}}\nchecks: [TC-L1-*]\n"
    )
    return str(path)


def certificate(folder: Path) -> Any:
    return json.loads((folder / "outputs" / "latest" / "certificate.json").read_text())


def decided(folder: Path, verdict_id: str) -> Any:
    return next(each for each in certificate(folder)["verdicts"] if each["id"] == verdict_id)


CLOSED = "loop: closed, users: 2, warmup: 0 s, requests: 20"


def test_run_records_and_the_rest_follows_from_the_folder_alone(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--users", "8", "--requests", "200", "--max-tokens", "8", "--warmup", "0s", "--out", "a run"]
    assert 0 == cli.run_command(["run", "--url", good.url, "--model", "m", *arguments])
    said = capfd.readouterr().out
    assert "ttft" in said
    assert "0 of 200" in said
    good.__exit__()
    assert 0 == cli.run_command(["show", "a run"])
    assert cli.run_command(["judge", "a run"]) in (0, 3)
    assert cli.run_command(["render", "a run"]) in (0, 3)
    assert (workplace / "a run" / "certificate.html").exists()
    assert not (workplace / "latest").is_symlink()
    assert not (workplace / "index.html").exists()
    requests = pd.read_parquet("a run/records/requests.parquet")
    assert 200 == (requests["outcome"] == "ok").sum()


def test_an_objective_that_holds_certifies(workplace: Path, good: Server) -> None:
    path = profile(workplace, good, "ttft: {max: 5 s}, throughput_tokens: '>= 1'", CLOSED)
    status, judged = cli.run_command(["certify", path]), certificate(workplace)
    undecided = [each["noise"] for each in judged["verdicts"] if each["verdict"] not in ("PASS", "SKIPPED")]
    # A busy machine may leave something undecided, but nothing else does.
    assert all(undecided), judged["verdicts"]
    assert (status, judged["status"]) == ((3, "CONDITIONAL") if undecided else (0, "CERTIFIED"))
    (run,) = (workplace / "outputs").glob("2*")
    assert f'href="./{run.name}/certificate.html"' in (workplace / "outputs" / "index.html").read_text()


def test_a_run_says_beforehand_what_it_will_ask_for_and_verifies_afterwards(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    path = profile(workplace, good, "ttft: {p50: 5 s}", CLOSED)
    assert 0 == cli.run_command(["run", path])
    said = capfd.readouterr().err
    assert "planned 20 requests; 80 output tokens; the server decides how long" in said.splitlines()
    cli.run_command(["judge", "outputs/latest"])
    assert 0 == cli.run_command(["verify", "outputs/latest"])


def test_verifying_puts_a_killed_run_together_first(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    path = profile(workplace, good, "ttft: {p50: 5 s}", CLOSED)
    assert 0 == cli.run_command(["run", path, "--set", "keep.text=full", "--out", "killed"])
    (workplace / "killed" / "records" / "requests.parquet").unlink()
    (workplace / "killed" / "records" / "ending.json").unlink()
    capfd.readouterr()
    assert 1 == cli.run_command(["verify", "killed"])
    said = capfd.readouterr().out
    assert re.search("✓ records      20 requests and [0-9]+ reads", said)  # a busy machine reads two at once
    assert "nothing is claimed" in said
    assert 4 == cli.run_command(["judge", "killed"])
    assert 0 == cli.run_command(["verify", "killed"])
    assert "INCOMPLETE" in capfd.readouterr().out.splitlines()[-1]


def test_an_impossible_limit_fails_with_1(workplace: Path, good: Server) -> None:
    path = profile(workplace, good, "ttft: {p95: 1 us}", CLOSED)
    assert 0 == cli.run_command(["run", path])
    status = cli.run_command(["judge", "outputs/latest"])
    verdict = decided(workplace, "ttft.p95")
    assert (1, "FAIL") == (status, verdict["verdict"]) or verdict["noise"]


def test_five_requests_cannot_decide_a_p99_even_when_they_are_measured(workplace: Path, good: Server) -> None:
    path = profile(workplace, good, "ttft: {p99: 5 s}", CLOSED.replace("20", "5"))
    assert 2 == cli.run_command(["certify", path])
    assert [] == good.requests
    assert 0 == cli.run_command(["run", path])
    assert 3 == cli.run_command(["judge", "outputs/latest"])
    verdict = decided(workplace, "ttft.p99")
    assert "INCONCLUSIVE" == verdict["verdict"]
    assert verdict["needed_n"] > 5


def test_failures_count_and_have_their_phase(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen = iter(range(10_000))
    failing = Behaviour(chat=lambda _: servers.stream(2) if next(seen) % 2 == 0 else [plain(503, "busy")])
    with Server(failing) as server:
        path = profile(workplace, server, "error_rate: 10 %", CLOSED)
        assert 0 == cli.run_command(["run", path, "--set", "checks=[]"])
    assert 10 == int(capfd.readouterr().out.split("headers")[1].split()[0])
    status = cli.run_command(["judge", "outputs/latest"])
    verdict = decided(workplace, "error_rate.share")
    assert (1, "FAIL") == (status, verdict["verdict"]) or verdict["noise"]
    assert {"headers": 10} == certificate(workplace)["summary"]["counts"]["by_error_phase"]


def test_an_open_loop_counts_from_when_requests_were_due(workplace: Path, good: Server) -> None:
    arguments = [
        "--rate",
        "40",
        "--arrivals",
        "poisson",
        "--duration",
        "1s",
        "--warmup",
        "0.5s",
        "--max-tokens",
        "4",
    ]
    assert 0 == cli.run_command(["run", "--url", good.url, "--model", "m", *arguments, "--out", "open"])
    run = hx.open("open")
    requests = run.requests
    assert (requests["dispatched_ns"] >= requests["due_ns"]).all()
    counts = run.summary()["counts"]
    assert counts["attempted"] == counts["ok"] > 15
    schedule = run.records.schedule
    assert {"warmup", "measure"} == set(schedule["phase"])


def test_three_trials_stand_in_one_schedule(workplace: Path, good: Server) -> None:
    path = profile(
        workplace, good, "ttft: {p50: 5 s}", CLOSED.replace("requests: 20", "requests: 6, trials: 3")
    )
    assert 0 == cli.run_command(["run", path])
    run = hx.open("outputs/latest")
    assert {1: 6, 2: 6, 3: 6} == run.requests.groupby("trial").size().to_dict()
    assert 3 == len(run.records.facts["schedule_sha256"])


def test_a_notebook_or_script_runs_and_opens_by_one_call(workplace: Path, good: Server) -> None:
    path = profile(workplace, good, "ttft: {p50: 5 s}", CLOSED)
    run = hx.run(path, "here", load__requests=4)
    assert 4 == len(run.requests)
    assert "hx.run" in (workplace / "here" / "profile.yaml").read_text()
    again = hx.run(path, "here")
    assert run.certificate == again.certificate
    assert 4 == sum("x-request-id" in request.headers for request in good.chats)


def test_check_says_what_a_server_is(good: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert 0 == cli.run_command(["check", good.url])
    said = capfd.readouterr().out
    assert "m" in said
    assert 0 == cli.run_command(["check", good.url, "--json"])
    assert json.loads(capfd.readouterr().out)["streaming"] is True


def test_init_writes_a_profile_that_resolves(workplace: Path) -> None:
    from hxbench.plan.layers import resolve

    assert 0 == cli.run_command(["init"])
    assert "my-model" == resolve("profile.yaml").profile.name


def test_json_is_all_that_stands_on_stdout(good: Server, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--url", good.url, "--model", "m", "--requests", "3", "--warmup", "0s", "--json"]
    assert 0 == cli.run_command(arguments)
    assert 3 == json.loads(capfd.readouterr().out)["counts"]["attempted"]


@pytest.mark.parametrize(
    ("command", "number", "status"),
    [("certify", signal.SIGINT, 130), ("run", signal.SIGTERM, 143), ("run", signal.SIGHUP, 129)],
)
def test_a_signal_stops_the_load_and_keeps_what_was_measured(
    command: str, number: int, status: int, workplace: Path
) -> None:
    with Server(Behaviour(chat=lambda r: servers.stream(4, 0.05, 0.01))) as server:
        path = profile(workplace, server, "ttft: {p50: 5 s}", "users: 2, warmup: 0 s, measure: 60 s")
        arguments = [sys.executable, "-m", "hxbench.cli", command, path, "--out", "stopped"]
        with subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            await_load(server, 8, process)
            process.send_signal(number)
            _, said = process.communicate(timeout=120)
            assert status == process.returncode, said
        seen = len(server.chats)
        time.sleep(0.3)
        assert seen == len(server.chats)
    run = hx.open("stopped")
    assert "INCOMPLETE" == run.certificate["status"]
    outcomes = set(run.requests["outcome"])
    assert {"ok", "unfinished"} >= outcomes
    assert "ok" in outcomes


def test_a_signal_before_the_first_request_is_a_line_and_leaves_nothing_behind(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def unready(_: object) -> list[bytes]:
        os.kill(os.getpid(), signal.SIGINT)
        return [servers.plain(503, "{}")]

    with Server(Behaviour(health=unready)) as server:
        assert 130 == cli.run_command(["run", "--url", server.url, "--model", "m", "--out", "stopped"])
    said = capfd.readouterr().err.splitlines()
    assert "hxbench: stopped before the first request: nothing was measured" == said[-1]
    assert not Path("stopped").exists()


def test_a_second_measuring_run_is_refused_with_the_first_ones_process(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from hxbench.record import lock

    with Server() as server, lock.measuring(workplace / "first"):
        assert 2 == cli.run_command(["run", "--url", server.url, "--model", "m"])
        assert [] == server.requests
    said = capfd.readouterr().err
    assert f"process {os.getpid()}" in said
    assert "first" in said
