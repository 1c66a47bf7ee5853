"""Several profiles or runs in one call: checked first, measured one by one, rendered side by side."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from runs_by_hand import good as good_run
from runs_by_hand import store

from hxbench import cli
from hxbench.cli import side_by_side
from hxbench.record import lock
from tests import servers
from tests.loads import await_load
from tests.servers import Behaviour, Server

pytestmark = pytest.mark.usefixtures("workplace")

GONE = "http://127.0.0.1:9"
LOAD = "loop: closed, users: 2, warmup: 0 s, requests: 20"


@pytest.fixture
def good() -> Iterator[Server]:
    with Server(Behaviour(chat=servers.conforming)) as server:
        yield server


def profile(
    folder: Path, name: str, url: str, objectives: str = "ttft: {max: 60 s}", load: str = LOAD
) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"schema: 1\nname: {name}\ntarget: {{server: '{url}', model: m, ready: {{within: 1 s}}}}\n"
        f"workload: {{output_tokens: 4}}\nload: {{{load}}}\nobjectives: {{{objectives}}}\nchecks: [TC-L1-*]\n"
    )
    return path.name


def runs(folder: Path) -> dict[str, Path]:
    """The folders of runs below a folder by the name of their profile."""
    return {path.name.split("-")[2]: path for path in sorted(folder.glob("2*"))}


def rows(text: str) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in text.splitlines()]


def test_all_are_measured_one_by_one_then_rendered_and_the_worst_status_counts(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(workplace / "step.md"))
    first, second = (profile(workplace, name, good.url) for name in ("first", "second"))
    gone = profile(workplace, "gone", GONE)
    assert 4 == cli.run_command(["certify", first, gone, second])
    said = capfd.readouterr()
    found = runs(workplace / "outputs")
    assert ["first", "second"] == sorted(found)
    pages = {name: str(path / "certificate.html") for name, path in found.items()}
    table = rows(said.out)
    assert ["first", "NOT", "second"] == [row[1] if row[1] == "NOT" else row[2] for row in table]
    assert {"CERTIFIED", "CONDITIONAL"} >= {table[0][1], table[2][1]}  # a busy machine may leave it undecided
    assert f"gone {GONE}: not reachable" in " ".join(table[1][3].split())
    assert [pages["first"], pages["second"]] == [table[0][3].split()[-1], table[2][3].split()[-1]]
    recorded = max((path / "records" / "ending.json").stat().st_mtime for path in found.values())
    assert recorded < min((path / "notebooks").stat().st_mtime for path in found.values())
    begun = json.loads((found["second"] / "facts.json").read_text())["started_utc"]
    assert json.loads((found["first"] / "facts.json").read_text())["finished_utc"] <= begun
    assert 2 == (workplace / "step.md").read_text().count(": m, level 1\n")
    index = (workplace / "outputs" / "index.html").read_text()
    assert [1, 1] == [index.count(f'href="./{path.name}/certificate.html"') for path in found.values()]


def test_several_certificates_are_a_list_in_a_folder_of_the_users_own(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [profile(workplace, name, url) for name, url in (("first", good.url), ("gone", GONE))]
    assert 4 == cli.run_command(["certify", *names, "--out", "new/mine", "--json"])
    first, gone = json.loads(capfd.readouterr().out)
    found = runs(workplace / "new" / "mine")
    assert ("first", str(found["first"]), None) == (first["name"], first["run"], first["error"])
    # a busy machine may leave it undecided
    assert {"CERTIFIED": 0, "CONDITIONAL": 3}[first["certificate"]["status"]] == first["exit_status"]
    assert f"{GONE}: not reachable" in gone.pop("error")
    assert {"name": "gone", "run": None, "exit_status": 4, "certificate": None} == gone
    assert not (workplace / "outputs").exists()
    assert {path.name for path in found.values()} == {p.name for p in (workplace / "new" / "mine").iterdir()}


def hopeless(folder: Path, url: str) -> str:
    return profile(folder, "hopeless", url, "ttft: {p99: 5 s}", LOAD.replace("20", "5"))


def elsewhere(folder: Path, url: str) -> str:
    return profile(folder, "elsewhere", "http://example.invalid", load=LOAD.replace("20", "5000"))


def nowhere(folder: Path, url: str) -> str:
    path = folder / profile(folder, "nowhere", url)
    path.write_text(path.read_text().replace(f"'{url}'", "null"))
    return path.name


def untold(folder: Path, url: str) -> str:
    path = folder / profile(folder, "untold", url)
    path.write_text(path.read_text().replace("model: m", "model: m, api_key_env: NOT_SET"))
    return path.name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda *_: "nosuch.yaml", "nosuch.yaml"),
        (hopeless, "--undecided-ok"),
        (elsewhere, "pass --yes"),
        (nowhere, "target.server: not set"),
        (untold, "NOT_SET is not set"),
    ],
)
def test_one_that_cannot_work_is_refused_before_any_is_started(
    wrong: Callable[[Path, str], str], said: str, workplace: Path, good: Server,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    names = [profile(workplace, "first", good.url), wrong(workplace, good.url)]
    assert 2 == cli.run_command(["certify", *names])
    assert said in capfd.readouterr().err
    assert [] == good.requests
    assert not (workplace / "outputs").exists()


def test_a_folder_that_cannot_take_several_runs_is_refused(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [profile(workplace, name, good.url) for name in ("first", "second")]
    (workplace / "run" / "records").mkdir(parents=True)
    (workplace / "file").touch()
    for folder, said in (
        ("run", "run: holds a run: of several profiles --out is the folder of their runs"),
        ("file", "file: cannot be written: File exists"),
    ):
        assert 2 == cli.run_command(["certify", *names, "--out", folder])
        assert said in capfd.readouterr().err
    assert [] == good.requests


def test_while_another_run_measures_none_is_started(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [profile(workplace, name, good.url) for name in ("first", "second")]
    with lock.measuring(workplace / "other"):
        assert 2 == cli.run_command(["certify", *names])
    assert "another run measures on this machine" in capfd.readouterr().err
    assert [] == good.requests


def test_an_interrupt_ends_all_and_what_was_recorded_can_be_rendered(workplace: Path, good: Server) -> None:
    with Server(Behaviour(chat=lambda r: servers.stream(4, 0.05, 0.01))) as slow:
        names = [profile(workplace, name, good.url) for name in ("first", "third")]
        long = profile(workplace, "second", slow.url, load="users: 2, warmup: 0 s, measure: 60 s")
        command = [sys.executable, "-m", "hxbench.cli", "certify", names[0], long, names[1]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            await_load(slow, 2, process)
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=120)
    assert (130, "") == (process.returncode, out), said
    found = runs(workplace / "outputs")
    assert ["first", "second"] == sorted(found)
    assert [] == [path for path in found.values() if (path / "certificate.json").exists()]
    assert "interrupted: recorded and kept: 2 of 3" in said
    assert f"their pages: hxbench render {found['first']} {found['second']}" in said


def test_an_interrupt_before_the_first_request_of_one_ends_all(
    workplace: Path, good: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    def unready(_: object) -> list[bytes]:
        os.kill(os.getpid(), signal.SIGINT)
        return [servers.plain(503, "{}")]

    with Server(Behaviour(health=unready)) as stopping:
        names = [profile(workplace, "first", stopping.url), profile(workplace, "second", good.url)]
        assert 130 == cli.run_command(["certify", *names])
    assert "interrupted: recorded and kept: 0 of 2" in capfd.readouterr().err
    assert [] == good.requests
    assert {} == runs(workplace / "outputs")


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(good_run(), tmp_path_factory.mktemp("recorded") / "run")


@pytest.fixture
def both(recorded: Path, workplace: Path) -> list[str]:
    """The names of two recorded runs."""
    names = ["one", "other"]
    for name in names:
        shutil.copytree(recorded, workplace / name)
    return names


def span(run: Path) -> tuple[datetime, datetime]:
    """When the run's notebook was executed, from when to when."""
    about: Any = json.loads((run / "notebooks" / "validation.ipynb").read_text())["metadata"]["papermill"]
    begun, ended = (datetime.fromisoformat(about[name]) for name in ("start_time", "end_time"))
    return begun, ended


def test_runs_are_rendered_no_more_at_once_than_there_are_cores(
    workplace: Path, both: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "cores", lambda: 1)
    assert 0 == cli.run_command(["render", *both])
    assert [["✓", "CERTIFIED", "one"], ["✓", "CERTIFIED", "other"]] == [
        row[:3] for row in rows(capfd.readouterr().out)
    ]
    (_, one_ended), (other_begun, _) = (span(workplace / name) for name in both)
    assert one_ended < other_begun
    assert (workplace / "one" / "manifest.json").exists()


def test_one_that_cannot_be_rendered_stops_no_other(
    workplace: Path, both: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(workplace))
    damaged = workplace / "one" / "records" / "requests.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    (workplace / "early" / "records").mkdir(parents=True)
    (workplace / "early" / "journal").mkdir()
    assert 4 == cli.run_command(["render", *both, "early"])
    said = capfd.readouterr()
    assert f"hxbench: GITHUB_STEP_SUMMARY: {workplace}: cannot be written: Is a directory" in said.err
    table = rows(said.out)
    assert [["!", "NOT", "DONE"], ["✓", "CERTIFIED", "other"], ["!", "NOT", "DONE"]] == [
        row[:3] for row in table
    ]
    assert "early: the run ended before its first request" in table[2][3]
    assert "requests.parquet: not readable as Parquet" in table[0][3]
    assert (workplace / "other" / "certificate.html").exists()


def test_what_is_no_run_or_named_twice_is_refused_and_nothing_is_written(
    workplace: Path, both: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    gone = "not a run: there is no such folder; runs are folders below outputs/, the last one outputs/latest"
    for names, said in (
        (["one", "nowhere"], f"hxbench: nowhere: {gone}\n"),
        (["one", "other", "./one"], "hxbench: one: named twice\n"),
    ):
        assert 2 == cli.run_command(["render", *names])
        assert said == capfd.readouterr().err
    assert not (workplace / "one" / "certificate.json").exists()


def test_an_interrupt_stops_what_is_being_rendered_and_says_how_to_go_on(
    workplace: Path, both: list[str]
) -> None:
    command = [sys.executable, "-m", "hxbench.cli", "render", *both]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (workplace / "one" / "notebooks" / "validation.ipynb").exists())
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=120)
    assert (143, "") == (process.returncode, out), said
    ones, others = (str(workplace / name) for name in both)
    assert f"their pages: hxbench render {ones} {others}" in said
    assert "Traceback" not in said


def test_a_rendering_that_is_killed_is_said_to_be(workplace: Path, both: list[str]) -> None:
    rendering = side_by_side._Rendering(workplace / "one")
    rendering.process.kill()
    rendering.process.wait()
    assert (-9, "ended by SIGKILL") == rendering.result()


def test_a_rendering_that_does_not_stop_is_killed(
    workplace: Path, both: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "_STOP_S", 0.0)
    rendering = side_by_side._Rendering(workplace / "one")
    side_by_side._end({workplace / "one": rendering})
    assert rendering.process.returncode is not None
