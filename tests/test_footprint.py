"""Memory checks of real embedded servers: what they find, what stays, and what starts nothing."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

import hxbench as hx
from hxbench import cli
from hxbench.errors import BusyError, DirectoryError, EvidenceError, InputError
from hxbench.record import lock
from hxbench.records import run_directory
from hxbench.render import past_runs
from hxbench.render.completeness import RESULT_MIME
from hxbench.servers.model import model_file
from tests.loads import wait_until

pytestmark = pytest.mark.usefixtures("workplace")

SMALL: dict[str, Any] = {
    "target__embedded": {"threads": 1, "slots": 2, "context": 1024},
    "target__protocol": "anthropic-messages",
    "objectives": {"memory": "1 GB"},
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str], NoReturn]) -> Path:
    """A whole check, small: one and two requests at once of eight tokens."""
    try:
        model_file("smollm2-135m", print)
    except InputError as error:
        unavailable(str(error))
    folder = tmp_path_factory.mktemp("checked") / "check"
    hx.memory("smollm2-135m", folder, at_once="1, 2", tokens=8, loaded="2 GB", **SMALL)
    hx.render(folder)
    return folder


def test_a_real_server_holds_what_the_requirements_allow(recorded: Path) -> None:
    check = hx.open_memory(recorded)
    found = {each.id: each for each in check.found}
    assert [
        "memory_at_once.1", "memory_at_once.2", "memory_growth", "memory_own_to_shared",
        "memory_loaded.largest", "memory.peak",
    ] == list(found)  # fmt: skip
    undecided = {each.reason for each in found.values() if each.verdict == "INCONCLUSIVE"}
    assert {"samples a second" in reason for reason in undecided} <= {True}  # on a crowded machine
    assert {"FAIL"}.isdisjoint(each.verdict for each in found.values())
    growth, ratio = found["memory_growth"], found["memory_own_to_shared"]
    assert (20, 1.5) == (len(_asked(recorded, "growth")), ratio.limit)
    assert growth.estimate is not None
    assert abs(growth.estimate) < 100 * 1024**2
    assert ratio.estimate is not None
    assert 1.5 < ratio.estimate < 4.5


def _asked(folder: Path, name: str) -> list[Any]:
    exchanges = json.loads((folder / "records" / "exchanges.json").read_text())
    return [each for each in exchanges if each["name"] == name]


def test_every_request_says_something_else_and_went_to_the_endpoint_of_its_dialect(recorded: Path) -> None:
    asked = _asked(recorded, "growth")
    assert ({"/v1/messages"}, {200}) == ({each["path"] for each in asked}, {each["status"] for each in asked})
    assert 20 == len({each["request"] for each in asked})


def test_every_answer_has_its_length_though_the_endpoint_passes_over_what_says_so(recorded: Path) -> None:
    frame = hx.open_memory(recorded).frame
    assert frame["tokens"].tolist() == frame["shortest"].tolist()


def test_four_servers_are_sampled_as_one_and_answer_one_request_each(recorded: Path) -> None:
    row = hx.open_memory(recorded).frame.set_index("name").loc["own servers"]
    alone = hx.open_memory(recorded).frame.set_index("name").loc["one server"]
    assert 3.5 < row["idle_bytes"] / alone["idle_bytes"] < 4.5
    assert 4 == len(_asked(recorded, "own servers"))
    assert row["pss_peak_bytes"] < row["peak_bytes"]


def test_a_check_shows_itself_as_text_table_figure_and_result(recorded: Path) -> None:
    check = hx.open_memory(recorded)
    assert f"memory check {recorded}" == repr(check).splitlines()[-1]
    assert "Memory, 4 servers to one" in check._repr_html_()
    assert ["at once", "at once", "growth", "own servers", "one server"] == check.table["Step"].tolist()
    assert ["at once, 1 at a time", "at once, 2 at a time"] == [
        drawn.name for drawn in check.figures.memory().data[:2]
    ]
    result = check.result()
    assert result.data["status"] in ("PASS", "INCONCLUSIVE")
    assert RESULT_MIME in result._repr_mimebundle_()


def test_what_is_there_is_opened_and_not_measured_again(recorded: Path) -> None:
    before = (recorded / "records" / "series.parquet").stat().st_mtime_ns
    assert recorded == hx.memory(None, recorded).path
    assert before == (recorded / "records" / "series.parquet").stat().st_mtime_ns


def test_what_was_really_recorded_is_verified_and_shown_on_a_page(recorded: Path) -> None:
    found = hx.verify(recorded)
    assert ((), hx.open_memory(recorded).document["status"]) == (found.faults, found.status)
    assert "Memory of the servers, step by step" in (recorded / "memory.html").read_text()


def test_a_note_that_is_damaged_is_said(recorded: Path, workplace: Path) -> None:
    copy = workplace / "copy"
    shutil.copytree(recorded, copy)
    (copy / "memory.json").write_text('{"steps": [{"nme": 1}]}')
    with pytest.raises(EvidenceError, match=r"memory\.json: not readable: "):
        hx.open_memory(copy).footprints  # noqa: B018


def test_the_command_prints_the_verdicts_of_what_is_there(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (recorded / "manifest.json").stat().st_mtime_ns  # a signature of it would stay
    assert cli.run_command(["memory", "--out", str(recorded)]) in (0, 3)
    said = capsys.readouterr().out
    assert "Memory grown by 20 answers" in said
    assert f"{recorded / 'memory.html'}" == said.splitlines()[-1]
    cli.run_command(["memory", "--out", str(recorded), "--json"])
    assert "memory_at_once.1" == json.loads(capsys.readouterr().out)["verdicts"][0]["id"]
    assert before == (recorded / "manifest.json").stat().st_mtime_ns


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--url", "http://127.0.0.1:1"],
            "memory: target.server: expected embedded, whose servers it starts and ends, got http://127.0.0.1:1",
        ),
        (["--at-once", "x"], "memory: at_once: expected a whole number such as 400, got x"),
        (["--checks", "growht"], "memory: checks: unknown check growht; did you mean growth"),
        (["--loaded", "2"], "memory: loaded: expected a size such as 1.5 GB, got 2"),
    ],
)
def test_what_cannot_work_starts_nothing(
    workplace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert 2 == cli.run_command(["memory", "--model", "m", *arguments])
    assert f"hxbench: {message}\n" == capsys.readouterr().err
    assert [] == list(workplace.iterdir())


def test_a_folder_with_something_else_is_neither_opened_nor_written(workplace: Path) -> None:
    with pytest.raises(DirectoryError, match=r": not a memory check: it has no file memory\.json"):
        hx.open_memory(workplace)
    (workplace / "records").mkdir()
    with pytest.raises(DirectoryError, match=r"holds a run already; choose another folder"):
        hx.memory("smollm2-135m", workplace)


def test_a_check_is_no_run_and_no_earlier_attempt_of_one(recorded: Path) -> None:
    with pytest.raises(DirectoryError, match=r": not a run but a memory check; hx\.open_memory opens it"):
        hx.open(recorded)
    (found,) = past_runs.find(recorded.parent)
    assert found.judged is not None
    assert ("smollm2-135m", "smollm2-135m", "memory check") == found.judged.history
    assert "memory.html" == found.page
    first_line = (recorded / "profile.yaml").read_text().splitlines()[0]
    sha256 = first_line.removeprefix(run_directory.HASH_LINE)
    assert 0 == run_directory.earlier_runs(recorded.parent / "another", sha256)


def started(*arguments: str) -> "subprocess.Popen[str]":
    """A check of growth in the folder `cut`, once its server is sampled."""
    command = [
        sys.executable,
        "-m",
        "hxbench.cli",
        "memory",
        "--checks",
        "growth",
        "--out",
        "cut",
        *arguments,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    sampled = Path("cut") / "journal" / "t1-sampler.jsonl"
    wait_until(
        lambda: process.poll() is not None or (sampled.exists() and "rss_bytes" in sampled.read_text()),
        "no server was sampled",
    )
    assert process.poll() is None, process.stderr and process.stderr.read()
    return process


def await_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_bytes().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_is_killed_leaves_its_step_undecided_and_says_so(
    recorded: Path, workplace: Path
) -> None:
    with started() as process:
        server = None
        while server is None:
            family = psutil.Process(process.pid).children(recursive=True)
            server = next((each for each in family if "hxbench.servers.embedded" in each.cmdline()), None)
        await_lines(workplace / "cut" / "journal" / "check.jsonl", 2)  # a rest and an answer
        server.kill()
        assert 3 == process.wait(300)
    assert {("INCONCLUSIVE", "not every process of the server was sampled: one ended")} == {
        (each.verdict, each.reason) for each in hx.open_memory(workplace / "cut").found
    }


def test_a_server_that_does_not_start_is_one_line_and_leaves_the_reason(
    recorded: Path, workplace: Path
) -> None:
    command = [sys.executable, "-m", "hxbench.cli", "memory", "--checks", "growth", "--out", "cut"]
    command += ["--set", "target.ready.path=/nothing", "--set", "target.ready.within=1 s"]
    ended = subprocess.run(command, capture_output=True, text=True)
    said = ended.stderr.splitlines()[-1]
    assert 4 == ended.returncode
    assert said.startswith("hxbench: ")
    assert said.endswith("; what was measured is kept")
    assert "HTTP 404, not 200" in said
    assert {"it was not measured to its end"} == {
        each.reason for each in hx.open_memory(workplace / "cut").found
    }


def test_an_interrupt_ends_it_and_keeps_what_was_measured(recorded: Path, workplace: Path) -> None:
    with started() as process:
        await_lines(workplace / "cut" / "journal" / "check.jsonl", 1)  # the first rest
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(300)
    check = hx.open_memory(workplace / "cut")
    assert (signal.SIGINT, "INCOMPLETE") == (check.signal, check.document["status"])
    assert () == hx.verify(workplace / "cut").faults
    assert len(check.series) > 0
    assert {("INCONCLUSIVE", "it was not measured to its end")} == {
        (each.verdict, each.reason) for each in check.found
    }


def test_one_that_was_killed_outright_is_put_together_from_its_journal(
    recorded: Path, workplace: Path
) -> None:
    with started() as process:
        noted = workplace / "cut" / "journal" / "check.jsonl"
        await_lines(noted, 3)  # a rest and two answers
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    psutil.wait_procs(children, 60)
    with noted.open("a") as torn:
        torn.write('["exchange", {"name')
    check = hx.open_memory(workplace / "cut")
    assert ["rest"] == check.phases["phase"].tolist()
    assert len(check.exchanges) >= 2
    assert len(check.series) > 0
    assert "INCOMPLETE" == check.document["status"]
    assert (
        "The memory check did not come to its end: the recording was killed"
        in check.result().data["status_reason"]
    )
    assert not (workplace / "cut" / "journal").exists()
    assert ["result.json: is missing: nothing is claimed; `hxbench judge` writes it"] == list(
        hx.verify(workplace / "cut").faults
    )
    assert 4 == cli.run_command(["judge", "cut"])
    assert () == hx.verify("cut").faults


def test_one_that_is_still_recorded_is_not_opened(recorded: Path, workplace: Path) -> None:
    shutil.copytree(recorded, workplace / "now")
    (workplace / "now" / "journal").mkdir()
    with lock.measuring(workplace / "now"), pytest.raises(BusyError, match="another run measures"):
        hx.open_memory(workplace / "now")
