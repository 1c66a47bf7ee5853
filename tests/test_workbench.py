"""The order of things when a part of it breaks: what is not whole never looks whole."""

import json
import os
from pathlib import Path

import pytest

import hxbench as hx
from hxbench import cli
from hxbench.errors import InputError
from hxbench.plan.layers import resolve
from hxbench.render import notebooks, publish
from tests import servers
from tests.servers import Behaviour, Server

BROKEN = {
    "nbformat": 4, "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}},
    "cells": [
        {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "source": 'run_dir = ""',
         "outputs": [], "execution_count": None},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": "raise ValueError('no')",
         "outputs": [], "execution_count": None},
    ],
}  # fmt: skip


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with Server(Behaviour(chat=servers.conforming)) as server:
        arguments = ["--url", server.url, "--model", "m", "--requests", "4", "--warmup", "0s", "--out", "run"]
        assert 0 == cli.run_command(["run", *arguments, "--set", "objectives.ttft.p50=5 s"])
    return tmp_path / "run"


def test_a_broken_notebook_makes_the_run_incomplete(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (recorded.parent / "broken.ipynb").write_text(json.dumps(BROKEN))
    monkeypatch.setattr(publish, "NOTEBOOKS", ("broken",))
    monkeypatch.setattr(notebooks, "shipped", lambda _, name: recorded.parent / name)
    assert 4 == cli.run_command(["render", str(recorded)])
    certificate = json.loads((recorded / "certificate.json").read_text())
    assert "INCOMPLETE" == certificate["status"]
    assert "ValueError: no" in certificate["status_reason"]
    assert "INCOMPLETE" in (recorded / "broken.html").read_text()
    assert "INCOMPLETE" in (recorded / "certificate.html").read_text()
    assert "INCOMPLETE" in capfd.readouterr().out


def test_a_run_without_all_its_tables_is_not_judged(
    recorded: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (recorded / "records" / "reads.parquet").unlink()
    assert 4 == cli.run_command(["judge", str(recorded)])
    assert "reads.parquet" in capfd.readouterr().err
    assert not (recorded / "certificate.json").exists()


def test_a_run_that_never_sent_a_request_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in ("records", "journal"):
        (tmp_path / "run" / folder).mkdir(parents=True)
    assert 4 == cli.run_command(["show", str(tmp_path / "run")])
    assert "ended before its first request" in capfd.readouterr().err


def test_a_disk_that_fails_while_opening_is_named(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(recorded))

    monkeypatch.setattr("hxbench.workbench.write_json", full)
    assert 4 == cli.run_command(["judge", str(recorded)])


def test_a_profile_without_objectives_has_nothing_to_certify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text("name: bare\ntarget: {server: 'http://127.0.0.1:9', model: m}\n")
    assert 2 == cli.run_command(["certify", "p.yaml"])
    assert "hxbench init --from-run DIR" in capfd.readouterr().err


def test_what_is_opened_can_be_asked_for_its_parts(recorded: Path) -> None:
    run = hx.open(recorded)
    assert "_repr_mimebundle_" in dir(run.result())
    assert {"ttft_s"} <= set(run.frames.ttft().columns)
    assert os.fspath(recorded) == os.fspath(run.path)


def test_a_profile_that_is_resolved_takes_nothing_over_it(tmp_path: Path) -> None:
    resolved = resolve("smollm2-135m")
    with pytest.raises(InputError, match=r"^load\.users: has no place beside a profile that is resolved"):
        hx.run(resolved, tmp_path / "run", load__users=3)
    assert not (tmp_path / "run").exists()
