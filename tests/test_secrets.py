"""A canary key goes through a whole run against a server that echoes it everywhere; no file may hold it."""

import base64
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from hxbench import cli
from hxbench.records.journal import Reader
from tests import servers
from tests.servers import Behaviour, Request, Server, chunk, delta, event, plain

CANARY = "cnry/9f8e7d6c5b4a+key=="
FORMS = {
    CANARY.encode(),
    quote(CANARY, safe="").encode(),
    json.dumps(CANARY)[1:-1].encode(),
    base64.b64encode(CANARY.encode()).rstrip(b"="),
    base64.urlsafe_b64encode(CANARY.encode()).rstrip(b"="),
}


def echo_in_error(request: Request) -> list[Any]:
    key = request.headers["authorization"].removeprefix("Bearer ")
    return [plain(401 if "x-request-id" in request.headers else 200, f"bad key {key} {quote(key, safe='')}")]


def echo_in_text(request: Request) -> Iterator[Any]:
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    encoded = base64.b64encode(key.encode()).decode()
    yield servers.STREAM_HEAD.replace(b"\r\n\r\n", f"\r\nX-Echo: {key}\r\n\r\n".encode())
    yield event(delta(f"your key is {key} "))
    if "x-request-id" in request.headers and request.headers["x-request-id"].endswith("2"):
        yield chunk(b"data: " + json.dumps({"error": {"message": f"key {key} {encoded}"}}).encode() + b"\n\n")
        yield servers.END
        return
    # the key again, in two halves with a pause between
    half = len(key) // 2
    document = json.dumps(delta(f"and {key}", "stop")).encode()
    at = document.index(json.dumps(key)[1:-1].encode()) + half
    raw = chunk(b"data: " + document + b"\n\n")
    cut = raw.index(document) + at
    yield raw[:cut]
    yield 0.02
    yield raw[cut:] + event(servers.usage(3, 2)) + servers.DONE + servers.END


def contents(path: Path) -> Iterator[bytes]:
    """The file's bytes; for a table its cells; for a journal what each request received, in one piece."""
    raw = path.read_bytes()
    yield gzip.decompress(raw) if path.suffix == ".gz" else raw
    if path.suffix == ".parquet":
        yield json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
    if path.suffix == ".journal":
        received: dict[int, bytes] = {}
        for entry in Reader(path).entries():
            received[entry.number] = received.get(entry.number, b"") + entry.body
        yield from received.values()


@pytest.mark.parametrize("keep", ["none", "hash", "full"])
@pytest.mark.parametrize("script", [echo_in_text, echo_in_error])
def test_a_key_is_in_no_file_however_the_server_echoes_it(
    keep: str, script: servers.Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_KEY", CANARY)
    behaviour = Behaviour(
        chat=lambda r: script(r) if "x-request-id" in r.headers else servers.stream(2),
        health=lambda r: [plain(200, f'{{"status": "ok {r.headers.get("authorization")}"}}')],
    )
    arguments = ["--requests", "6", "--warmup", "0s", "--api-key-env", "A_KEY", "--set", f"keep.text={keep}"]
    with Server(behaviour) as server:
        arguments += ["--set", "objectives.ttft.p50=1 s", "--set", "checks=[TC-L1-*]", "--out", "run"]
        assert 0 == cli.run_command(["run", "--url", server.url, "--model", "m", *arguments])
        assert 6 == sum(
            f"Bearer {CANARY}" == r.headers.get("authorization")
            for r in server.chats
            if "x-request-id" in r.headers
        )
    cli.run_command(["render" if keep == "full" else "judge", "run"])
    said = capfd.readouterr()
    found = [
        (str(path), form)
        for path in tmp_path.rglob("*")
        if path.is_file()
        for content in contents(path)
        for form in FORMS
        if form in content
    ]
    assert [] == found
    assert not [form for form in FORMS if form.decode() in said.out + said.err]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", f"http://user:{quote(CANARY, safe='')}@127.0.0.1:9", "--model", "m"],
        ["--url", f"http://127.0.0.1:9/?api_key={quote(CANARY, safe='')}", "--model", "m"],
        [
            "--url",
            "http://127.0.0.1:9",
            "--model",
            "m",
            "--api-key-env",
            "sk-0123456789abcdef0123456789abcdef",
        ],
        [
            "--url",
            "http://127.0.0.1:9",
            "--model",
            "m",
            "--set",
            "target.headers_env.X=Bearer sk-0123456789abcdef",
        ],
    ],
)
def test_a_key_given_where_it_would_be_stored_is_refused_unseen(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert 2 == cli.run_command(["run", *arguments])
    said = capfd.readouterr()
    assert "sk-0123" not in said.out + said.err
    assert "9f8e7d6c" not in said.out + said.err
    assert [] == list(tmp_path.iterdir())


def test_no_variable_of_the_environment_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNRELATED_SECRET", "do-not-keep-me-4711")
    with Server() as server:
        assert 0 == cli.run_command(
            ["run", "--url", server.url, "--model", "m", "--requests", "3", "--warmup", "0s"]
        )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"do-not-keep-me-4711" in path.read_bytes()]
    assert os.environ["UNRELATED_SECRET"] == "do-not-keep-me-4711"
