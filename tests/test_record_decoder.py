"""The decoder program: follows growing journals, tells how far it is, and leaves whole tables or none."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hxbench.record import decoder
from hxbench.record.children import Child
from hxbench.records import tables
from hxbench.records.journal import Kind, Writer
from hxbench.records.schemas import CLOCK, PHASES, REQUESTS, SCHEDULE, TABLES, TARGET
from hxbench.wire.dialects import answers
from tests.loads import PATIENCE_S, await_gone
from tests.servers import DONE, END, STREAM_HEAD, delta, event, plain, usage

MS = 1_000_000
CHAT = answers("openai-chat", stream=True)
ANSWER = STREAM_HEAD + event(delta("a")) + event(delta(None, "stop")) + event(usage(9, 1)) + DONE + END
SECRET = "canary/key+42"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of two trials with three requests each, before its first one."""
    for name in ("records", "journal"):
        (tmp_path / name).mkdir()
    rows = [
        (f"t{trial}-{n}", trial, TARGET, "measure", "main", None, "c", 0, None, "p", "short", 4, 1)
        for trial in (1, 2)
        for n in range(3)
    ]
    tables.write(tmp_path / "records" / "schedule.parquet", SCHEDULE, rows)
    return tmp_path


def journal(run_dir: Path, trial: int, *numbers: int, body: bytes = ANSWER, ended: bool = True) -> Writer:
    """What a worker writes of these requests."""
    writer = Writer(run_dir / "journal" / f"t{trial}-w0.journal")
    writer.add(Kind.CLOCK, 100, trial, kernel_ns=trial + 5)
    writer.add(Kind.PHASE, 1, trial, b"measure")
    for number in numbers:
        start = number * 100 * MS
        writer.add(Kind.DISPATCH, number, start)
        writer.add(Kind.READ, number, start + 20 * MS, body)
        if ended:
            writer.add(Kind.END, number, start + 30 * MS)
    writer.flush()
    return writer


def finished(writer: Writer) -> None:
    writer.add(Kind.FINISHED, 0, 10_000 * MS)
    writer.close()


def start(run_dir: Path, **options: Any) -> Child:
    given = {"protocol": "openai-chat", "stream": True, "hash_text": False, "secret_names": []} | options
    return Child("hxbench.record.decoder", [str(run_dir), json.dumps(given)], subprocess.DEVNULL)


def requests(run_dir: Path) -> pd.DataFrame:
    return tables.read(run_dir / "records" / "requests.parquet", REQUESTS)


def progress(child: Child, until: str, value: object) -> dict[str, Any]:
    """The first progress in which a figure has this value."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        said = child.event(PATIENCE_S)
        assert said is not None
        if said.get(until) == value:
            return said
    raise AssertionError(f"never said {until} {value}; last {said}")


def told(run_dir: Path) -> dict[str, Any]:
    """What the decoder says of the journals as they are."""
    decoded = decoder.Tables(run_dir, CHAT, hash_text=False, secrets=(SECRET,))
    decoded.follow()
    said = decoded.progress()
    decoded.close()
    return said


def test_progress_says_where_in_the_load_a_run_is(run_dir: Path) -> None:
    writer = Writer(run_dir / "journal" / "t1-w0.journal")
    writer.add(Kind.CLOCK, 100, 1000 * MS, kernel_ns=1)
    writer.flush()
    assert (1, None, 0.0) == at(told(run_dir))
    writer.add(Kind.PHASE, 1, 2000 * MS, b"warmup")
    writer.add(Kind.CLOCK, 100, 3500 * MS, kernel_ns=1)
    writer.flush()
    assert (1, "warmup", 1.5) == at(told(run_dir))
    writer.add(Kind.PHASE, 0, 4000 * MS, b"warmup")
    writer.add(Kind.PHASE, 1, 4000 * MS, b"measure calm")
    writer.flush()
    assert (1, "measure calm", 2.0) == at(told(run_dir))
    finished(writer)
    assert (1, "ended", 8.0) == at(told(run_dir))
    journal(run_dir, 2, 3)
    assert (2, "measure") == at(told(run_dir))[:2]


def at(said: dict[str, Any]) -> tuple[int, str, float]:
    return said["trial"], said["phase"], said["elapsed_s"]


def test_progress_before_any_journal_knows_nothing(run_dir: Path) -> None:
    said = told(run_dir)
    assert (None, None, 0, None) == (said["trial"], said["phase"], said["in_flight"], said["ttft_p50_s"])


def test_the_rates_are_those_of_the_last_seconds_and_count_tokens_as_they_come(run_dir: Path) -> None:
    decoded = decoder.Tables(run_dir, CHAT, hash_text=False, secrets=())
    writer = Writer(run_dir / "journal" / "t1-w0.journal")
    rates = []
    for second in range(9):
        if second in (1, 2, 6):
            number = {1: 0, 2: 1, 6: 2}[second]
            writer.add(Kind.DISPATCH, number, second * 1000 * MS)
            writer.add(Kind.READ, number, second * 1000 * MS, ANSWER if second < 6 else ANSWER[:-60])
            if second < 6:
                writer.add(Kind.END, number, second * 1000 * MS)
        writer.add(Kind.CLOCK, 100, second * 1000 * MS, kernel_ns=1)
        writer.flush()
        decoded.follow()
        said = decoded.progress()
        rates.append((said["requests_per_s"], said["tokens_per_s"]))
    writer.close()
    decoded.close()
    assert (None, None) == rates[0]
    assert (1.0, 1.0) == rates[1]
    assert (2 / 5, 2 / 5) == rates[5]
    assert (0.0, 1 / 5) == rates[8]  # the third one's token is there, its answer is not whole


def test_the_quantiles_are_those_of_the_measured_answers_of_this_trial(run_dir: Path) -> None:
    writer = journal(run_dir, 1, 0)  # before what is measured: 20 ms
    writer.add(Kind.PHASE, 1, 150 * MS, b"warmup")
    writer.close()
    writer = Writer(run_dir / "journal" / "t2-w0.journal")
    writer.add(Kind.PHASE, 1, 200 * MS, b"measure")
    for number, first_ms in ((3, 30), (4, 50)):
        writer.add(Kind.DISPATCH, number, 300 * MS)
        writer.add(Kind.READ, number, (300 + first_ms) * MS, ANSWER)
        writer.add(Kind.END, number, 400 * MS)
    writer.close()
    said = told(run_dir)
    assert (0.03, 0.05, 2, 3) == (said["ttft_p50_s"], said["ttft_p95_s"], said["measured"], said["ok"])
    assert 0.03 == said["ttft_recent_s"]  # of all three: 20, 30 and 50 ms


def test_the_last_error_is_told_without_secrets(run_dir: Path) -> None:
    writer = journal(run_dir, 1, 0, body=plain(500, f"no {SECRET} {'x' * 500}"))
    writer.close()
    said = told(run_dir)
    assert (1, "HTTP 500: no [redacted] xxx") == (said["failed"], said["last_error"][:27])
    assert 120 == len(said["last_error"])


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "records").iterdir())


WHOLE = ["clock.parquet", "phases.parquet", "reads.parquet", "requests.parquet", "schedule.parquet"]


def test_a_growing_journal_is_followed_and_the_tables_come_at_the_end(run_dir: Path) -> None:
    child = start(run_dir)
    writer = journal(run_dir, 1, 0, 1)
    said = progress(child, "ok", 2)
    assert (2, 0, 0, 0.02) == (said["tokens"], said["failed"], said["in_flight"], said["ttft_p50_s"])
    assert "requests.parquet" not in names(run_dir)
    writer.add(Kind.DISPATCH, 2, 200 * MS)
    writer.flush()
    assert 1 == progress(child, "in_flight", 1)["in_flight"]
    writer.add(Kind.READ, 2, 220 * MS, plain(500, "no"))
    writer.add(Kind.END, 2, 230 * MS)
    finished(writer)
    progress(child, "failed", 1)
    child.stop(PATIENCE_S)
    assert "finished" == progress(child, "event", "finished")["event"]
    assert (0, WHOLE) == (child.status, names(run_dir))
    assert ["ok", "ok", "failed"] == requests(run_dir)["outcome"].tolist()
    followed = {name: tables.read(run_dir / "records" / name, TABLES[name[:-8]]) for name in WHOLE}
    assert 2 == len(followed["reads.parquet"])
    decoder.finish(run_dir, CHAT, hash_text=False, secrets=())
    for name, frame in followed.items():
        pd.testing.assert_frame_equal(frame, tables.read(run_dir / "records" / name, TABLES[name[:-8]]))


def test_what_a_worker_writes_after_the_end_was_asked_for_is_still_decoded(run_dir: Path) -> None:
    child = start(run_dir)
    writer = journal(run_dir, 1, 0)
    progress(child, "ok", 1)
    child.tell("stop")
    child._stdin.close()
    time.sleep(0.3)
    writer.add(Kind.DISPATCH, 1, 200 * MS)
    writer.add(Kind.READ, 1, 220 * MS, ANSWER)
    writer.add(Kind.END, 1, 230 * MS)
    finished(writer)
    child.stop(PATIENCE_S)
    assert ["ok", "ok", "cancelled"] == requests(run_dir)["outcome"].tolist()


def test_trials_have_their_own_journals_phases_and_rows(run_dir: Path) -> None:
    child = start(run_dir)
    for trial, numbers in ((1, (0, 1, 2)), (2, (3, 4, 5))):
        finished(journal(run_dir, trial, *numbers))
    progress(child, "ok", 6)
    child.stop(PATIENCE_S)
    assert [1, 1, 1, 2, 2, 2] == requests(run_dir)["trial"].tolist()
    phases = tables.read(run_dir / "records" / "phases.parquet", PHASES)
    assert [(1, 1), (2, 2)] == list(zip(phases["trial"], phases["start_ns"], strict=True))
    clock = tables.read(run_dir / "records" / "clock.parquet", CLOCK)
    assert [(1, 6, 100), (2, 7, 100)] == [tuple(row) for row in clock.itertuples(index=False)]


def test_a_run_without_any_request_has_empty_tables(run_dir: Path) -> None:
    child = start(run_dir)
    assert child.event(PATIENCE_S) is not None
    child.stop(PATIENCE_S)
    assert (0, WHOLE) == (len(requests(run_dir)), names(run_dir))


def test_a_killed_decoder_leaves_nothing_whole_and_the_journal_is_enough(run_dir: Path) -> None:
    child = start(run_dir)
    finished(journal(run_dir, 1, 0, 1))
    progress(child, "ok", 2)
    os.kill(child.pid, signal.SIGKILL)
    child.stop()
    assert "requests.parquet" not in names(run_dir)
    decoder.finish(run_dir, CHAT, hash_text=False, secrets=())
    assert WHOLE == names(run_dir)
    after_kill = requests(run_dir)
    decoder.finish(run_dir, CHAT, hash_text=False, secrets=())
    pd.testing.assert_frame_equal(after_kill, requests(run_dir))
    assert ["ok", "ok", "cancelled"] == after_kill["outcome"].tolist()


def test_keys_are_taken_out_of_errors(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    child = start(run_dir, secret_names=["A_KEY"])
    finished(journal(run_dir, 1, 0, body=plain(401, f"bad key {SECRET}")))
    progress(child, "failed", 1)
    child.stop(PATIENCE_S)
    assert "HTTP 401: bad key [redacted]" == requests(run_dir)["error"][0]


def test_a_folder_that_cannot_be_written_is_said(run_dir: Path) -> None:
    (run_dir / "records" / "schedule.parquet").unlink()
    (run_dir / "records").rmdir()
    child = start(run_dir)
    said = child.event(PATIENCE_S)
    child.stop(PATIENCE_S)
    assert said is not None
    assert ("failed", 1) == (said["event"], child.status)
    assert "No such file or directory" in said["reason"]


def test_a_missing_schedule_is_said(run_dir: Path) -> None:
    (run_dir / "records" / "schedule.parquet").unlink()
    journal(run_dir, 1, 0).close()
    child = start(run_dir)
    said = progress(child, "event", "failed")
    child.stop(PATIENCE_S)
    assert "schedule.parquet" in said["reason"]


PARENT = """
import sys
from hxbench.record.children import Child
with open(sys.argv[3], "wb") as log:
    child = Child("hxbench.record.decoder", [sys.argv[1], sys.argv[2]], log)
print(child.pid, flush=True)
child.event(100)
print("following", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def orphan(run_dir: Path) -> int:
    """The process id of a decoder whose parent has just been killed."""
    options = json.dumps({"protocol": "openai-chat", "stream": True, "hash_text": False, "secret_names": []})
    command = [sys.executable, "-c", PARENT, str(run_dir), options, str(run_dir / "log.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert "following\n" == parent.stdout.readline()
        finished(journal(run_dir, 1, 0))
        parent.kill()
    return pid


def test_an_orphaned_decoder_ends_and_leaves_the_tables_to_whoever_opens_the_run(
    run_dir: Path, orphan: int
) -> None:
    decoder.finish(run_dir, CHAT, hash_text=False, secrets=())
    await_gone(orphan)
    assert WHOLE == names(run_dir)
    assert "ok" == requests(run_dir)["outcome"][0]
    assert "" == (run_dir / "log.txt").read_text()


def shared(run_dir: Path, worker: int, number: int, measured_ms: tuple[int, int], *, ends: bool) -> None:
    """What one of several workers of trial 1 writes that sends one of its three requests."""
    writer = Writer(run_dir / "journal" / f"t1-w{worker}.journal")
    begin, end = (time_ms * MS for time_ms in measured_ms)
    writer.add(Kind.PHASE, 1, begin, b"measure")
    writer.add(Kind.DISPATCH, number, begin + MS)
    writer.add(Kind.READ, number, begin + 2 * MS, ANSWER)
    writer.add(Kind.END, number, begin + 2 * MS)
    writer.add(Kind.PHASE, 0, end, b"measure")
    writer.add(Kind.PHASE, 1, end, b"drain")
    if ends:
        writer.add(Kind.PHASE, 0, end + MS, b"drain")
        writer.add(Kind.FINISHED, 0, end + MS)
    writer.close()


def test_the_journals_of_several_workers_are_one_trial(run_dir: Path) -> None:
    shared(run_dir, 0, 0, (10, 500), ends=True)
    shared(run_dir, 1, 2, (9, 400), ends=True)
    decoder.finish(run_dir, CHAT, hash_text=False, secrets=())
    found = requests(run_dir)
    assert [("t1-0", 0, "ok"), ("t1-1", 0, "cancelled"), ("t1-2", 1, "ok")] == sorted(
        found[["request_id", "worker", "outcome"]].itertuples(index=False, name=None)
    )
    phases = tables.read(run_dir / "records" / "phases.parquet", PHASES)
    assert [("measure", 9 * MS, 500 * MS), ("drain", 400 * MS, 501 * MS)] == list(
        phases[["phase", "start_ns", "end_ns"]].itertuples(index=False, name=None)
    )


def test_where_one_of_several_workers_was_killed_nothing_is_called_cancelled(run_dir: Path) -> None:
    shared(run_dir, 0, 0, (10, 500), ends=True)
    shared(run_dir, 1, 2, (9, 400), ends=False)
    decoder.finish(run_dir, CHAT, hash_text=False, secrets=())
    assert {"t1-0": "ok", "t1-2": "ok"} == requests(run_dir).set_index("request_id")["outcome"].to_dict()
    phases = tables.read(run_dir / "records" / "phases.parquet", PHASES).set_index("phase")["end_ns"]
    assert (500 * MS, True) == (phases["measure"], pd.isna(phases["drain"]))
