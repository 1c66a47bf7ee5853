"""Single requests before and after the load, against real servers: every refusal with its one line."""

import errno
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import TargetError
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Profile
from hxbench.plan.workload import Prompt
from hxbench.record import preflight
from hxbench.record.preflight import Client, await_ready, functional_checks, require_model
from tests import servers
from tests.servers import (
    CLOSE,
    DONE,
    END,
    STREAM_HEAD,
    Behaviour,
    Request,
    Server,
    chunk,
    delta,
    event,
    plain,
)

KEY = "canary-key/42"


def profile(url: str = "http://127.0.0.1:1", **changed: Any) -> Profile:
    given = {"target.server": url, "target.model": "m", "target.ready.within": "20 s"} | changed
    return resolve(None, overrides={key: (value, "--set") for key, value in given.items()}).profile


def refusal(url: str, asked: Callable[[Client, Profile], None], **changed: Any) -> str:
    made = profile(url, **changed)
    with closing(Client(url, made)) as client, pytest.raises(TargetError) as caught:
        asked(client, made)
    return str(caught.value)


# --- ready ---

SOON, WORD = {"target.ready.within": "600 ms"}, {"target.ready.word": "ok"}


def test_a_server_that_is_not_there_is_refused_at_once() -> None:
    before = time.monotonic()
    text = refusal("http://127.0.0.1:1", await_ready, **{"target.ready.within": "60 s"})
    assert time.monotonic() - before < 50  # and not the 60 s it may take to get ready
    assert (
        f"http://127.0.0.1:1: not reachable: ConnectError: [Errno {errno.ECONNREFUSED}] Connection refused; "
        "is the server running, and is this its address?"
    ) == text


def test_a_server_that_accepts_but_never_answers_is_not_reachable() -> None:
    with Server(Behaviour(health=lambda _: [5.0])) as server:
        text = refusal(server.url, await_ready, **SOON)
    assert text.startswith(f"{server.url}: not reachable: ReadTimeout: ")


def test_a_server_that_stays_busy_is_not_ready_in_time() -> None:
    with Server(Behaviour(health=lambda _: [plain(503, "loading")])) as server:
        text = refusal(server.url, await_ready, **SOON)
    assert f"{server.url}/health: HTTP 503, not 200: not ready within 600 ms" == text


def test_the_ready_word_is_waited_for() -> None:
    with Server(Behaviour(health=lambda _: [plain(200, '{"status": "loading"}')])) as server:
        text = refusal(server.url, await_ready, **SOON, **WORD)
    assert f"{server.url}/health: HTTP 200, not 200 with the word 'ok': not ready within 600 ms" == text


def test_where_a_word_is_asked_for_another_path_will_not_do() -> None:
    with Server() as server:
        text = refusal(
            server.url, await_ready, **SOON, **{"target.ready.path": "/up", "target.ready.word": "ok"}
        )
    assert f"{server.url}/up: HTTP 404, not 200 with the word 'ok': not ready within 600 ms" == text


class Loading:
    """Gives an answer of its list each time, and then the last one for ever."""

    def __init__(self, *answers: list[Any]) -> None:
        self.asked, self._answers = 0, answers

    def __call__(self, _: Request) -> list[Any]:
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


@pytest.mark.parametrize(
    "first",
    [plain(503, ""), plain(500, ""), plain(502, ""), plain(429, ""), plain(200, "loading"), CLOSE],
    ids=["503", "500", "502", "429", "no word", "closed"],
)
def test_a_server_that_becomes_ready_is_waited_for_and_only_its_last_answer_kept(first: Any) -> None:
    health = Loading([first], [plain(200, "ok")])
    with Server(Behaviour(health=health)) as server:
        made = profile(server.url, **{"target.ready.word": "ok"})
        with closing(Client(server.url, made)) as client:
            await_ready(client, made)
    assert (2, [("ready", 200, "ok")]) == (
        health.asked,
        [(e["name"], e["status"], e["body"]) for e in client.exchanges],
    )


def test_a_server_without_a_health_path_is_ready_where_no_word_is_asked_for() -> None:
    with Server(Behaviour(health=lambda _: [plain(404, "")])) as server:
        made = profile(server.url)
        with closing(Client(server.url, made)) as client:
            await_ready(client, made)
    assert [404] == [each["status"] for each in client.exchanges]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_variable(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    with Server(Behaviour(health=lambda _: [plain(status, "")])) as server:
        with_key = refusal(server.url, await_ready, **{"target.api_key_env": "A_KEY"})
        without = refusal(server.url, await_ready)
    assert f"{server.url}: HTTP {status}: the key in A_KEY was refused" == with_key
    assert f"{server.url}: HTTP {status}: name the key's variable with --api-key-env" == without


# --- model and stream ---


def test_a_model_that_is_not_listed_is_refused_with_the_list() -> None:
    with Server() as server:
        text = refusal(server.url, require_model, **{"target.model": "other"})
    assert f"{server.url}: target.model: 'other' is not served; it lists: m" == text


def test_a_long_list_is_cut_short_but_read_whole() -> None:
    listed = {"data": [{"id": f"model-{number}", "note": "x" * 100} for number in range(300)]}
    with Server(Behaviour(models=lambda _: [plain(200, json.dumps(listed))])) as server:
        text = refusal(server.url, require_model)
        made = profile(server.url, **{"target.model": "model-299"})
        with closing(Client(server.url, made)) as client:
            require_model(client, made)
    assert text.endswith("it lists: " + ", ".join(f"model-{n}" for n in range(10)) + " and 290 more")


@pytest.mark.parametrize(
    "answer", [plain(404, ""), plain(200, "no JSON"), plain(200, '{"data": []}'), plain(200, '{"data": [5]}')]
)
def test_a_server_that_lists_nothing_is_asked_for_a_stream(answer: bytes) -> None:
    with Server(Behaviour(models=lambda _: [answer])) as server:
        made = profile(server.url)
        with closing(Client(server.url, made)) as client:
            require_model(client, made)
    assert ["models", "stream"] == [exchange["name"] for exchange in client.exchanges]
    assert 4 == server.chats[0].document["max_tokens"]


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (lambda _: [plain(404, "no such\npath")], f"{CHAT}: HTTP 404: no such path"),
        (lambda _: [plain(200, '{"choices": []}')],
         f"{CHAT}: answered application/json, not text/event-stream: no streaming"),
        (lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
         f"{CHAT}: answered no content type, not text/event-stream: no streaming"),
        (lambda _: [STREAM_HEAD + DONE + END], f"{CHAT}: the stream carried no token: it was empty"),
        (lambda _: [STREAM_HEAD + event({"error": "oom"}) + END],
         f'{CHAT}: the stream carried no token: error in the stream: {{"error": "oom"}}'),
        (lambda _: [CLOSE],
         f"{CHAT}: no answer: RemoteProtocolError: Server disconnected without sending a response."),
        (lambda _: [plain(401, "")], ": HTTP 401: name the key's variable with --api-key-env"),
        (lambda _: [plain(200, b"\x1f\x8b\x08", extra="Content-Encoding: gzip\r\n")],
         f"{CHAT}: no answer: DecodingError: content-encoding 'gzip': none was asked for"),
        (lambda _: [plain(302, "", extra="Location: http://127.0.0.1:1/\r\n")], f"{CHAT}: HTTP 302: "),
    ],
    ids=["404", "no stream", "no type", "empty", "in band", "closed", "401", "gzip", "redirect"],
)  # fmt: skip
def test_an_answer_that_is_no_stream_of_tokens_is_refused(
    script: Callable[[Request], list[Any]], expected: str
) -> None:
    with Server(Behaviour(chat=script)) as server:
        assert f"{server.url}{expected}" == refusal(server.url, require_model)


def test_a_refused_list_is_a_refused_key() -> None:
    with Server(Behaviour(models=lambda _: [plain(401, "")])) as server:
        text = refusal(server.url, require_model)
    assert f"{server.url}: HTTP 401: name the key's variable with --api-key-env" == text


# --- limits, keys, exchanges ---


def endless(_: Request) -> Iterator[Any]:
    yield STREAM_HEAD
    while True:
        yield chunk(b": ping\n\n" * 10_000)


def drip(_: Request) -> Iterator[Any]:
    yield STREAM_HEAD
    while True:
        yield chunk(b": ping\n\n")
        yield 0.05


@pytest.mark.parametrize(
    ("script", "error"),
    [(endless, "ReadError: answer longer than 1.05 MB"), (drip, "ReadTimeout: not done within 600 ms")],
)
def test_an_answer_without_end_is_cut_off(script: Callable[[Request], Iterator[Any]], error: str) -> None:
    with Server(Behaviour(chat=script)) as server, closing(Client(server.url, profile(server.url))) as client:
        exchange = client.ask("x", "POST", CHAT, b"{}", within=0.6 if script is drip else 60)
    assert (None, error) == (exchange["status"], exchange["error"])


def test_an_exchange_holds_what_was_asked_and_answered() -> None:
    with (
        Server(Behaviour(models=lambda _: [plain(200, "x" * 20_000)])) as server,
        closing(Client(f"{server.url}/", profile(server.url), trial=3)) as client,
    ):
        exchange = client.ask("models", "GET", "/v1/models")
    assert [exchange] == client.exchanges
    assert exchange["started_ns"] < exchange["done_ns"]
    assert {
        "name": "models", "trial": 3, "method": "GET", "path": "/v1/models", "request": "", "status": 200,
        "content_type": "application/json", "body": "x" * 16_384, "error": None,
    }.items() <= exchange.items()  # fmt: skip
    assert "identity" == server.requests[0].headers["accept-encoding"]


def test_what_is_checked_before_each_request_can_end_the_asking() -> None:
    def stop() -> None:
        raise InterruptedError

    with Server() as server, closing(Client(server.url, profile(), 1, stop)) as client:
        with pytest.raises(InterruptedError):
            client.ask("x", "GET", "/health")
        assert [] == server.requests


@pytest.mark.parametrize("at", [0, 16_375])
def test_a_key_that_is_echoed_is_in_no_exchange_not_even_in_part(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    echo = lambda request: [plain(401, "x" * at + request.headers["authorization"])]  # noqa: E731
    with Server(Behaviour(chat=echo)) as server:
        made = profile(
            server.url, **{"target.api_key_env": "A_KEY", "target.headers_env": {"X-Key": "A_KEY"}}
        )
        with closing(Client(server.url, made)) as client:
            stored = json.dumps(client.ask("x", "POST", CHAT, b"{}"))
    assert KEY[:4] not in stored
    assert (f"Bearer {KEY}", KEY) == (
        server.requests[0].headers["authorization"],
        server.requests[0].headers["x-key"],
    )


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(TargetError) as caught:
        preflight.secret_names(profile(**{"target.api_key_env": "A_KEY"}))
    assert "target: the variable A_KEY is not set; export it and try again" == str(caught.value)


@pytest.mark.parametrize("value", ["canary\n", " canary", "can\rary", "canäry", "can\x00ary"[:3] + "\x7f"])
def test_a_key_no_header_can_carry_is_refused_without_showing_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", value)
    with pytest.raises(TargetError) as caught:
        Client("http://127.0.0.1:1", profile(**{"target.headers_env": {"X-Key": "A_KEY"}}))
    assert str(caught.value).startswith("target: the variable A_KEY holds a line break, a space at an end or")
    assert "can" not in str(caught.value).replace("can carry", "")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TargetError, match=rf"^target\.ca_file: {path}: cannot be used: \S"):
        Client("https://127.0.0.1:1", profile(**{"target.ca_file": str(path)}))


def test_the_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Server() as server, closing(Client(server.url, profile(server.url))) as client:
        assert 200 == client.ask("x", "GET", "/health")["status"]


# --- functional checks ---


def questions() -> tuple[Prompt, ...]:
    return (Prompt("q1", ({"role": "user", "content": "2 + 2?"},), "short", None, "4"),)


def asked(models: str, **changed: Any) -> tuple[list[dict[str, Any]], list[Request]]:
    behaviour = Behaviour(chat=lambda _: [plain(200, "{}")], models=lambda _: [plain(200, models)])
    with Server(behaviour) as server:
        made = profile(server.url, **changed)
        with closing(Client(server.url, made)) as client:
            client.ask("models", "GET", "/v1/models")
            functional_checks(client, made, questions())
    return client.exchanges[1:], server.chats


def test_everything_level_1_wants_to_know_is_asked_in_order() -> None:
    exchanges, _ = asked("{}", **{"target.extra_body": {"ignore_eos": True, "top_k": 1}})
    assert [
        "health", "answer:q1", "empty_prompt", "broken_json", "negative_max_tokens", "above_context",
        "health_after",
    ] == [exchange["name"] for exchange in exchanges]  # fmt: skip
    question = json.loads(exchanges[1]["request"])
    assert ("2 + 2?", False, 1, "4") == (
        question["messages"][0]["content"],
        question["stream"],
        question["top_k"],
        exchanges[1]["expected"],
    )
    assert "ignore_eos" not in question
    assert -5 == json.loads(exchanges[4]["request"])["max_tokens"]
    assert "" == json.loads(exchanges[2]["request"])["messages"][0]["content"]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ('{"data": [{"id": "m", "max_model_len": 500}]}', 1500),
        ('{"data": [{"id": "m", "meta": {"n_ctx": 200}}]}', 1200),
        ('{"data": [{"id": "m", "max_model_len": 1e300}]}', 1_001_000),
        ('{"data": [{"id": "m", "max_model_len": -5}]}', 1000),
        ('{"data": [{"id": "m", "max_model_len": Infinity}]}', 132_072),
        ('{"data": [{"id": "m"}]}', 132_072),
        ('{"data": ["m"]}', 132_072),
        ("no JSON", 132_072),
    ],
)
def test_the_prompt_above_the_context_is_as_long_as_the_server_says_it_must_be(
    models: str, words: int
) -> None:
    _, chats = asked(models)
    assert words == chats[-1].document["messages"][0]["content"].count("word")


def test_the_build_is_the_fingerprint_of_the_first_stream() -> None:
    stream = {"name": "stream", "body": 'data: {"system_fingerprint": "b123-abc"}'}
    assert "b123-abc" == preflight.build([{"name": "ready", "body": ""}, stream])
    assert preflight.build([{"name": "stream", "body": "data: {}"}]) is None
    assert preflight.build([]) is None


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (servers.plain(200, "{}"), True),
        (servers.plain(200, "{}", extra="Connection: close\r\n"), False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (CLOSE, False),
    ],
)
def test_a_server_keeps_connections_by_its_own_word(head: Any, kept: bool) -> None:
    behaviour = Behaviour(models=lambda _: [head])
    with Server(behaviour) as server, closing(Client(server.url, profile(server.url))) as client:
        assert kept == client.keeps_alive()


def test_a_delta_of_any_kind_is_a_token() -> None:
    think = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}
    script = lambda _: [STREAM_HEAD + event(think) + event(delta(None, "length")) + DONE + END]  # noqa: E731
    with Server(Behaviour(chat=script)) as server:
        made = profile(server.url)
        with closing(Client(server.url, made)) as client:
            require_model(client, made)


def test_each_single_request_has_a_connection_of_its_own() -> None:
    """One that was kept may be closed at the very moment of the next request, as llama.cpp does."""
    with Server() as server:
        made = profile(server.url)
        with closing(Client(server.url, made)) as client:
            for _ in range(3):
                client.ask("stream", "POST", CHAT, preflight.request_body(made, "Hi", 1, stream=True))
                client.ask("health", "GET", "/health")
        assert 6 == server.connections
