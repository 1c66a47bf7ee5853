"""Each API dialect, streamed and in one piece, measured for real: by hand-made servers and by llama.cpp."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from dialects_by_hand import PATHS, WAYS, answering, document, events

from hxbench import cli
from hxbench.errors import TargetError
from hxbench.judge.checks import is_right
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Embedded, Profile
from hxbench.plan.workload import Prompt
from hxbench.record import preflight, survey
from hxbench.record.preflight import Client, functional_checks, require_model
from hxbench.record.sampler import parse_metrics
from hxbench.record.supervisor import worker_plan
from hxbench.servers.embedded import start
from hxbench.servers.model import model_file
from hxbench.servers.started import StartedServer
from tests import loads
from tests.servers import CLOSE, END, STREAM_HEAD, Behaviour, Server, chunk, plain

PROTOCOLS = list(PATHS)
COUNTERS = {
    "output": ["llamacpp:tokens_predicted_total"],
    "prompt": ["llamacpp:prompt_tokens_total", "llamacpp:prompt_tokens_cached_total"],
}


def plan(folder: Path, url: str, protocol: str, *, stream: bool, requests: int = 3, **more: Any) -> Any:
    chosen = {"protocol": protocol, "stream": stream, "path": PATHS[protocol]}
    return loads.plan(folder, url, loads.closed(requests), **chosen, **more)


# --- the load ---


@pytest.mark.parametrize(("protocol", "stream"), WAYS)
def test_a_load_is_put_on_and_decoded(
    protocol: str, stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    with Server(Behaviour(chat=answering)) as server:
        made = plan(tmp_path, server.url, protocol, stream=stream, api_key_env="A_KEY")
        outcome = loads.drive(tmp_path, made)
        seen = server.chats
    assert [("ok", 4, "usage", 9)] * 3 == [
        (row["outcome"], row["output_tokens"], row["token_source"], row["prompt_tokens"])
        for row in outcome.requests
    ]
    assert {4 if stream else 1} == {row["deltas"] for row in outcome.requests}
    assert {(PATHS[protocol], stream)} == {(each.path, each.document["stream"]) for each in seen}
    assert {"text/event-stream" if stream else "application/json"} == {
        each.headers["accept"] for each in seen
    }
    key = ("x-api-key", "secret") if protocol.startswith("anthropic") else ("authorization", "Bearer secret")
    assert {key[1]} == {each.headers[key[0]] for each in seen}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_in_one_piece_the_first_token_is_seen_with_the_last(protocol: str, tmp_path: Path) -> None:
    body = json.dumps(document(protocol, ["a", "b"])).encode()
    answer = plain(200, body)
    script = lambda _: [answer[:-40], 0.2, answer[-40:-20], 0.2, answer[-20:]]  # noqa: E731
    with Server(Behaviour(chat=script)) as server:
        row = loads.drive(tmp_path, plan(tmp_path, server.url, protocol, stream=False, requests=1)).only
    assert ("ok", 1, 1, 1) == (row["outcome"], row["reads"], row["deltas"], row["first_read_deltas"])
    assert row["first_token_ns"] - row["first_byte_ns"] > 150_000_000
    assert row["first_token_ns"] == row["first_output_ns"] == row["last_token_ns"] == row["done_ns"]


def test_an_answer_whose_length_only_the_close_tells_is_read_at_the_close(tmp_path: Path) -> None:
    body = json.dumps(document("openai-chat", ["a", "b"])).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    with Server(Behaviour(chat=lambda _: [head + body, 0.02, CLOSE])) as server:
        row = loads.drive(tmp_path, plan(tmp_path, server.url, "openai-chat", stream=False, requests=1)).only
    assert ("ok", 2, row["first_byte_ns"]) == (row["outcome"], row["output_tokens"], row["first_token_ns"])


@pytest.mark.parametrize(
    ("stream", "answer", "phase", "error"),
    [
        (False, [plain(200, "{}", kind="text/html")], "headers",
         "content type text/html, not application/json"),
        (False, [plain(200, '{"error": "oom"}')], "in_band", 'error in the answer: {"error": "oom"}'),
        (False, [plain(200, '{"type": "message", "content": []}')], "empty", "the answer carried no token"),
        (False, [plain(500, "oom")], "headers", "HTTP 500: oom"),
        (True, [plain(200, "{}")], "headers", "content type application/json, not text/event-stream"),
        (True, [STREAM_HEAD, *(chunk(each) for each in events("anthropic-messages", ["a"])[:2]), END],
         "truncated", "the stream ended without message_stop"),
        (True, [STREAM_HEAD, *(chunk(each) for each in events("anthropic-messages", ["a"])[1:]), END],
         "in_band", "order of events: content_block_delta before message_start"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_the_dialect_is_a_failure_with_its_reason(
    stream: bool, answer: list[Any], phase: str, error: str, tmp_path: Path
) -> None:
    with Server(Behaviour(chat=lambda _: answer)) as server:
        made = plan(tmp_path, server.url, "anthropic-messages", stream=stream, requests=1)
        row = loads.drive(tmp_path, made).only
    assert ("failed", phase, error) == (row["outcome"], row["error_phase"], row["error"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_usage_an_answer_in_one_piece_has_no_count_of_tokens(protocol: str, tmp_path: Path) -> None:
    body = {key: value for key, value in document(protocol, ["a", "b"]).items() if key != "usage"}
    with Server(Behaviour(chat=lambda _: [plain(200, json.dumps(body))])) as server:
        row = loads.drive(tmp_path, plan(tmp_path, server.url, protocol, stream=False, requests=1)).only
    assert ("ok", None, None, 1) == (
        row["outcome"], row["output_tokens"], row["token_source"], row["deltas"],
    )  # fmt: skip


def profile(url: str, protocol: str = "openai-chat", **changed: Any) -> Profile:
    given = {"target.server": url, "target.model": "m", "target.protocol": protocol} | changed
    return resolve(None, overrides={key: (value, "--set") for key, value in given.items()}).profile


def test_in_one_piece_only_the_total_time_is_limited(tmp_path: Path) -> None:
    for stream, expected in ((True, [60, 30, 10]), (False, [60, 60, 60])):
        made = worker_plan(
            profile("http://h", **{"workload.stream": stream, "load.requests": 1}),
            "http://h",
            tmp_path,
            1,
            [],
            0,
        )
        assert [each * loads.SECOND for each in expected] == list(made["limits"].values())


# --- llama.cpp ---


def counted(url: str) -> dict[str, float]:
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    values = {name: value for _, name, _, value in parse_metrics(text)}
    return {what: sum(values[name] for name in names) for what, names in COUNTERS.items()}


@pytest.fixture(scope="module")
def caching(embedded: StartedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedServer]:
    """The embedded server with a prompt cache; Anthropic's dialect has no word to ask for one."""
    log = tmp_path_factory.mktemp("caching") / "server.log"
    model, options = (
        model_file("smollm2-135m", print),
        Embedded(threads=1, slots=1, context=512, prompt_cache=True),
    )
    server = start(model, "smollm2-135m", options, log)
    yield server
    server.stop()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(("protocol", "stream"), WAYS)
def test_llama_cpp_counts_the_same_tokens(
    protocol: str, stream: bool, cached: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("caching" if cached else "embedded").url
    before = counted(url)
    more = {"model": "smollm2-135m", "extra_body": {"ignore_eos": True}, "salt": not cached}
    outcome = loads.drive(tmp_path, plan(tmp_path, url, protocol, stream=stream, **more))
    after = counted(url)
    assert [("ok", 4, "usage")] * 3 == [
        (row["outcome"], row["output_tokens"], row["token_source"]) for row in outcome.requests
    ]
    assert 12 == after["output"] - before["output"]
    assert sum(row["prompt_tokens"] for row in outcome.requests) == after["prompt"] - before["prompt"]
    assert cached == (sum(row["cached_tokens"] for row in outcome.requests) > 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_llama_cpp_is_told_for_what_it_is(protocol: str, embedded: StartedServer) -> None:
    found = survey.survey(embedded.url, None, None, protocol)
    assert {"streaming": True, "usage_in_stream": True, "prompt_caching": False}.items() <= found.items()


@pytest.mark.parametrize(("protocol", "stream"), WAYS)
def test_llama_cpp_is_asked_all_that_level_1_wants_to_know(
    protocol: str, stream: bool, embedded: StartedServer
) -> None:
    made = profile(embedded.url, protocol, **{"target.model": "smollm2-135m", "workload.stream": stream})
    questions = (Prompt("sea", ({"role": "user", "content": "Once upon a time, there was a"},), "short"),)
    with closing(Client(embedded.url, made)) as client:
        require_model(client, made)
        functional_checks(client, made, questions)
    status = {each["name"]: each["status"] for each in client.exchanges}
    assert (200, 400, 400, 400) == tuple(
        status[name] for name in ("empty_prompt", "broken_json", "negative_max_tokens", "above_context")
    )
    answers = [each for each in client.exchanges if each["name"].startswith("answer:")]
    assert [True] == [is_right(each, r"\w", protocol) for each in answers]
    assert {PATHS[protocol]} == {each["path"] for each in answers}


# --- single requests ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_judged_answer_is_the_text_of_its_dialect_and_no_error(protocol: str) -> None:
    right = {"status": 200, "body": json.dumps(document(protocol, ["It is ", "Paris."]))}
    assert is_right(right, r"\bparis\b", protocol)
    assert not is_right(right, "London", protocol)
    assert not is_right(right | {"status": 500}, "Paris", protocol)
    error = {"status": 200, "body": json.dumps(document(protocol, ["Paris"]) | {"error": "Paris"})}
    assert not is_right(error, "Paris", protocol)
    assert not is_right({"status": 200, "body": '{"Paris'}, "Paris", protocol)


def test_what_a_model_thinks_is_not_its_answer() -> None:
    body = {"type": "message", "content": [{"type": "thinking", "thinking": "Paris?"}]}
    assert not is_right({"status": 200, "body": json.dumps(body)}, "Paris", "anthropic-messages")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (plain(200, "{}", kind="text/html"), "answered text/html, not application/json"),
        (plain(200, '{"choices": []}'), "the answer carried no token: it was empty"),
        (
            plain(200, '{"error": "oom"}'),
            'the answer carried no token: error in the answer: {"error": "oom"}',
        ),
    ],
)
def test_an_answer_in_one_piece_without_a_token_is_refused(answer: bytes, error: str) -> None:
    with Server(Behaviour(chat=lambda _: [answer])) as server:
        made = profile(server.url, "openai-completions", **{"workload.stream": False})
        with closing(Client(server.url, made)) as client, pytest.raises(TargetError) as caught:
            require_model(client, made)
    assert f"{server.url}/v1/completions: {error}" == str(caught.value)
    assert ["models", "whole"] == [each["name"] for each in client.exchanges]


def test_the_build_is_told_by_an_answer_in_one_piece_too() -> None:
    assert "b1" == preflight.build([{"name": "whole", "body": '{"system_fingerprint": "b1"}'}])


# --- whole runs ---


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("HXBENCH_", "TEST_"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(("protocol", "stream"), WAYS)
@pytest.mark.usefixtures("workplace")
def test_a_whole_run_is_judged(protocol: str, stream: bool) -> None:
    with Server(Behaviour(chat=answering)) as server:
        target = ["--url", server.url, "--model", "m", "--protocol", protocol]
        load = ["--users", "2", "--requests", "20", "--warmup", "0s", "--max-tokens", "4"]
        wish = ["--set", f"workload.stream={'true' if stream else 'false'}", "--set", "checks=[TC-L1-*]"]
        assert cli.run_command(["run", *target, *load, *wish, "--out", "run"]) == 0
    assert cli.run_command(["judge", "run"]) in (0, 3)
    certificate = json.loads(Path("run/certificate.json").read_text())
    assert protocol == certificate["target"]["protocol"]
    assert stream != any("not streamed" in note for note in certificate["notes"])
    assert [] == [each["id"] for each in certificate["verdicts"] if each["verdict"] == "FAIL"]
    requests = pd.read_parquet("run/records/requests.parquet")
    assert {("ok", 4)} == set(zip(requests["outcome"], requests["output_tokens"], strict=True))


def test_a_conversation_is_refused_where_the_dialect_knows_none(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    (workplace / "two.jsonl").write_text(json.dumps({"id": "x", "messages": messages}))
    target = ["--url", "http://127.0.0.1:1", "--model", "m", "--protocol", "openai-completions"]
    assert 2 == cli.run_command(["run", *target, "--prompts", "two.jsonl"])
    expected = "target.protocol: prompt x: openai-completions takes one message, not a conversation of 2"
    assert expected in capfd.readouterr().err


def test_an_unknown_dialect_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run_command(["check", "http://127.0.0.1:1", "--protocol", "grpc"])
    assert "target.protocol: expected 'openai-chat', 'openai-completions' or 'anthropic-messages'" in (
        capfd.readouterr().err
    )
