"""A run as text for the terminal: its times taken apart, other tools' figures, a verification."""

import json
from pathlib import Path

import pytest
from records_by_hand import records
from runs_by_hand import good, store

from hxbench import cli, workbench
from hxbench.judge.diagnosis import waterfall
from hxbench.judge.translation import translated
from hxbench.judge.verify import Group, Verification
from hxbench.render.terminal import translation_text, verification_text, waterfall_text


def test_the_parts_of_the_median_and_the_slowest_request_stand_side_by_side() -> None:
    run = records(requests=3, warmup=0, tokens=3, ttft_s=[0.3, 0.1, 0.5], gap_s=0.1)
    lines = waterfall_text(waterfall(run), "p95 of e2e is …").splitlines()
    assert "one request               median     slowest" == lines[0]
    assert "  to the last token       200 ms      200 ms" in lines
    assert "  in all                  500 ms      700 ms" in lines
    assert "p95 of e2e is …" == lines[-1]


def test_nothing_answered_is_said() -> None:
    empty = waterfall(records(requests=1, failed={0}))
    assert "no request was answered: there is no time to take apart" == waterfall_text(empty, None)


def test_each_tools_figures_stand_beside_ours_with_the_reason_below() -> None:
    run = records(requests=4, warmup=0, ttft_s=[1.0, 2.0, 3.0, 4.0], gap_s=1.0, failed={3})
    table = translated(run)
    text = translation_text(table[table["tool"] == "mlperf"])
    lines = text.splitlines()
    assert "mlperf                           hxbench        mlperf" == lines[0]
    assert "  ttft p99                             –           3 s" in lines
    assert "  itl p50                            1 s             –" in lines
    assert "  requests count                       4             3" in lines
    assert "  itl: it has no such figure" in lines
    assert 4 == translation_text(table).count("hxbench")


def test_a_verification_is_a_line_a_group_its_faults_below_and_the_verdict_last() -> None:
    groups = (Group("files", "3 files", ("a: is gone",)), Group("records", "9 requests"))
    text = verification_text(Verification("run", "CERTIFIED", groups, ("renamed",)))
    assert text.splitlines() == [
        "✕ files        3 files",
        "    a: is gone",
        "✓ records      9 requests",
        "note: renamed",
        "NOT VERIFIED: run: faults found: 1",
    ]


@pytest.fixture
def stored(tmp_path: Path) -> str:
    return str(store(good(), tmp_path / "run"))


def test_show_takes_the_times_apart(stored: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert 0 == cli.run_command(["show", stored])
    said = capfd.readouterr().out
    assert "to the first token" in said
    assert "p95 of e2e is" in said


@pytest.mark.parametrize(("tool", "rows"), [("vllm", 19), ("all", 76)])
def test_show_as_prints_what_another_tool_would_have_said(
    tool: str, rows: int, stored: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cli.run_command(["show", stored, "--as", tool])
    said = capfd.readouterr().out
    assert ("guidellm" in said) is (tool == "all")
    assert rows == 19 * said.count("  ttft p99")
    assert 0 == cli.run_command(["show", stored, "--as", tool, "--json"])
    assert rows == len(json.loads(capfd.readouterr().out))


def test_a_tool_nobody_knows_is_wrong_input(stored: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run_command(["show", stored, "--as", "wrk"])
    assert "'wrk' is not one of" in capfd.readouterr().err


def test_the_run_has_the_same_as_frames(stored: str) -> None:
    run = workbench.open(stored)
    assert 120 == len(run.waterfall()) == len(run.frames.waterfall())
    assert 76 == len(run.translated()) == len(run.frames.translated())
    assert str(run.summary()["diagnosis"]).startswith("p95 of e2e is")
