"""`check`: what a server is, asked in a few seconds, of servers by hand and of the real embedded one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from hxbench.errors import TargetError
from hxbench.record import survey
from hxbench.servers.started import StartedServer
from tests import servers
from tests.servers import DONE, END, STREAM_HEAD, Behaviour, Request, Server, delta, event, plain


def cached(count: int) -> dict[str, Any]:
    details = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": count}}
    return {"choices": [], "usage": details, "system_fingerprint": "b1-abc"}


def caching(_: Request) -> list[Any]:
    return [STREAM_HEAD + event(delta("a")) + event(delta(None, "stop")) + event(cached(8)) + DONE + END]


def test_the_real_embedded_server_is_told_for_what_it_is(embedded: StartedServer) -> None:
    found = survey.survey(embedded.url, None, None)
    assert {
        "url": embedded.url, "models": ["smollm2-135m"], "model": "smollm2-135m", "streaming": True,
        "usage_in_stream": True, "tokenizer": True, "metrics": True, "prompt_caching": False,
        "keep_alive": True,
    }.items() <= found.items()  # fmt: skip
    assert found["build"]
    assert 0 < found["round_trip_s"] < 1


def test_a_small_server_is_told_for_what_it_is() -> None:
    with Server() as server:
        found = survey.survey(server.url, None, None)
    expected = {
        "url": server.url, "models": ["m"], "model": "m", "build": None, "streaming": True,
        "usage_in_stream": True, "tokenizer": False, "metrics": False, "prompt_caching": None,
        "keep_alive": True,
    }  # fmt: skip
    assert expected == {key: value for key, value in found.items() if key != "round_trip_s"}


def test_a_prompt_cache_is_seen_when_the_server_counts_it() -> None:
    with Server(Behaviour(chat=caching)) as server:
        found = survey.survey(server.url, None, None)
    assert (True, "b1-abc") == (found["prompt_caching"], found["build"])


def test_a_named_model_need_not_be_listed_by_a_server_that_lists_none() -> None:
    with Server(Behaviour(models=lambda _: [plain(404, "")])) as server:
        found = survey.survey(server.url, "mine", None)
        assert {"mine"} == {chat.document["model"] for chat in server.chats}
    assert ([], "mine") == (found["models"], found["model"])


def test_the_key_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    with Server() as server:
        survey.survey(server.url, None, "A_KEY")
        assert {"Bearer secret"} == {request.headers["authorization"] for request in server.requests}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (lambda _: [plain(200, '{"data": []}')], "HTTP 200"),
        (lambda _: [plain(404, "")], "HTTP 404"),
        (lambda _: [servers.CLOSE], "RemoteProtocolError: Server disconnected without sending a response."),
    ],
)
def test_a_server_that_lists_no_model_wants_one_named(
    models: Callable[[Request], list[Any]], said: str
) -> None:
    with Server(Behaviour(models=models)) as server, pytest.raises(TargetError) as caught:
        survey.survey(server.url, None, None)
    assert f"{server.url}/v1/models: {said}: lists no models: name one with --model" == str(caught.value)


def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(TargetError, match=r"^http://127\.0\.0\.1:1: not reachable: "):
        survey.survey("http://127.0.0.1:1", None, None)


def test_the_findings_are_a_table() -> None:
    found = {
        "url": "http://h", "models": [f"m{n}" for n in range(12)], "streaming": True, "tokenizer": False,
        "prompt_caching": None, "round_trip_s": 0.00123,
    }  # fmt: skip
    assert [
        "url              http://h",
        "models           m0, m1, m2, m3, m4, m5, m6, m7, m8, m9",
        "streaming        yes",
        "tokenizer        no",
        "prompt caching   not told",
        "round trip       1.23 ms",
    ] == survey.as_text(found).splitlines()
    assert "models           none listed" == survey.as_text({"models": []})
    assert json.loads(json.dumps(found)) == found
