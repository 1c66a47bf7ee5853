"""The files to copy in docs/ci: they parse, every command in them exists, and the shell part is run."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hxbench import cli
from hxbench.errors import InputError
from hxbench.servers.model import model_file

FOLDER = "docs/ci/"
COPIED = ("certify.sh", "github-actions.yml", "gitlab-ci.yml", "hxbench.mk")
TEXTS = ("README.md", "docs/ci/README.md", *(f"{FOLDER}{name}" for name in COPIED))
CODE = re.compile(r"```sh\n(.*?)```|`((?:hxbench|sh) [^`]+)`", re.DOTALL)  # in Markdown
CALL = re.compile(r"(?:(?<![\w./-])hxbench|\$\(HXBENCH\)|sh docs/ci/(?=certify\.sh)) ?([a-z][^`|;&#\n]*)")


def calls(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command of hxbench in a file, with the words behind it."""
    text = path.read_text()
    if path.suffix == ".md":
        text = "\n".join("".join(found) for found in CODE.findall(text))
    for found in CALL.findall(text):
        command, *words = shlex.split(found)
        yield command.removesuffix(".sh"), words


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_flag_in_them_exists(name: str, repository: Path) -> None:
    seen = list(calls(repository / name))
    assert [] != seen
    for command, words in seen:
        known = {flag for each in cli.cli.commands[command].params for flag in each.opts}
        given = {word for word in words if word.startswith("--")}
        assert set() == given - known, (command, words)


def test_the_walk_sees_commands_with_their_flags(tmp_path: Path) -> None:
    fenced = "```sh\nhxbench run --users 4   # x\nsh docs/ci/certify.sh p --out r\n```"
    (tmp_path / "a.md").write_text(f"`hxbench gc --keep 2`, hxbench is\n{fenced}\n")
    (tmp_path / "a.mk").write_text("\t$(HXBENCH) index || exit 1\n\t. .venv/bin/hxbench\n")
    seen = [*calls(tmp_path / "a.md"), *calls(tmp_path / "a.mk")]
    assert [
        ("gc", ["--keep", "2"]), ("run", ["--users", "4"]), ("certify", ["p", "--out", "r"]), ("index", []),
    ] == seen  # fmt: skip


def written(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def github(repository: Path) -> Any:
    return written(repository / FOLDER / "github-actions.yml")["jobs"]["certify"]


def gitlab(repository: Path) -> Any:
    return written(repository / FOLDER / "gitlab-ci.yml")["certify"]


def test_the_workflow_for_github_keeps_the_run_whatever_became_of_it(repository: Path) -> None:
    job = github(repository)
    used = {step["uses"].partition("@")[0]: step for step in job["steps"] if "uses" in step}
    assert {"actions/checkout", "actions/setup-python", "actions/cache", "actions/upload-artifact"} == set(
        used
    )
    kept = used["actions/upload-artifact"]
    assert ("always()", "run") == (kept["if"], kept["with"]["path"])
    assert not job["concurrency"]["cancel-in-progress"]


def test_the_job_for_gitlab_keeps_the_run_and_takes_undecided_for_a_warning(repository: Path) -> None:
    job = gitlab(repository)
    assert ("always", ["run/"]) == (job["artifacts"]["when"], job["artifacts"]["paths"])
    assert [3] == job["allow_failure"]["exit_codes"]
    assert "resource_group" in job


def test_no_file_holds_a_key_but_the_name_of_its_variable(repository: Path) -> None:
    environment = github(repository)["env"]
    assert "${{ secrets.MY_MODEL_API_KEY }}" == environment["MY_MODEL_API_KEY"]
    assert not [name for name in gitlab(repository)["variables"] if "KEY" in name]


@pytest.fixture
def shell(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs certify.sh with a program of this text as `hxbench`, in an empty folder."""
    monkeypatch.delenv("ACCEPT_UNDECIDED", raising=False)

    def run(program: str, *arguments: str, **environment: str) -> Any:
        (tmp_path / "bin").mkdir()
        hxbench = tmp_path / "bin" / "hxbench"
        hxbench.write_text(f"#!/bin/sh\n{program}\n")
        hxbench.chmod(0o755)
        return subprocess.run(
            ["sh", str(repository / FOLDER / "certify.sh"), *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900,
            env=os.environ | {"PATH": f"{hxbench.parent}:{os.environ['PATH']}"} | environment,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("status", "accept", "ends", "said"),
    [
        (0, "0", 0, ""), (1, "1", 1, "a limit was missed"), (2, "1", 2, "nothing was measured"),
        (3, "0", 3, "undecided"), (3, "1", 0, "undecided"), (4, "1", 4, "not whole"),
        (130, "1", 130, "interrupted"),
    ],
)  # fmt: skip
def test_the_script_says_what_to_do_and_only_undecided_can_be_accepted(
    status: int, accept: str, ends: int, said: str, shell: Callable[..., Any]
) -> None:
    done = shell(f'echo "$@"; exit {status}', "a b", "--out", "run", ACCEPT_UNDECIDED=accept)
    assert (ends, "certify a b --out run\n") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert (said != "") == bool(done.stderr)


def test_the_script_certifies_the_real_server_and_leaves_what_the_jobs_collect(
    shell: Callable[..., Any], tmp_path: Path, repository: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    try:
        model_file("smollm2-135m", print)
    except InputError as error:
        unavailable(str(error))
    few = ("--requests", "5", "--warmup", "0s", "--max-tokens", "8", "--undecided-ok")
    ours = f'PYTHONPATH={shlex.quote(str(repository))} exec {shlex.quote(sys.executable)} -m hxbench.cli "$@"'
    done = shell(ours, "smollm2-135m", "--out", "run", *few, ACCEPT_UNDECIDED="1")
    assert 0 == done.returncode, done.stderr
    assert "certify.sh: undecided" in done.stderr
    for path in gitlab(repository)["artifacts"]["reports"].values():
        assert (tmp_path / path).stat().st_size > 0
    metrics = text_string_to_metric_families((tmp_path / "run" / "metrics.txt").read_text())
    assert [3.0] == [
        each.value for family in metrics for each in family.samples if family.name == "hxbench_status"
    ]


def test_the_makefile_part_calls_one_command_a_target(repository: Path) -> None:
    targets = {"hxbench-certify": "certify a.yaml b.yaml", "hxbench-index": "index"}
    for target, call in targets.items():
        command = [
            "make",
            "--no-print-directory",
            "-n",
            "-f",
            FOLDER + "hxbench.mk",
            target,
            "PROFILES=a.yaml b.yaml",
            "HXBENCH=hx",
        ]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
        assert f"hx {call}" == done.stdout.strip()


def test_they_are_part_of_the_source_distribution(repository: Path) -> None:
    build = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "/docs" in build["targets"]["sdist"]["include"]
