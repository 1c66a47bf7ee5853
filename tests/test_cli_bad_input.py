"""What a user does wrong: one line that says what, where and what to do, status 2, nothing left behind."""

import socket
from pathlib import Path

import pytest

from hxbench import cli
from hxbench.render import proposal
from tests import servers
from tests.servers import Behaviour, Server, plain

pytestmark = pytest.mark.usefixtures("workplace")


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a command that must end with status 2 and one line on stderr; returns that line."""
    status = cli.run_command(list(arguments))
    said = capfd.readouterr()
    assert (2, "") == (status, said.out), said
    lines = [line for line in said.err.splitlines() if not line.startswith(("profile ", "run ", "planned "))]
    assert 1 == len(lines), said.err
    return lines[0].removeprefix("hxbench: ")


def nothing_was_left(workplace: Path) -> bool:
    left = [path for path in workplace.rglob("*") if path.is_file() or path.is_symlink()]
    return not left and not list(workplace.glob("outputs/*"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["certify", "nosuch"], "nosuch"),
        (["certify", "nosuch.yaml"], "nosuch.yaml"),
        (["plan", "nosuch"], "nosuch: no such file or shipped profile; expected one of hermes-2"),
        (
            ["run", "--load", "nosuch"],
            "--load: nosuch: no such file or shipped load; expected one of baseline",
        ),
        (
            ["run", "--set", "instrument.workers=0"],
            "instrument.workers: expected a number of 1 or more, got 0",
        ),
        (["verify", "."], "not a run: it has none of manifest.json, certificate.json, records"),
        (["certify", "--url", "http://127.0.0.1:9"], "--url without a profile has no objectives"),
        (["run", "--url", "http://user:pw@127.0.0.1:9", "--model", "m"], "target.server"),
        (["run", "--url", "ftp://127.0.0.1", "--model", "m"], "target.server"),
        (["run", "--url", "http://127.0.0.1:9"], "target.model"),
        (["run", "--users", "0"], "load.users"),
        (["run", "--users", "two"], "load.users"),
        (["run", "--rate", "-1"], "load.rate"),
        (["run", "--duration", "soon"], "load.measure"),
        (["run", "--set", "load.userz=3"], "load.userz: unknown key; did you mean users"),
        (["run", "--set", "nonsense"], "expected KEY=VALUE"),
        (["run", "--prompts", "nosuch"], "nosuch"),
        (["run", "--trials", "2"], "two trials are refused"),
        (
            ["run", "--api-key-env", "NOT_SET", "--url", "http://127.0.0.1:9", "--model", "m"],
            "NOT_SET is not set",
        ),
        (["run", "--url", "http://example.invalid", "--model", "m"], "pass --yes"),
        (["run", "mixtral-8x7b", "--set", "target.server=null"], "--url"),
        (["certify", "--requests", "5", "--set", "objectives.ttft.p99=1 s"], "--undecided-ok"),
        (
            ["certify", "--set", "workload.stream=false", "--set", "objectives={tpot: {p50: 1 s}}"],
            "smollm2-135m: workload.stream: false: answers come in one piece: objectives.",
        ),
        (
            ["run", "--prompts", "conversations", "--rate", "1"],
            "load.loop: open has no place for conversations",
        ),
        (["run", "--set", "load.series=no.csv"], "--set: load.series: no.csv: cannot be read"),
        (["run", "--time-scale", "0"], "--time-scale: load.time_scale: expected a number of 0.0001 or more"),
        (["model", "gpt-9"], "smollm2-135m"),
        (["show", "."], "not a run"),
        (["judge", "nowhere"], "not a run"),
        (["render", "nowhere"], "not a run"),
        (["init", "--from-run", "nowhere"], "not a run"),
        (["index", "nowhere"], "nowhere: cannot be read: No such file or directory"),
        (["gc"], "gc: say what may go: --keep N, --older-than AGE, or both"),
        (["gc", "--keep", "3"], "outputs: cannot be read: No such file or directory"),
        (
            ["gc", "--older-than", "soon", "--yes"],
            "--older-than: expected an age such as 30d or 12h, got soon",
        ),
        (["check", "http://127.0.0.1:9"], "not reachable"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_named(
    arguments: list[str], text: str, capfd: pytest.CaptureFixture[str], workplace: Path
) -> None:
    assert text in refused(capfd, *arguments)
    assert nothing_was_left(workplace)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["frobnicate"], "hxbench: No such command 'frobnicate'. See `hxbench --help`."),
        (["run", "--frobnicate"], "hxbench run: No such option"),
        (["plan", "--yes"], "hxbench plan: No such option"),
        (["show"], "hxbench show: Missing argument 'DIRECTORY'. See `hxbench show --help`."),
        (["show", "x", "--as", "wrk"], "'wrk' is not one of 'vllm', 'guidellm', 'aiperf', 'mlperf', 'all'"),
        (["serve", "--port", "x"], "Invalid value for '--port': 'x' is not a valid integer"),
        (["gc", "--keep", "-1"], "Invalid value for '--keep': -1 is not in the range x>=0"),
        (["plan", "--inflation", "x"], "Invalid value for '--inflation': 'x' is not a valid float"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_command_line_does_not_know_is_one_line_and_2(
    arguments: list[str], text: str, capfd: pytest.CaptureFixture[str], workplace: Path
) -> None:
    assert 2 == cli.run_command(arguments)
    said = capfd.readouterr()
    assert ("", 1) == (said.out, len(said.err.splitlines()))
    assert text in said.err
    assert nothing_was_left(workplace)


def test_without_a_command_the_help_is_shown_in_the_order_of_use(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == cli.run_command([])
    shown = capfd.readouterr().out
    names = [
        "certify",
        "plan",
        "run",
        "memory",
        "judge",
        "render",
        "show",
        "verify",
        "sign",
        "keygen",
        "index",
        "gc",
        "init",
        "check",
        "serve",
    ]
    places = [shown.index(f"\n  {name} ") for name in names]
    assert sorted(places) == places
    assert "..." not in shown.partition("Commands:")[2]  # no command's line is cut off


BAD_TARGETS = {
    "not the model": (
        Behaviour(models=lambda _: [plain(200, '{"data": [{"id": "other"}]}')]),
        "it lists: other",
    ),
    "no key": (Behaviour(models=lambda _: [plain(401, "{}")]), "name the key's variable with --api-key-env"),
    "not found": (Behaviour(chat=lambda _: [plain(404, '{"error": "no such path"}')]), "HTTP 404"),
    "no stream": (Behaviour(chat=lambda _: [plain(200, '{"choices": []}')]), "no streaming"),
    "empty stream": (
        Behaviour(chat=lambda _: [servers.STREAM_HEAD + servers.DONE + servers.END]),
        "the stream carried no token",
    ),
    "never ready": (Behaviour(health=lambda _: [plain(503, '{"status": "loading"}')]), "not ready"),
    "health not found": (Behaviour(health=lambda _: [plain(500, "oops")]), "HTTP 500"),
    "not HTTP": (Behaviour(health=lambda _: [b"SSH-2.0-OpenSSH\r\n"]), "not reachable"),
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_a_target_that_is_not_what_it_should_be_is_named(
    name: str, capfd: pytest.CaptureFixture[str], workplace: Path
) -> None:
    behaviour, text = BAD_TARGETS[name]
    with Server(behaviour) as server:
        ready = ["--set", "target.ready.within=1 s"]
        assert text in refused(capfd, "run", "--url", server.url, "--model", "m", "--requests", "3", *ready)
    assert nothing_was_left(workplace)


def test_a_refused_key_is_named_by_its_variable_and_never_shown(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "canary-key-value")
    with Server(Behaviour(models=lambda _: [plain(401, "bad key canary-key-value")])) as server:
        line = refused(capfd, "run", "--url", server.url, "--model", "m", "--api-key-env", "A_KEY")
    assert "A_KEY was refused" in line
    assert "canary" not in line


def test_a_folder_that_cannot_be_written_is_named(capfd: pytest.CaptureFixture[str], workplace: Path) -> None:
    (workplace / "file").write_text("in the way")
    with Server() as server:
        line = refused(capfd, "run", "--url", server.url, "--model", "m", "--out", "file/run")
        assert 0 == len(server.requests)
    assert "file/run" in line


def test_a_folder_that_holds_a_run_is_not_written_over(
    capfd: pytest.CaptureFixture[str], workplace: Path
) -> None:
    (workplace / "old" / "records").mkdir(parents=True)
    with Server() as server:
        line = refused(capfd, "run", "--url", server.url, "--model", "m", "--out", "old")
    assert "holds a run already" in line


def test_init_never_writes_over_a_file(capfd: pytest.CaptureFixture[str], workplace: Path) -> None:
    (workplace / "profile.yaml").write_text("mine")
    assert "exists already" in refused(capfd, "init")
    assert "mine" == (workplace / "profile.yaml").read_text()


def test_a_damaged_model_file_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    folder = workplace / "models"
    folder.mkdir()
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF but not much of it")
    monkeypatch.setenv("HXBENCH_MODEL_DIR", str(folder))
    line = refused(capfd, "run", "--requests", "3")
    assert "damaged" in line
    assert not (workplace / "outputs").exists()


def test_a_taken_port_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = refused(capfd, "serve", "--port", str(taken.getsockname()[1]))
    assert "port" in line


def test_our_own_bug_gives_one_line_and_a_traceback_in_a_file(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setattr(proposal, "write", lambda *_: 1 / 0)
    assert 4 == cli.run_command(["init"])
    said = capfd.readouterr().err
    assert 1 == len(said.splitlines())
    assert "ZeroDivisionError" in said
    assert "Traceback" in (workplace / "outputs" / "log.txt").read_text()
