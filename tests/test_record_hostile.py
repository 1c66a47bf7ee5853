"""The load worker where things go wrong around it: dead connections, early answers, full disks, stops."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hxbench.records.journal import Kind, Reader
from tests import loads, servers
from tests.loads import SECOND, closed, drive, plan, wait_until
from tests.servers import CLOSE, END, RESET, STREAM_HEAD, Behaviour, Request, Server, chunk, delta, event


def arrivals(folder: Path, url: str, *due: float, **changed: Any) -> dict[str, Any]:
    window = {"users": None, "measure_ns": round((max(due) + 0.01) * SECOND)}
    return plan(folder, url, [("measure", each) for each in due], **(window | changed))


def closing(_: Request) -> Iterator[Any]:
    yield from servers.stream(2)
    yield CLOSE


def test_a_connection_that_dies_while_idle_costs_nothing(tmp_path: Path) -> None:
    with Server(Behaviour(chat=closing)) as server:
        outcome = drive(tmp_path, arrivals(tmp_path, server.url, 0.1, 0.8, 0.9, 1.0))
    assert [("ok", 1)] * 4 == [(row["outcome"], row["attempt"]) for row in outcome.requests]
    assert 4 == sum(row["connected_ns"] is not None for row in outcome.requests)


def test_a_connection_closed_after_a_long_rest_says_nothing_about_the_others(tmp_path: Path) -> None:
    rested: list[int] = []

    def rest(_: Request) -> Iterator[Any]:
        rested.append(1)
        yield from servers.stream(2)
        if len(rested) == 1:
            yield 1.1
            yield CLOSE

    with Server(Behaviour(chat=rest)) as server:
        outcome = drive(tmp_path, arrivals(tmp_path, server.url, 0.05, 2.0, 2.6))
    assert [True, True, False] == [row["connected_ns"] is not None for row in outcome.requests]


def test_a_connection_that_died_while_the_generator_stood_still_costs_one_attempt(tmp_path: Path) -> None:
    answered, stands, reset = (threading.Event() for _ in range(3))

    def reset_later(_: Request) -> Iterator[Any]:
        yield from servers.stream(2)
        answered.set()
        stands.wait(loads.PATIENCE_S)
        reset.set()
        yield RESET

    with Server(Behaviour(chat=reset_later)) as server:
        made = arrivals(tmp_path, server.url, 0.05, 1.5)
        worker = loads.start(tmp_path, made)
        start_ns = time.monotonic_ns()
        worker.tell(f"start {start_ns}")
        assert answered.wait(loads.PATIENCE_S)
        time.sleep(0.5)  # for the worker to read the answer
        os.kill(worker.pid, signal.SIGSTOP)
        stands.set()
        assert reset.wait(loads.PATIENCE_S)
        time.sleep(max(0.1, (start_ns - time.monotonic_ns()) / SECOND + 1.6))  # till the second is due
        os.kill(worker.pid, signal.SIGCONT)
        assert {"event": "finished"} == worker.event(loads.PATIENCE_S)
        worker.stop()
    rows = loads.decode(tmp_path, made, 0).requests
    assert [("ok", 1), ("ok", 2)] == [(row["outcome"], row["attempt"]) for row in rows]


@pytest.mark.parametrize(
    "made", [lambda folder, url: plan(folder, url, closed(2)), lambda f, u: arrivals(f, u, 0.1)]
)
def test_an_address_nobody_can_connect_to_fails_in_connect(tmp_path: Path, made: Any) -> None:
    outcome = drive(tmp_path, made(tmp_path, "http://255.255.255.255:9"))
    assert {("failed", "connect")} == {(row["outcome"], row["error_phase"]) for row in outcome.requests}
    assert all(row["error"].startswith("connect: ") for row in outcome.requests)


def test_a_connection_still_being_made_when_its_request_is_due_counts_as_its_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        limits = {"total": SECOND // 5, "first_token": SECOND, "stall": SECOND}
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        rows = drive(tmp_path, arrivals(tmp_path, url, 0.2, 0.4, 0.6, limits=limits)).requests
        for each in waiting:
            each.close()
    assert {("connect", "time limit: not done within 200 ms")} == {
        (row["error_phase"], row["error"]) for row in rows
    }
    # Ahead of its time, unless the generator stood still just then.
    assert any(row["connect_start_ns"] < row["due_ns"] <= row["dispatched_ns"] for row in rows)


def test_a_stop_leaves_what_was_not_due_yet_cancelled_and_the_rest_unfinished(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(10_000, gap_s=0.05))) as server:
        made = arrivals(tmp_path, server.url, 0.05, 0.1, 99, 99, 99)
        worker = loads.start(tmp_path, made)
        start_ns = time.monotonic_ns()
        worker.tell(f"start {start_ns}")
        wait_until(lambda: len(server.chats) >= 2, "the first two were not sent")
        worker.stop(loads.PATIENCE_S)
        assert 2 == len(server.chats)
    outcome = loads.decode(tmp_path, made, start_ns)
    assert ["unfinished"] * 2 + ["cancelled"] * 3 == [
        row["outcome"] for row in sorted(outcome.requests, key=lambda row: row["request_id"])
    ]
    assert {None} == {row["dispatched_ns"] for row in outcome.requests if row["outcome"] == "cancelled"}


@pytest.mark.parametrize("users", [2, None])
def test_a_stop_before_the_start_cancels_everything(tmp_path: Path, users: int | None) -> None:
    with Server() as server:
        due = None if users else 0.1
        made = plan(tmp_path, server.url, [("measure", due)] * 3, users=users, measure_ns=SECOND)
        loads.start(tmp_path, made).stop(loads.PATIENCE_S)
        assert [] == server.chats
    assert ["cancelled"] * 3 == [row["outcome"] for row in loads.decode(tmp_path, made, 0).requests]


def test_a_stop_between_start_and_first_request_sends_none(tmp_path: Path) -> None:
    with Server() as server:
        made = plan(tmp_path, server.url, closed(3), warmup_ns=SECOND)
        worker = loads.start(tmp_path, made)
        worker.tell(f"start {time.monotonic_ns() + 100 * SECOND}")
        time.sleep(0.1)
        worker.stop(loads.PATIENCE_S)
        assert [] == server.chats


def test_an_open_loop_warms_up_and_drains(tmp_path: Path) -> None:
    rows = [("warmup", 0.05), ("warmup", 0.1), ("measure", 0.2), ("measure", 0.25)]
    with Server(Behaviour(chat=lambda _: servers.stream(2, first_s=0.2))) as server:
        made = plan(tmp_path, server.url, rows, users=None, warmup_ns=SECOND // 5, measure_ns=SECOND // 10)
        outcome = drive(tmp_path, made)
    assert outcome.decoder is not None
    phases = outcome.decoder.phases
    assert ["warmup", "measure", "drain"] == list(phases)
    edges = [edge or 0 for phase in phases.values() for edge in phase]
    assert sorted(edges) == edges
    done = max(row["done_ns"] for row in outcome.requests)
    assert 0 <= edges[-1] - done < SECOND  # nothing is waited for behind the last answer
    assert ["ok"] * 4 == [row["outcome"] for row in outcome.requests]


def test_a_request_larger_than_the_systems_buffers_is_sent_piece_by_piece(tmp_path: Path) -> None:
    def slow(request: Request) -> Iterator[Any]:
        yield from servers.stream(1)

    with Server(Behaviour(chat=slow)) as server:
        made = plan(tmp_path, server.url, closed(1), extra_body={"padding": "y" * 20_000_000})
        row = drive(tmp_path, made).only
        assert 20_000_000 == len(server.chats[0].document["padding"])
    assert "ok" == row["outcome"]
    assert row["sent_ns"] > row["dispatched_ns"]


def many_answers(_: Request) -> list[Any]:
    """A whole answer with a hundred more behind it in the same breath."""
    answer = b"".join(each for each in servers.stream(1) if isinstance(each, bytes))
    return [answer * 100]


def test_answers_nobody_asked_for_fail_the_request_and_close_the_connection(tmp_path: Path) -> None:
    with Server(Behaviour(chat=many_answers)) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(2)))
    assert ["failed", "failed"] == [row["outcome"] for row in outcome.requests]
    assert all("bytes after the response's end" in row["error"] for row in outcome.requests)


def endless(_: Request) -> Iterator[Any]:
    yield STREAM_HEAD + event(delta("a"))
    while True:
        yield chunk(b": " + b"x" * 60_000 + b"\n\n")


def test_an_endless_answer_ends_at_the_limit_and_its_memory_with_it(tmp_path: Path) -> None:
    with Server(Behaviour(chat=endless)) as server:
        row = drive(tmp_path, plan(tmp_path, server.url, closed(1))).only
    assert ("failed", "mid_stream", "response longer than 67108864 bytes") == (
        row["outcome"],
        row["error_phase"],
        row["error"],
    )
    assert row["bytes"] < 68_000_000


def test_a_worker_survives_everything_a_hostile_server_sends(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    wild = iter(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n" * 2500,
            head + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 500 + b"\r\n",
            head + b"X: y\r\n" * 2000 + b"\r\n",
            b"\x00" * 70_000,
            head + b'\r\ndata: {"usage": {"completion_tokens": ' + b"9" * 40 + b"}}\n\n",
            head + b'\r\ndata: {"choices": [{"finish_reason": "\\ud800"}]}\n\n',
            head + b"\r\ndata: " + b"[" * 60_000 + b"\n\n",
        ]
    )
    with Server(Behaviour(chat=lambda _: [next(wild), 0.02, CLOSE])) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(8)))
    assert {"event": "finished"} == outcome.said
    assert ["failed"] * 8 == [row["outcome"] for row in outcome.requests]


def test_a_disk_that_fills_up_under_the_load_is_said_and_what_was_written_is_readable(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(4))) as server:
        made = plan(tmp_path, server.url, closed(5000))
        worker = loads.start(tmp_path, made)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
        worker.tell(f"start {time.monotonic_ns()}")
        said = worker.event(loads.PATIENCE_S)
        worker.stop()
    assert {
        "event": "failed",
        "reason": f"load worker: {made['journal']}: cannot be written: File too large",
    } == said
    assert 1 == worker.status
    outcome = loads.decode(tmp_path, made, 0)
    assert {"ok", "unfinished"} >= {row["outcome"] for row in outcome.requests}
    assert len(outcome.requests) > 5


def test_descriptors_that_run_out_are_not_the_servers_failure(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(2, first_s=1.0))) as server:
        made = plan(tmp_path, server.url, closed(100), users=50)
        worker = loads.start(tmp_path, made)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (20, 20))
        worker.tell(f"start {time.monotonic_ns()}")
        said = worker.event(loads.PATIENCE_S)
        worker.stop()
    assert {
        "event": "failed",
        "reason": "load worker: no connection could be opened: Too many open files",
    } == said
    assert {"unfinished"} == {row["outcome"] for row in loads.decode(tmp_path, made, 0).requests}


KEY = "canary/key+42"


def test_a_key_that_is_echoed_is_not_even_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def echo(request: Request) -> Iterator[Any]:
        key = request.headers["authorization"].encode()
        yield STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nX-Echo: " + key + b"\r\n\r\n")
        yield chunk(b"data: " + json.dumps(delta(request.headers["x-key"], "stop")).encode() + b"\n\n") + END

    monkeypatch.setenv("A_KEY", KEY)
    with Server(Behaviour(chat=echo)) as server:
        made = plan(tmp_path, server.url, closed(1), api_key_env="A_KEY", headers_env={"X-Key": "A_KEY"})
        outcome = drive(tmp_path, made)
    assert ("ok", len(KEY)) == (outcome.only["outcome"], outcome.reads[0]["characters"])
    assert KEY.encode() not in Path(made["journal"]).read_bytes()


def test_a_key_in_a_broken_head_is_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    with Server(Behaviour(chat=lambda r: [f"{r.headers['authorization']}\r\n\r\n".encode()])) as server:
        made = plan(tmp_path, server.url, closed(1), api_key_env="A_KEY")
        row = drive(tmp_path, made).only
    assert f"not an HTTP/1.1 answer: 'Bearer {'x' * len(KEY)}'" == row["error"]
    assert KEY.encode() not in Path(made["journal"]).read_bytes()


def test_a_worker_that_waits_uses_next_to_no_processor_time(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(2, first_s=60.0))) as server:
        made = plan(tmp_path, server.url, closed(4), users=4)
        worker = loads.start(tmp_path, made)
        worker.tell(f"start {time.monotonic_ns()}")
        wait_until(lambda: len(server.chats) == 4, "four users did not ask")
        time.sleep(0.2)
        process = psutil.Process(worker.pid)
        before = process.cpu_times()
        time.sleep(0.6)
        after = process.cpu_times()
        worker.stop(loads.PATIENCE_S)
    assert after.user + after.system - before.user - before.system <= 0.02


def test_a_worker_ends_as_soon_as_its_last_answer_has(tmp_path: Path) -> None:
    with Server() as server:
        made = plan(tmp_path, server.url, closed(3))
        drive(tmp_path, made)
    entries = list(Reader(Path(made["journal"])).entries())
    last = max(entry.time_ns for entry in entries if entry.kind == Kind.END)
    assert entries[-1].kind == Kind.FINISHED
    assert entries[-1].time_ns - last < SECOND


def test_many_requests_leave_no_memory_behind(tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(1))) as server:
        made = plan(tmp_path, server.url, closed(4000))
        worker = loads.start(tmp_path, made)
        worker.tell(f"start {time.monotonic_ns()}")
        wait_until(lambda: len(server.chats) >= 500, "500 were not asked")
        before = psutil.Process(worker.pid).memory_info().rss
        wait_until(lambda: len(server.chats) >= 3500, "3500 were not asked")
        after = psutil.Process(worker.pid).memory_info().rss
        worker.stop()
    assert after - before < 3_000_000  # the journal's buffer is flushed at 1 MiB


def test_a_worker_imports_the_standard_library_only() -> None:
    code = "import sys, hxbench.record.worker; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set() == set(done.stdout.split()) & {
        "numpy", "pandas", "pyarrow", "pydantic", "yaml", "httpx", "psutil", "click", "scipy", "plotly",
    }  # fmt: skip
