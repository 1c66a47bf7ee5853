"""Whatever stands on the command line: a known status, no traceback, and no server or kernel started."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hxbench import cli

COMMANDS = ["certify", "run", "judge", "render", "show", "init", "check", "nonsense"]
FLAGS = [
    "--url",
    "--model",
    "--protocol",
    "--api-key-env",
    "--prompts",
    "--max-tokens",
    "--seed",
    "--users",
    "--rate",
    "--arrivals",
    "--duration",
    "--requests",
    "--warmup",
    "--trials",
    "--set",
    "--load",
    "--out",
    "--json",
    "--undecided-ok",
    "--yes",
    "--from-run",
]
VALUES = [
    *[
        "0",
        "-1",
        "1e3",
        "nan",
        "inf",
        "yes",
        "null",
        "[]",
        "{",
        "&a",
        "*a",
        "!!python/object",
        "2026-01-01",
        "010",
        "1:30",
        "load.users=0",
        "objectives={}",
    ],
    *[
        "../../etc/passwd",
        "/dev/null",
        "nosuch.yaml",
        "http://",
        "http://127.0.0.1:99999",
        "file:///etc/passwd",
    ],
    *("", "a: b", "10 s", "\u2028", "x" * 300, "target.server=embedded\n"),
]
words = st.one_of(st.sampled_from(FLAGS), st.sampled_from(VALUES), st.text(max_size=12))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(command=st.sampled_from(COMMANDS), rest=st.lists(words, max_size=5))
def test_any_command_line_ends_with_2_and_one_message(
    command: str,
    rest: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hxbench.recording.Recording.record", lambda _: pytest.fail("a run was started"))
    # a profile that cannot run, so that nothing is measured even when the flags are right
    arguments = [command, *rest] if command not in ("certify", "run") else [command, "no-such-profile", *rest]
    status = cli.run_command([word.replace("\0", "") for word in arguments])
    said = capfd.readouterr()
    helped = any(word in ("-h", "--help") for word in rest)
    assert status == 2 or helped or (command == "init" and status == 0), (arguments, said)
    assert "Traceback" not in said.err
    assert not (tmp_path / "outputs").exists()
    for path in tmp_path.iterdir():
        if path.is_file():
            os.unlink(path)
