"""The real load worker and decoder on the real reference server: what the one says, the other logged."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hxbench as hx
from hxbench import cli, workbench
from hxbench.errors import IncompleteError, TargetError
from hxbench.plan.layers import resolve
from hxbench.record import calibration
from hxbench.record.calibration import Experiment, calibrate
from hxbench.record.supervisor import Interrupted, StopRequest
from hxbench.records.departures import Arrival, read
from hxbench.render import calibration_table
from hxbench.servers.reference import serving
from hxbench.stats.quantiles import nearest_rank
from tests import servers
from tests.servers import Behaviour, Server

# Far above what is measured (0.05 ms on two idle cores) and what a machine adds that others keep busy: a mean
# of few answers, one of which stood still for a quarter of a second. Far below what a wrong clock would show.
GENEROUS_S = 0.2
STREAMS = Experiment(
    "streams", "streams", {"users": 4, "warmup": "0.2 s", "measure": "0.6 s"}, {"ttft": 0.05, "itl": 0.01}, 8
)
ARRIVALS = Experiment(
    "arrivals",
    "arrivals",
    {"rate": 100, "arrivals": "poisson", "warmup": "0.1 s", "measure": "0.5 s"},
    {"ttft": 0.001, "itl": 0.0},
    1,
)
FASTEST = Experiment(
    "fastest", "tokens", {"users": 8, "warmup": "0 s", "requests": 100}, calibration.AT_ONCE, 64
)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("calibration")
    said: list[str] = []
    measured = calibrate((STREAMS, ARRIVALS, FASTEST), serving, folder, StopRequest(), said.append)
    assert ["calibrating: streams", "calibrating: arrivals", "calibrating: fastest"] == said
    return {row["name"]: row for row in measured["experiments"]}


def test_every_gap_of_every_stream_is_joined_with_the_truth(found: dict[str, Any]) -> None:
    streams = found["streams"]
    assert 4 <= streams["ttft_n"]  # one a user; how many more is the machine's
    assert 3 * streams["ttft_n"] < streams["itl_n"] <= 7 * streams["ttft_n"]  # a coalesced read is a gap less
    assert 0 == streams["arrival_n"]


def test_the_stamps_are_the_servers_own_times(found: dict[str, Any]) -> None:
    streams = found["streams"]
    assert abs(streams["ttft_bias_s"]) < GENEROUS_S
    assert abs(streams["itl_bias_s"]) < GENEROUS_S / 10


def test_arrivals_are_compared_with_when_they_were_due(found: dict[str, Any]) -> None:
    arrivals = found["arrivals"]
    assert arrivals["ttft_n"] == arrivals["arrival_n"]
    assert 0 < arrivals["arrival_bias_s"] < GENEROUS_S


def test_a_capacity_says_how_much_and_what_limits_it(found: dict[str, Any]) -> None:
    fastest = found["fastest"]
    assert 100 < fastest["tokens_per_s"]
    assert fastest["limited_by"].startswith(("the ", "other "))
    assert found["streams"]["limited_by"] is None


def test_a_notebook_cell_that_spins_does_not_move_the_stamps(tmp_path: Path) -> None:
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        measured = calibrate((STREAMS,), serving, tmp_path / "spun", StopRequest())
    finally:
        for each in spinning:
            each.kill()
            each.wait()
    (row,) = measured["experiments"]
    assert 4 <= row["ttft_n"]
    assert abs(row["itl_bias_s"]) < GENEROUS_S / 10


def test_a_stall_of_the_server_is_in_the_p99_from_due(tmp_path: Path) -> None:
    """200 req/s go on through a stall of 2 s; what each request waited follows from its due time.

    The server counts from the first request of all: the stall comes late enough for the load to have begun.
    """
    log = tmp_path / "departures.bin"
    with serving({"ttft": 0.01, "itl": 0.0, "stall_at": 3.0, "stall_for": 2.0}, log) as server:
        given = {
            "target.server": server.url, "target.model": "reference", "workload.output_tokens": 1,
            "load.rate": 200, "load.arrivals": "constant", "load.warmup": "0 s", "load.measure": "6 s",
        }  # fmt: skip
        resolved = resolve(None, overrides={key: (value, "test") for key, value in given.items()})
        run = hx.run(resolved, tmp_path / "run")
    due = run.requests["due_ns"].to_numpy(dtype="int64")
    stall_ends = min(each.arrived_ns for each in read(log) if isinstance(each, Arrival)) + 5 * 10**9
    in_stall = (due + 10**7 < stall_ends) & (due + 10**7 >= stall_ends - 2 * 10**9)
    truth = np.sort(np.where(in_stall, stall_ends - due, 10**7)) / 1e9
    summary = run.summary()
    expected_s = nearest_rank(truth, 0.99) or 0.0
    assert 1.5 < expected_s < 2.0
    assert 0.97 * expected_s <= summary["ttft"]["p99"] < expected_s + 1  # the machine may add to it
    assert summary["ttft_dispatch"]["p99"] <= summary["ttft"]["p99"]


def test_the_table_shows_errors_and_limits(found: dict[str, Any]) -> None:
    text = calibration_table.as_text({"experiments": list(found.values())})
    lines = text.splitlines()
    heads = "instrument less truth ttft bias ttft p99 itl bias itl p99 arrival p99"
    assert heads == " ".join(lines[0].split())
    assert lines[1].startswith("streams ")
    assert lines[1].endswith("–")
    assert "limited by" in lines[4]
    assert "tok/s" in lines[5]
    assert "of a core" in lines[5]


def test_a_table_without_capacity_ends_with_the_errors(found: dict[str, Any]) -> None:
    assert 2 == len(calibration_table.as_text({"experiments": [found["streams"]]}).splitlines())


def test_a_stop_ends_a_calibration(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        calibrate((STREAMS,), serving, tmp_path / "stopped", StopRequest(signal=2))


def test_a_worker_that_cannot_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "END_S", 0.0)
    with pytest.raises(IncompleteError, match="the load worker did not come to its end"):
        calibrate((STREAMS,), serving, tmp_path / "cut", StopRequest())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SHORT", (STREAMS,))


def test_calibrate_prints_the_table_or_json(short: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == cli.run_command(["calibrate", "--short"])
    printed = capsys.readouterr()
    assert "ttft p99" in printed.out
    assert "calibrating: streams" in printed.err
    assert 0 == cli.run_command(["calibrate", "--short", "--json"])
    assert "streams" == json.loads(capsys.readouterr().out)["experiments"][0]["name"]


def test_serve_starts_the_reference_server_until_it_is_stopped(workplace: Path) -> None:
    command = [sys.executable, "-m", "hxbench.cli", "serve", "--mode", "reference", "--ttft", "5ms"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "model reference" in line
        process.terminate()
        assert 0 == process.wait(120)


def test_a_pace_without_the_reference_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run_command(["serve", "--stall-for", "1s"])
    assert "hxbench: --stall-for: only with --mode reference\n" == capsys.readouterr().err


def test_before_a_run_every_try_is_made_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SHORT", (ARRIVALS, ARRIVALS, ARRIVALS))
    tries = calibration.before(serving, tmp_path, StopRequest())["tries"]
    assert ["arrivals"] * 3 == [row["name"] for row in tries]
    assert 3 == len({row["arrival_bias_s"] for row in tries})


def test_the_tries_before_a_run_are_the_same_and_load_for_less_than_three_seconds() -> None:
    assert 3 == len(calibration.SHORT)
    assert 1 == len(set(map(id, calibration.SHORT)))
    (experiment, *_) = calibration.SHORT
    assert "rate" in experiment.load
    seconds = [float(experiment.load[key].removesuffix(" s")) for key in ("warmup", "measure")]
    assert 3 * sum(seconds) < 3


def test_a_calibration_that_does_not_come_to_its_end_says_why(
    tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "END_S", 0.0)
    found = calibration.before(serving, tmp_path, StopRequest())
    assert {"tries": [], "error": "the load worker did not come to its end"} == found


def test_answers_in_one_piece_are_held_against_when_they_left(tmp_path: Path) -> None:
    whole = replace(STREAMS, name="whole", tokens=4, stream=False)
    (row,) = calibrate((whole,), serving, tmp_path / "whole", StopRequest())["experiments"]
    assert 4 <= row["ttft_n"]
    assert 0 == row["itl_n"]
    assert abs(row["ttft_bias_s"]) < GENEROUS_S


def test_a_slow_stream_beside_a_load_tells_its_error(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    with calibration.beside(serving, tmp_path / "t1", found):
        time.sleep(2.2)
    (row,) = found
    assert (True, "one slow stream") == (1 <= row["ttft_n"] <= 2, row["name"])  # each takes 0.85 s at least
    assert 7 * row["ttft_n"] < row["itl_n"] <= 15 * row["ttft_n"]
    assert abs(row["itl_bias_s"]) < GENEROUS_S / 10


def test_a_slow_stream_that_cannot_start_leaves_the_load_alone(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    with calibration.beside(serving, tmp_path / "first", found):
        pass
    assert ["error"] == list(found[0]) or 0 == found[0]["ttft_n"]

    def refused(pace: Any, log: Path) -> Any:
        raise TargetError("reference server: did not start")

    with calibration.beside(refused, tmp_path / "second", found):
        pass
    assert {"error": "reference server: did not start"} == found[1]


def test_a_certification_is_calibrated_and_says_so(tmp_path: Path, short: None) -> None:
    with Server(Behaviour(chat=servers.conforming)) as server:
        given = {
            "target.server": server.url, "target.model": "m", "workload.output_tokens": 4, "load.users": 2,
            "load.warmup": "0 s", "load.requests": 60, "objectives.ttft.p50": "5 s",
        }  # fmt: skip
        resolved = resolve(None, overrides={key: (value, "test") for key, value in given.items()})
        run = workbench.certify(resolved, run_dir=tmp_path / "run", undecided_ok=True)
    stored = json.loads((run.path / "records" / "calibration.json").read_text())
    assert ["streams"] == [row["name"] for row in stored["before"]["tries"]]
    assert 1 == len(stored["beside"])
    assert stored == run.certificate["calibration"]
    assert {"calibration_ttft_p99", "calibration_beside", "calibration_beside_ttft"} <= {
        each["id"] for each in run.certificate["ledger"]
    }
    assert not (run.path / "journal-probe").exists()
    page = (run.path / "certificate.html").read_text()
    assert "How far the instrument lies from the truth" in page
    assert "before the load, try 1" in page


def test_the_reference_server_as_target_certifies_the_workbench_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mock.yaml").write_text(
        "schema: 1\nname: mock\ntarget: {server: reference, model: anything}\nworkload: {output_tokens: 2}\n"
        "load: {users: 4, warmup: 0 s, requests: 60}\nobjectives: {ttft: {p50: 5 s}}\n"
    )
    assert 0 == cli.run_command(["run", "mock.yaml", "--out", "mocked"])
    assert 3 == cli.run_command(["judge", "mocked"])
    certificate = json.loads((tmp_path / "mocked" / "certificate.json").read_text())
    reason = "Measured against the reference server, which certifies the workbench, not a target."
    assert ("CONDITIONAL", reason) == (certificate["status"], certificate["status_reason"])
    assert "PASS" == certificate["verdicts"][0]["verdict"] or certificate["verdicts"][0]["noise"]
    assert "reference" == certificate["target"]["server"]
    facts = json.loads((tmp_path / "mocked" / "facts.json").read_text())
    assert "reference" == facts["server"]["kind"]


def test_the_short_calibration_says_how_long_its_loads_are() -> None:
    assert pytest.approx(2.7) == calibration.load_s(calibration.SHORT)
    assert 0 == calibration.load_s([])
