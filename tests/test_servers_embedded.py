"""The embedded server, for real: it starts, answers, and is gone when its parent is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from hxbench.errors import DirectoryError, InputError, TargetError
from hxbench.plan.profile import Embedded
from hxbench.record.sampler import parse_metrics
from hxbench.servers import embedded as servers
from hxbench.servers.embedded import start
from hxbench.servers.model import model_file
from hxbench.servers.started import StartedServer
from tests.loads import await_gone

SMALL = Embedded(threads=1, slots=1, context=256)


@pytest.fixture
def model(embedded: StartedServer) -> Path:
    """The model file that the fixture has fetched."""
    return model_file("smollm2-135m", print)


@pytest.fixture
def client(embedded: StartedServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=embedded.url, timeout=300, trust_env=False) as made:
        yield made


def test_it_serves_the_model_under_its_name_on_loopback(
    embedded: StartedServer, client: httpx.Client
) -> None:
    assert embedded.url.startswith("http://127.0.0.1:")
    assert {"status": "ok"} == client.get("/health").json()
    assert "smollm2-135m" == client.get("/v1/models").json()["data"][0]["id"]
    assert embedded.alive


def test_it_answers_with_the_number_of_tokens_asked_for(client: httpx.Client) -> None:
    asked = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    answer = client.post("/v1/chat/completions", json={**asked, "ignore_eos": True}).json()
    assert 4 == answer["usage"]["completion_tokens"]


def test_it_keeps_no_prompt_cache_unless_asked(client: httpx.Client) -> None:
    text = "Tell me about the sea, the wind and the stars in a few words. " * 3
    asked = {"model": "smollm2-135m", "messages": [{"role": "user", "content": text}], "max_tokens": 1}
    timings = [client.post("/v1/chat/completions", json=asked).json()["timings"] for _ in range(2)]
    assert [0, 0] == [timing.get("cache_n", 0) for timing in timings]


def test_it_exposes_its_counters(client: httpx.Client) -> None:
    names = {name for _, name, _, _ in parse_metrics(client.get("/metrics").text)}
    assert {"llamacpp:tokens_predicted_total", "llamacpp:requests_processing"} <= names


def test_it_is_gone_when_it_is_stopped_and_its_port_is_free(model: Path, tmp_path: Path) -> None:
    server = start(model, "m", SMALL, tmp_path / "log")
    port = int(server.url.rpartition(":")[2])
    server.stop()
    assert not server.alive
    again = start(model, "m", SMALL, tmp_path / "log", port)
    again.stop()
    assert server.url == again.url


PARENT = """
import json, sys
from pathlib import Path
from hxbench.plan.profile import Embedded
from hxbench.servers.embedded import start
server = start(Path(sys.argv[1]), "m", Embedded(threads=1, slots=1, context=256), Path(sys.argv[2]))
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_it_is_gone_when_its_parent_is_killed(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(model), str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    await_gone(pid)


def refusal(model: Path, log: Path, port: int = 0) -> str:
    with pytest.raises(TargetError) as caught:
        start(model, "m", SMALL, log, port)
    return str(caught.value)


def test_a_taken_port_is_said(embedded: StartedServer, model: Path, tmp_path: Path) -> None:
    port = int(embedded.url.rpartition(":")[2])
    text = refusal(model, tmp_path / "log", port)
    assert text.startswith("embedded server: did not start: Failed to init server")
    assert f"(port {port} taken or model file unusable)" in text


def test_a_damaged_model_is_said_with_the_servers_last_words(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(model.read_bytes()[:1_000_000])
    text = refusal(damaged, tmp_path / "log")
    assert text.startswith("embedded server: did not start: Failed to init server")
    assert "(model file unusable): " in text
    assert text.endswith("exiting due to model loading error")


def test_a_server_that_dies_at_its_start_is_said_at_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "xllamacpp.py").write_text("raise ImportError('needs another libc')")
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=os.pathsep)
    text = refusal(model, tmp_path / "log")
    assert ("embedded server: did not start: ended with status 1: ImportError: needs another libc") == text


def test_a_server_that_says_nothing_is_given_up(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "READY_S", 0.0)
    text = refusal(model, tmp_path / "log")
    assert text.startswith("embedded server: did not start: no sign of readiness within 0 s: ")


def test_a_log_that_cannot_be_written_is_said(model: Path) -> None:
    with pytest.raises(DirectoryError) as caught:
        start(model, "m", SMALL, Path("/none/server.log"))
    assert "/none/server.log: cannot be written: No such file or directory" == str(caught.value)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    with pytest.raises(InputError) as caught:
        start(tmp_path, "m", SMALL, tmp_path / "log")
    assert "the embedded server needs xllamacpp: pip install 'hxbench[embedded]'" == str(caught.value)


def test_it_counts_the_cores_it_may_use_not_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert 3 == servers._cores()


@pytest.mark.parametrize(("there", "expected"), [(8, 8), (None, 1)])
def test_where_the_system_does_not_say_it_counts_those_there_are(
    there: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: there)
    assert expected == servers._cores()
