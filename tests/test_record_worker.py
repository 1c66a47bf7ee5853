"""The load worker against real servers, good and bad: what it sends, when, and what it makes of answers."""

import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hxbench.record.children import Child
from tests import loads, servers
from tests.loads import SECOND, closed, drive, plan, wait_until
from tests.servers import (
    CLOSE,
    DONE,
    END,
    RESET,
    STREAM_HEAD,
    Behaviour,
    Request,
    Server,
    chunk,
    delta,
    event,
)


def serving(script: servers.Script) -> Server:
    return Server(Behaviour(chat=script))


def run_one(folder: Path, script: servers.Script, **changed: Any) -> dict[str, Any]:
    with serving(script) as server:
        return drive(folder, plan(folder, server.url, closed(1), **changed)).only


def test_a_good_answer_has_all_its_stamps_in_order(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(4, first_s=0.5, gap_s=0.02)) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(1)))
    row = outcome.only
    stamps = [
        "dispatched",
        "connect_start",
        "connected",
        "sent",
        "first_byte",
        "first_token",
        "last_token",
        "done",
    ]
    times = [row[f"{name}_ns"] for name in stamps]
    assert sorted(times) == times
    assert ("ok", "stop", 9, 4, "usage", 4) == tuple(
        row[key]
        for key in ("outcome", "finish_reason", "prompt_tokens", "output_tokens", "token_source", "deltas")
    )
    assert list(range(row["reads"])) == [read["index"] for read in outcome.reads]
    assert 4 == sum(read["deltas"] for read in outcome.reads)  # a busy machine reads two at once
    assert row["first_token_ns"] - row["first_byte_ns"] >= 400_000_000


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="only Linux stamps received segments")
def test_on_linux_the_kernel_stamps_every_read(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(4, gap_s=0.02)) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(1)))
    assert "kernel" == outcome.only["stamp"]
    assert all(read["segments"] >= 1 for read in outcome.reads)


def test_the_request_carries_id_salt_and_limits(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream()) as server:
        drive(tmp_path, plan(tmp_path, server.url, closed(2)))
        first, second = server.chats
    assert ["r0", "r1"] == [first.headers["x-request-id"], second.headers["x-request-id"]]
    prompts = [request.document["messages"][0]["content"] for request in (first, second)]
    assert len(set(prompts)) == 2
    assert all(prompt.endswith("] Say something.") for prompt in prompts)
    assert (4, True) == (first.document["max_tokens"], first.document["stream_options"]["include_usage"])


def test_a_key_is_read_in_the_worker_and_sent_as_bearer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "canary-key")
    with serving(lambda _: servers.stream()) as server:
        made = plan(tmp_path, server.url, closed(1), api_key_env="A_KEY", headers_env={"X-Org": "A_KEY"})
        drive(tmp_path, made)
        (request,) = server.chats
    assert ("Bearer canary-key", "canary-key") == (request.headers["authorization"], request.headers["x-org"])
    assert "canary-key" not in (tmp_path / "plan.json").read_text()


HEAD_ONLY = STREAM_HEAD + event(delta(None, role="assistant"))


@pytest.mark.parametrize(
    ("script", "phase", "error"),
    [
        (lambda _: [CLOSE], "headers", "closed the connection"),
        (lambda _: [RESET], "headers", "reset"),
        (lambda _: [b"HTTP/1.1 200 OK\r\nContent-", CLOSE], "headers", "closed"),
        (lambda _: [b"garbage\r\n\r\n"], "headers", "not an HTTP/1.1 answer"),
        (lambda _: [servers.plain(429, "slow\ndown", extra="Retry-After: 1\r\n")],
         "headers", "HTTP 429: slow down"),
        (lambda _: [servers.plain(302, "", extra="Location: /x\r\n")], "headers", "HTTP 302"),
        (lambda _: [servers.plain(200, "{}")], "headers", "application/json, not text/event-stream"),
        (lambda _: [HEAD_ONLY, CLOSE], "before_first_token", "closed the connection"),
        (lambda _: [HEAD_ONLY + event(delta("a")), CLOSE], "mid_stream", "closed the connection"),
        (lambda _: [HEAD_ONLY + event(delta("a")), 0.05, b"zz\r\n", 5.0], "mid_stream", "not a chunk size"),
        (lambda _: [HEAD_ONLY + event(delta("a")) + END], "truncated", "without finish_reason"),
        (lambda _: [HEAD_ONLY + event({"error": {"message": "no memory"}}) + END], "in_band", "no memory"),
        (lambda _: [HEAD_ONLY + event(delta(None, "stop")) + DONE + END], "empty", "no token"),
        (lambda _: [STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), 5.0],
         "before_first_token", "content-encoding 'gzip'"),
    ],
    ids=[
        "closed at once", "reset at once", "half a head", "no HTTP", "429", "redirect", "no stream",
        "closed before a token", "closed in the stream", "broken chunk", "truncated", "error in band",
        "no token", "compressed",
    ],
)  # fmt: skip
def test_a_broken_answer_fails_with_its_phase(
    tmp_path: Path, script: servers.Script, phase: str, error: str
) -> None:
    row = run_one(tmp_path, script)
    assert ("failed", phase) == (row["outcome"], row["error_phase"])
    assert error in row["error"]


def test_a_server_that_is_not_there_fails_in_connect(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    row = drive(tmp_path, plan(tmp_path, f"http://127.0.0.1:{port}", closed(1))).only
    assert ("failed", "connect", None) == (row["outcome"], row["error_phase"], row["connected_ns"])
    assert "refused" in row["error"]


def pings() -> Iterator[Any]:
    while True:
        yield chunk(b": ping\n\n" + b"data: " + b'{"choices": [{"delta": {"content": ""}}]}\n\n')
        yield 0.05


def ping_forever(_: Request) -> Iterator[Any]:
    yield HEAD_ONLY
    yield from pings()


def stall(_: Request) -> Iterator[Any]:
    yield HEAD_ONLY + event(delta("a"))
    yield from pings()


def drip(_: Request) -> Iterator[Any]:
    yield HEAD_ONLY
    while True:
        yield event(delta("a"))
        yield 0.05


@pytest.mark.parametrize(
    ("script", "limit", "phase", "error"),
    [
        (ping_forever, "first_token", "before_first_token", "no first token within 600 ms"),
        (stall, "stall", "mid_stream", "no token for 600 ms"),
        (drip, "total", "mid_stream", "not done within 600 ms"),
        (lambda _: [10.0], "first_token", "headers", "no first token within 600 ms"),
    ],
    ids=["pings before a token", "pings after a token", "never done", "silence"],
)
def test_a_time_limit_ends_a_request_and_pings_do_not_reset_it(
    tmp_path: Path, script: servers.Script, limit: str, phase: str, error: str
) -> None:
    limits = dict.fromkeys(("total", "first_token", "stall"), 100 * SECOND)
    row = run_one(tmp_path, script, limits=limits | {limit: 6 * SECOND // 10})
    assert ("failed", phase) == (row["outcome"], row["error_phase"])
    assert f"time limit: {error}" == row["error"]


class ClosesSilently:
    """Keeps a connection for one answer, then closes it although it promised to keep it."""

    def __call__(self, request: Request) -> Iterator[Any]:
        yield from servers.stream(2)
        yield CLOSE


def test_a_dead_kept_connection_costs_one_counted_reconnect(tmp_path: Path) -> None:
    with serving(ClosesSilently()) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(20)))
    assert {"ok"} == {row["outcome"] for row in outcome.requests}
    assert sum(row["attempt"] - 1 for row in outcome.requests) <= 1


def test_a_kept_connection_is_used_again(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(2)) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(5)))
    assert 1 == sum(row["connected_ns"] is not None for row in outcome.requests)


def test_users_wait_for_their_answers(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(2, first_s=0.05)) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, closed(12), users=3))
    edges = [(row["dispatched_ns"], 1) for row in outcome.requests]
    edges += [(row["done_ns"], -1) for row in outcome.requests]
    running = peak = 0
    for _, step in sorted(edges):
        running += step
        peak = max(peak, running)
    assert 3 == peak
    assert 12 == len(outcome.requests)


def test_warm_up_and_measure_take_their_own_rows_and_the_rest_is_cancelled(tmp_path: Path) -> None:
    rows = [("warmup", None)] * 500 + [("measure", None)] * 500
    with serving(lambda _: servers.stream(1, first_s=0.01)) as server:
        made = plan(tmp_path, server.url, rows, warmup_ns=SECOND // 5, measure_ns=SECOND // 5)
        outcome = drive(tmp_path, made)
    assert outcome.decoder is not None
    warm, measured = outcome.decoder.phases["warmup"], outcome.decoder.phases["measure"]
    for row in outcome.requests:
        number = int(row["request_id"][1:])
        if row["outcome"] == "cancelled":
            assert row["dispatched_ns"] is None
        else:
            begin, end = warm if number < 500 else measured
            assert begin is not None
            assert end is not None
            assert begin <= row["dispatched_ns"] <= end + 5_000_000
    outcomes = [row["outcome"] for row in outcome.requests]
    assert 1000 == len(outcomes)
    assert 2 <= outcomes.count("ok") < 50  # at most one each 10 ms of 0.4 s; how many is the machine's


def test_an_open_loop_sends_when_due_whatever_the_server_does(tmp_path: Path) -> None:
    rows = [("measure", index * 0.02) for index in range(50)]
    with serving(lambda _: servers.stream(1, first_s=0.5)) as server:
        made = plan(tmp_path, server.url, rows, users=None, measure_ns=SECOND)
        outcome = drive(tmp_path, made)
    late = sorted(row["dispatched_ns"] - row["due_ns"] for row in outcome.requests)
    assert late[0] >= 0
    assert late[25] < 250_000_000  # who waits for an answer waits 500 ms
    assert 50 == sum(row["outcome"] == "ok" for row in outcome.requests)
    early = [row["due_ns"] - row["connect_start_ns"] for row in outcome.requests if row["connect_start_ns"]]
    assert max(early) <= 51_000_000


def test_at_most_eight_connections_are_opened_ahead(tmp_path: Path) -> None:
    rows = [("measure", due) for due in (0.2, 0.5, 0.8) for _ in range(20)]
    with serving(ClosesSilently()) as server:
        outcome = drive(tmp_path, plan(tmp_path, server.url, rows, users=None, measure_ns=SECOND))
    connected = [row for row in outcome.requests if row["connect_start_ns"]]
    ahead = Counter(row["due_ns"] for row in connected if row["connect_start_ns"] < row["due_ns"])
    assert 0 < max(ahead.values(), default=0) <= 8  # of one that stood still just then none may be
    assert 60 == sum(row["outcome"] == "ok" for row in outcome.requests)


def test_the_end_of_stdin_stops_the_load_at_once(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(10_000, gap_s=0.05)) as server:
        made = plan(tmp_path, server.url, closed(50), users=2)
        worker = loads.start(tmp_path, made)
        worker.tell(f"start {time.monotonic_ns()}")
        wait_until(lambda: len(server.chats) == 2, "two users did not ask")
        worker.stop(loads.PATIENCE_S)
        assert 0 == worker.status  # by itself, though an answer takes eight minutes
        seen = len(server.chats)
        time.sleep(0.3)
        assert seen == len(server.chats)
    outcomes = [row["outcome"] for row in loads.decode(tmp_path, made, 0).requests]
    assert (2, 48) == (outcomes.count("unfinished"), outcomes.count("cancelled"))


def test_a_killed_worker_leaves_its_journal_readable(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(2, first_s=0.01)) as server:
        made = plan(tmp_path, server.url, closed(5000))
        worker = loads.start(tmp_path, made)
        worker.tell(f"start {time.monotonic_ns()}")
        wait_until(lambda: Path(made["journal"]).stat().st_size > 20_000, "nothing was flushed")
        os.kill(worker.pid, signal.SIGKILL)
        worker.stop()
    outcome = loads.decode(tmp_path, made, 0)
    assert outcome.decoder is not None
    assert not outcome.decoder.finished
    assert {"ok", "unfinished"} >= {row["outcome"] for row in outcome.requests}
    assert len(outcome.requests) > 10


def test_a_journal_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with serving(lambda _: servers.stream(1)) as server:
        made = plan(tmp_path, server.url, closed(10))
        made["journal"] = "/dev/full"
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(made))
        worker = Child("hxbench.record.worker", [str(path)], subprocess.DEVNULL)
        said = worker.event(loads.PATIENCE_S)
        worker.stop()
    assert said is not None
    assert "failed" == said["event"]
