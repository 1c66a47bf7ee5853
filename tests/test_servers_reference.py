"""The reference server, for real: what it says, when, and whether its log tells the same."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from hxbench.errors import InputError, TargetError
from hxbench.record.sampler import parse_metrics
from hxbench.records.departures import Arrival, Departure, read
from hxbench.servers.pacing import Pace
from hxbench.servers.reference import ReferenceServer, pace, serving, start
from hxbench.wire.dialects import DIALECTS
from hxbench.wire.openai import Chat
from tests.dialects_by_hand import WAYS
from tests.loads import PATIENCE_S, await_gone, closed, drive, plan, wait_until

Serve = Callable[..., ReferenceServer]
CHAT = "/v1/chat/completions"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers that end with the test; each logs to departures.bin."""
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(serving(given, tmp_path / "departures.bin"))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PATIENCE_S, trust_env=False) as made:
        yield made


def asked(**changed: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi you"}], "max_tokens": 5, "stream": True} | changed


def entries(server: ReferenceServer) -> tuple[list[Arrival], list[Departure]]:
    """The log of a server, which is ended for it, so that it is whole."""
    server.stop()
    assert server.log is not None
    found = list(read(server.log))
    return (
        [each for each in found if isinstance(each, Arrival)],
        [each for each in found if isinstance(each, Departure)],
    )


def test_it_streams_what_an_openai_client_expects(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.005, itl=0.001)
    stream = Chat(stream=True)
    content = stream.feed(client.post(server.url + CHAT, json=asked()).content)
    assert (5, 25, "length", True) == (
        content.deltas,
        content.characters,
        stream.finish_reason,
        stream.whole,
    )
    assert (2, 5) == (stream.usage().prompt_tokens, stream.usage().output_tokens)


@pytest.mark.parametrize(("protocol", "stream"), WAYS)
def test_it_answers_in_each_dialect_streamed_or_in_one_piece(
    serve: Serve, client: httpx.Client, protocol: str, stream: bool
) -> None:
    server = serve(ttft=0.005, itl=0.001)
    dialect = DIALECTS[protocol]
    messages = [{"role": "user", "content": "Hi you"}]
    wanted = {"model": "m", "max_tokens": 5, "temperature": 0, "seed": 1, "extra": {}, "stream": stream}
    response = client.post(server.url + dialect.path, content=dialect.body(messages, **wanted))
    answer = dialect.answer(stream=stream)
    content = [answer.feed(response.content), answer.end()]
    assert (None, True, " word" * 5) == (answer.error, answer.whole, answer.text())
    assert 5 if stream else 1 == sum(each.deltas for each in content)
    assert (2, 5) == (answer.usage().prompt_tokens, answer.usage().output_tokens)
    assert response.headers["content-type"] == answer.content_type
    assert answer.finish_reason in ("length", "max_tokens")


def test_an_answer_in_one_piece_leaves_with_its_last_token(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.05, itl=0.02)
    answer = client.post(server.url + CHAT, json=asked(stream=False))
    ((arrival,), (departure,)) = entries(server)
    assert (1, len(answer.content)) == (departure.tokens, departure.bytes - _head_bytes(answer))
    assert 0.13 <= (departure.before_ns - arrival.arrived_ns) / 1e9  # 50 ms and 4 gaps of 20 ms


def _head_bytes(answer: httpx.Response) -> int:
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in answer.headers.raw]
    return len("\r\n".join(lines)) + 4


def test_it_takes_the_newer_name_of_the_limit_on_tokens(serve: Serve, client: httpx.Client) -> None:
    given = {**asked(), "max_completion_tokens": 3}
    del given["max_tokens"]
    answer = client.post(serve(ttft=0, itl=0).url + CHAT, json=given)
    assert 3 == answer.text.count(" word")


def test_a_whole_answer_longer_than_any_write_is_logged(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.0, itl=0.0, burst=100_000)
    answer = client.post(server.url + CHAT, json=asked(max_tokens=100_000))
    assert 100_000 == answer.text.count(" word")
    assert 100_000 == max(each.tokens for each in entries(server)[1])


def test_it_says_what_it_is_and_counts(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0, itl=0, tokens=7)
    assert "ok" == client.get(server.url + "/health").json()["status"]
    assert "reference" == client.get(server.url + "/v1/models").json()["data"][0]["id"]
    client.post(server.url + CHAT, json=asked())
    found = {name: value for _, name, _, value in parse_metrics(client.get(server.url + "/metrics").text)}
    assert 7 == found["hxbench_reference_tokens_total"]
    assert 1 == found["hxbench_reference_requests_total"]
    assert 0 == found["hxbench_reference_streams_running"]
    assert 404 == client.get(server.url + "/elsewhere").status_code
    assert 404 == client.post(server.url + "/health").status_code


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "messages"),
        (b"[]", "messages"),
        (json.dumps(asked(messages=[{"role": "user", "content": ""}])).encode(), "empty prompt"),
        (json.dumps(asked(max_tokens=-1)).encode(), "max_tokens"),
        (json.dumps(asked(max_tokens=10**6)).encode(), "context"),
        (json.dumps(asked(stream="yes")).encode(), "stream"),
    ],
)
def test_it_refuses_what_is_no_request_for_an_answer(
    serve: Serve, client: httpx.Client, body: bytes, named: str
) -> None:
    answer = client.post(serve().url + CHAT, content=body)
    assert 400 == answer.status_code
    assert named in answer.json()["error"]["message"]


def test_its_log_is_complete_and_on_time(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.05, itl=0.01)
    received = [
        client.post(server.url + CHAT, json=asked(), headers={"X-Request-Id": name}) for name in ("a", "b")
    ]
    arrivals, departures = entries(server)
    assert [(1, "a"), (2, "b")] == [(each.number, each.request_id) for each in arrivals]
    for arrival, answer in zip(arrivals, received, strict=True):
        mine = [each for each in departures if each.number == arrival.number]
        tokens = [each for each in mine if each.tokens]
        assert [0, 1, 1, 1, 1, 1] == [each.tokens for each in mine]
        assert sum(each.bytes for each in mine) > len(answer.content)
        late = [
            (each.before_ns - arrival.arrived_ns) / 1e9 - (0.05 + 0.01 * index)
            for index, each in enumerate(tokens)
        ]
        assert -0.0001 < min(late), "nothing leaves before it is due"
        assert all(each.before_ns <= each.after_ns for each in mine)


def test_it_keeps_the_connection_that_it_promises_to_keep(serve: Serve, tmp_path: Path) -> None:
    outcome = drive(tmp_path, plan(tmp_path, serve(ttft=0, itl=0).url, closed(5)))
    assert ["ok"] * 5 == [each["outcome"] for each in outcome.requests]
    assert 1 == sum(each["connect_start_ns"] is not None for each in outcome.requests)


def test_bursts_leave_in_one_write(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.01, itl=0.01, burst=2)
    client.post(server.url + CHAT, json=asked())
    assert [0, 2, 2, 1] == [each.tokens for each in entries(server)[1]]


def test_errors_come_instead_of_answers(serve: Serve, client: httpx.Client) -> None:
    server = serve(errors=1.0)
    answer = client.post(server.url + CHAT, json=asked())
    assert (500, "an error that was asked for") == (
        answer.status_code,
        answer.json()["error"]["message"],
    )


def test_a_stall_holds_everything_back(serve: Serve, tmp_path: Path) -> None:
    server = serve(ttft=0.01, itl=0.0, tokens=1, stall_at=0.1, stall_for=0.5)
    rows = [("measure", i * 0.05) for i in range(12)]
    outcome = drive(tmp_path, plan(tmp_path, server.url, rows, users=None, measure_ns=700_000_000))
    arrivals, departures = entries(server)
    left = {each.number: each.before_ns for each in departures if each.tokens}
    begin = arrivals[0].arrived_ns
    held = [each for each in arrivals if 0.1 <= (each.arrived_ns - begin) / 1e9 + 0.01 < 0.6]
    assert held
    assert 0.6 <= (min(left[each.number] for each in held) - begin) / 1e9
    assert 12 == len(outcome.requests)


def test_a_stream_can_stall_in_its_middle(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.0, itl=0.001, stall_token=3, stall_for=0.2)
    client.post(server.url + CHAT, json=asked())
    (arrival,), departures = entries(server)
    third, fourth = [each.before_ns - arrival.arrived_ns for each in departures if each.tokens][2:4]
    assert third < fourth
    assert 0.2 <= fourth / 1e9  # from the arrival: the token before may have left late


def test_a_client_that_goes_away_ends_its_stream(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.0, itl=0.01)
    with client.stream("POST", server.url + CHAT, json=asked(max_tokens=100_000)) as answer:
        next(answer.iter_raw())
    metrics = f"{server.url}/metrics"
    wait_until(lambda: "streams_running 0" in client.get(metrics).text, "the stream still runs")


def test_a_reader_that_is_slow_gets_everything(serve: Serve, client: httpx.Client) -> None:
    server = serve(ttft=0.0, itl=0.0, burst=500)
    stream, deltas = Chat(stream=True), 0
    with client.stream("POST", server.url + CHAT, json=asked(max_tokens=120_000)) as answer:
        for piece in answer.iter_raw():
            deltas += stream.feed(piece).deltas
    assert (120_000, True) == (deltas, stream.whole)


def test_it_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time; from hxbench.servers.reference import start; from hxbench.servers.pacing import Pace; "
        "print(start(Pace()).pid, flush=True); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    await_gone(pid)


def test_a_port_that_is_taken_is_told(serve: Serve) -> None:
    port = int(serve().url.rpartition(":")[2])
    with pytest.raises(TargetError, match="did not start: Address already in use"):
        start(Pace(), port=port)


def test_a_torn_log_gives_its_whole_entries(serve: Serve, client: httpx.Client, tmp_path: Path) -> None:
    server = serve(ttft=0, itl=0)
    client.post(server.url + CHAT, json=asked(), headers={"X-Request-Id": "long enough"})
    entries(server)
    data = (tmp_path / "departures.bin").read_bytes()
    (tmp_path / "torn").write_bytes(data[:-1])
    whole = list(read(tmp_path / "departures.bin"))
    assert whole[:-1] == list(read(tmp_path / "torn"))
    (tmp_path / "torn").write_bytes(data[:35])
    assert [] == list(read(tmp_path / "torn"))


def test_a_pace_is_read_with_its_units() -> None:
    given = {"ttft": "5 ms", "errors": "2 %", "burst": "3", "jitter": "0.2", "service": "mm1", "seed": 4}
    assert Pace(ttft=0.005, errors=0.02, burst=3, jitter=0.2, service="mm1", seed=4) == pace(given)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ttft", "5", "--ttft: expected a duration such as 500 ms, got 5"),
        ("stall_for", "-1 s", "--stall-for: expected 0 or more, got -1 s"),
        ("burst", "0", "--burst: expected 1 or more, got 0"),
        ("errors", "101 %", "--errors: expected 0 % to 100 %, got 101 %"),
        ("jitter", "much", "--jitter: expected a number such as 0.2, got much"),
        ("jitter", "nan", "--jitter: expected 0 or more, got nan"),
    ],
)
def test_a_wrong_pace_names_its_flag(name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        pace({name: text})
    assert message == str(raised.value)
