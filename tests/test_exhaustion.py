"""Disk full, no descriptors left, the folder gone: a clear line, exit 4, and what was whole stays."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hxbench as hx
from tests import servers
from tests.loads import await_load
from tests.servers import Behaviour, Server


@pytest.fixture
def good() -> Iterator[Server]:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.02, 0.005))) as server:
        yield server


def start(
    folder: Path, url: str, *flags: str, limit: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    arguments = [
        "run",
        "--url",
        url,
        "--model",
        "m",
        "--max-tokens",
        "4",
        "--warmup",
        "0s",
        "--out",
        "run",
        *flags,
    ]
    command = [sys.executable, "-m", "hxbench.cli", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limit
    )


def last_line(process: subprocess.Popen[str], status: int) -> str:
    _, said = process.communicate(timeout=300)
    assert status == process.returncode, said
    assert "Traceback" not in said
    return said.splitlines()[-1]


def test_files_that_can_grow_no_more_end_the_run_with_what_was_written(
    tmp_path: Path, good: Server, report_case: Callable[[str], None]
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    line = last_line(start(tmp_path, good.url, "--users", "8", "--duration", "30s", limit=limit), 4)
    run = hx.open(tmp_path / "run")
    report_case(f"files limited to 500 kB: exit 4, {len(run.requests)} requests kept: {line[-90:]}")
    assert "File too large" in line
    assert "INCOMPLETE" == run.certificate["status"]
    assert 20 < (run.requests["outcome"] == "ok").sum() < len(good.chats)


def test_a_killed_run_on_a_full_disk_says_so_and_stays_as_it_is(tmp_path: Path, good: Server) -> None:
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    keep = ("--set", "keep.text=full", "--requests", "5")
    start(tmp_path, good.url, *keep).communicate(timeout=300)
    (tmp_path / "run" / "records" / "requests.parquet").unlink()
    command = [sys.executable, "-m", "hxbench.cli", "show", "run"]
    full = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=small_files_only
    )
    assert (
        "hxbench: run: could not be put together from its journal: File too large; "
        "make room, or copy it elsewhere" == full.stderr.splitlines()[0]
    )
    assert "ParquetWriter" not in full.stderr  # what comes below, under coverage, is coverage's own file
    assert (4, "") == (full.returncode, full.stdout)
    assert 5 == (hx.open(tmp_path / "run").requests["outcome"] == "ok").sum()


def test_descriptors_that_run_out_are_the_generators_fault_not_the_servers(
    tmp_path: Path, good: Server, report_case: Callable[[str], None]
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    flags = ["--users", "200", "--requests", "1000"]
    line = last_line(start(tmp_path, good.url, *flags, limit=limit), 4)
    run = hx.open(tmp_path / "run")
    report_case(f"64 descriptors for 200 users: exit 4: {line[-90:]}")
    assert "Too many open files" in line
    assert "INCOMPLETE" == run.certificate["status"]
    assert not run.requests["error"].dropna().str.contains("open files").any()


def test_a_folder_that_goes_away_ends_the_run(
    tmp_path: Path, good: Server, report_case: Callable[[str], None]
) -> None:
    process = start(tmp_path, good.url, "--users", "2", "--duration", "3s")
    await_load(good, 5, process)
    shutil.rmtree(tmp_path / "run")
    line = last_line(process, 4)
    report_case(f"folder removed: exit 4: {line[-90:]}")
    assert "No such file or directory" in line
    assert not (tmp_path / "run").exists()
