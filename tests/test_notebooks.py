"""Notebooks run headless: whole ones pass, and nothing else does, whatever papermill says."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import notebooks_by_hand as by_hand
import psutil
import pytest
from notebook_rules import RULES

from hxbench.errors import InputError
from hxbench.render import notebooks
from hxbench.render.completeness import PARTIAL_TAG, mark, shortfall
from hxbench.render.exporter import page
from hxbench.render.notebooks import Executed, declared, execute, find

SHIPPED = (
    "explore",
    "benchmark",
    "validation",
    "certificate",
    "memory",
    "observability",
    "alerts",
)  # in the order of use
LOOK_AROUND = """
import os, sys, hxbench
from IPython import get_ipython
print(profile, seed, sys.executable, os.environ["HXBENCH_TEST_CANARY"], "PYTHONSTARTUP" in os.environ)
print(get_ipython().kernel.parent.transport, "startup" in globals(), hxbench.__file__)
"""
CALLER = """
import sys
from pathlib import Path
from hxbench.render.notebooks import execute
execute(Path(sys.argv[1], "n.ipynb"), Path(sys.argv[1], "o.ipynb"), {})
"""
# name -> cells after the parameters; longest time of a cell in s; why it is not whole, None if it is
CASES: Mapping[str, tuple[tuple[str, ...], float | None, str | None]] = {
    "whole": ((LOOK_AROUND, by_hand.SHOW_RESULT), 60, None),
    "exception": (
        ("raise ValueError('no <b> way')", by_hand.SHOW_RESULT),
        60,
        "code cell 3 ended in ValueError: no <b> way",
    ),
    "sys.exit(0)": (
        ("import sys; sys.exit(0)", by_hand.SHOW_RESULT),
        60,
        "code cell 3 ended in SystemExit: 0",
    ),
    "os._exit(0)": (("import os; os._exit(0)", by_hand.SHOW_RESULT), 60, "the kernel died: code cell "),
    "SIGKILL": (
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", by_hand.SHOW_RESULT),
        60,
        "the kernel died: code cell ",
    ),
    "out of memory": (
        ("bytearray(1 << 60)", by_hand.SHOW_RESULT),
        60,
        "code cell 3 ended in MemoryError",
    ),
    "time-out": (
        ("import time; time.sleep(60)", by_hand.SHOW_RESULT),
        2,
        "a cell took longer than 2 s: code cell 3 ended in",
    ),
    "no result": (("1 + 1",), 60, "it shows no result"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Executed]:
    """Each case, run once, three at a time, in a home with a hostile start-up file and a false kernel."""
    folder = tmp_path_factory.mktemp("notebooks")
    home = folder / "home"
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-hostile.py").write_text("startup = True")
    kernel = home / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["false"], "display_name": "false", "language": "python"})
    )
    (home / "hello.py").write_text("raise SystemExit")

    def run(name: str) -> Executed:
        sources, timeout, _ = CASES[name]
        nbformat.write(by_hand.to_run(*sources), folder / f"{name}.ipynb")
        return execute(folder / f"{name}.ipynb", folder / f"{name}.out.ipynb", {"profile": "<x>"}, timeout)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(3) as pool:
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        patch.setenv("JUPYTER_PATH", str(home / "jupyter"))
        patch.setenv("PYTHONSTARTUP", str(home / "hello.py"))
        patch.setenv("HXBENCH_TEST_CANARY", "a canary")
        return dict(zip(CASES, pool.map(run, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_only_a_whole_notebook_is_complete(runs: dict[str, Executed], name: str) -> None:
    why = CASES[name][2]
    assert (why is None) == runs[name].complete
    assert str(runs[name].reason).startswith(str(why))


@pytest.mark.parametrize("name", [name for name in CASES if name != "whole"])
def test_a_partial_notebook_says_so_on_its_face_and_still_renders(
    runs: dict[str, Executed], name: str
) -> None:
    notebook = nbformat.read(runs[name].path, as_version=4)
    assert {"state": "INCOMPLETE", "reason": runs[name].reason} == notebook.metadata.hxbench
    assert notebook.cells[0].source.startswith("**INCOMPLETE.** This notebook proves nothing: ")
    assert [PARTIAL_TAG] == notebook.cells[0].metadata.tags
    assert '<p class="word">INCOMPLETE</p>' in page(notebook)


def test_a_whole_notebook_has_its_parameters_and_nothing_of_the_user_around_it(
    runs: dict[str, Executed],
) -> None:
    notebook = nbformat.read(runs["whole"].path, as_version=4)
    (output,) = (cell.outputs[0] for cell in notebook.cells if cell.source == LOOK_AROUND)
    first, second = output.text.splitlines()
    assert f"<x> 0 {sys.executable} a canary False" == first
    assert second.startswith("ipc False ")
    assert "hxbench" not in notebook.metadata
    assert {"input_path", "output_path"} & set(notebook.metadata.papermill) == set()


def test_what_ran_before_the_end_is_kept(runs: dict[str, Executed]) -> None:
    notebook = nbformat.read(runs["exception"].path, as_version=4)
    assert any(cell.get("execution_count") == 2 for cell in notebook.cells)


def test_a_stopped_caller_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    nbformat.write(by_hand.to_run("import time; time.sleep(60)"), tmp_path / "n.ipynb")
    caller = subprocess.Popen([sys.executable, "-c", CALLER, str(tmp_path)], stderr=subprocess.DEVNULL)

    def kernels() -> list[psutil.Process]:
        family = psutil.Process(caller.pid).children(recursive=True)
        return [process for process in family if "ipykernel_launcher" in process.cmdline()]

    family = _wait_for(kernels)
    family += psutil.Process(caller.pid).children(recursive=True)
    caller.send_signal(signal.SIGINT)
    assert caller.wait(120) != 0
    _, alive = psutil.wait_procs(family, timeout=120)
    assert [] == alive
    left = nbformat.read(tmp_path / "o.ipynb", as_version=4)
    assert str(shortfall(left)).startswith("it was stopped: code cell ")
    assert left.cells[0].source.startswith("**INCOMPLETE.**")


def _wait_for(found: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    for _ in range(1200):
        try:
            if there := found():
                return there
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)
    raise AssertionError("never came")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"profil": "x"},
            "n.ipynb: parameters.profil: unknown name; the notebook has profile, seed, rate, fast",
        ),
        ({"profile": 3}, "n.ipynb: parameters.profile: expected text, got 3"),
        ({"profile": Path("x")}, "n.ipynb: parameters.profile: expected text, got PosixPath('x')"),
        ({"seed": 1.5}, "n.ipynb: parameters.seed: expected a whole number, got 1.5"),
        ({"seed": True}, "n.ipynb: parameters.seed: expected a whole number, got True"),
        ({"rate": float("nan")}, "n.ipynb: parameters.rate: expected a number, got nan"),
        ({"fast": 1}, "n.ipynb: parameters.fast: expected true or false, got 1"),
    ],
)
def test_wrong_parameters_are_refused_before_a_kernel_starts(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    nbformat.write(by_hand.to_run("1"), tmp_path / "n.ipynb")
    with pytest.raises(InputError) as refused:
        execute(tmp_path / "n.ipynb", tmp_path / "out.ipynb", parameters)
    assert message == str(refused.value)
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "n.ipynb: expected a code cell tagged 'parameters', found none"),
        ("seed = random()", "n.ipynb: parameters: expected NAME = LITERAL on each line"),
        ("seed =", "n.ipynb: parameters: expected NAME = LITERAL on each line"),
    ],
)
def test_a_notebook_must_declare_its_parameters(tmp_path: Path, source: str | None, message: str) -> None:
    nbformat.write(by_hand.to_run("1", parameters=source), tmp_path / "n.ipynb")
    with pytest.raises(InputError, match=message):
        declared(tmp_path / "n.ipynb")


def test_a_parameter_without_a_default_takes_text_and_numbers(tmp_path: Path) -> None:
    nbformat.write(by_hand.to_run("1", parameters='"""text"""\nmodel = None'), tmp_path / "n.ipynb")
    assert {"model": None} == declared(tmp_path / "n.ipynb")
    with pytest.raises(
        InputError, match=r"parameters\.model: expected text, a number, true or false, got \[\]"
    ):
        execute(tmp_path / "n.ipynb", tmp_path / "o.ipynb", {"model": []})


def test_a_notebook_is_found_by_name_or_path(repository: Path) -> None:
    assert repository / "notebooks" / "validation.ipynb" == find("validation")
    with pytest.raises(InputError, match=r"notebooks/valid\.ipynb: no such file comes with hxbench"):
        find("valid")
    with pytest.raises(InputError, match=r"nowhere\.ipynb: no such notebook"):
        find("nowhere.ipynb")


@pytest.fixture(params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(find(request.param), as_version=4)


def test_every_notebook_that_is_shipped_is_looked_at(repository: Path) -> None:
    assert sorted(SHIPPED) == sorted(path.stem for path in (repository / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("rule", RULES)
def test_shipped_notebooks_keep_the_rules(shipped: Any, rule: str) -> None:
    assert [] == list(RULES[rule](shipped))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_notebooks_are_valid_and_written_as_nbformat_writes_them(name: str) -> None:
    notebook = nbformat.read(find(name), as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert nbformat.writes(notebook) + "\n" == find(name).read_text("utf-8")


def _cell(notebook: Any, name: str) -> Any:
    return next(cell for cell in notebook.cells if cell.id == name)


# rule -> what breaks it in a copy of `validation`, and what is said then
BREACHES: Mapping[str, list[tuple[Callable[[Any], Any], str]]] = {
    "without_outputs": [(lambda n: _cell(n, "card").update(execution_count=1), "card: was committed after")],
    "neutral_metadata": [
        (lambda n: n.metadata.update(signature="x"), "metadata: {"),
        (lambda n: _cell(n, "card").metadata.update(tags=["mine"]), "card: metadata"),
    ],
    "parameters_first": [
        (lambda n: _cell(n, "parameters").metadata.pop("tags"), "the first code cell does not hold"),
        (lambda n: _cell(n, "parameters").update(source="a = 1"), "parameters: expected NAME = LITERAL"),
        (lambda n: _cell(n, "parameters").update(source="a = f(1)  # s"), "parameters: no literal: a = f(1)"),
        (
            lambda n: _cell(n, "card").metadata.update(tags=["parameters"]),
            "there are two cells of parameters",
        ),
    ],
    "explained": [
        (lambda n: n.cells.remove(_cell(n, "ttft-text")), "ttft: no prose says what is asked"),
        (lambda n: _cell(n, "ttft-text").update(id="other"), "ttft: the prose before it is called other"),
    ],
    "short": [
        (lambda n: _cell(n, "ttft").update(source="run\n" * 9), "ttft: more than 8 lines"),
        (lambda n: _cell(n, "ttft").update(source="[x for x in run]"), "ttft: it computes by itself"),
        (lambda n: _cell(n, "ttft").update(source="def f(): pass\nf()"), "ttft: it computes by itself"),
        (lambda n: _cell(n, "ttft").update(source="x = 1"), "ttft: it shows nothing"),
    ],
    "unique_ids": [
        (lambda n: _cell(n, "ttft").update(id="card"), "card: twice"),
        (lambda n: _cell(n, "ttft").update(id="a1b2c3d4"), "a1b2c3d4: says nothing"),
    ],
    "questions": [
        (lambda n: n.cells.pop(0), "it does not begin with its title"),
        (
            lambda n: _cell(n, "ttft-text").update(source="### Why?"),
            "### Why?: expected a heading of",
        ),
        (lambda n: _cell(n, "ttft-text").update(source="## Speed"), "## Speed: asks nothing"),
        (lambda n: _cell(n, "result-text").update(source="## Why?"), "it does not end with the result"),
    ],
    "verdict_first": [
        (lambda n: _cell(n, "card").update(source="run.ledger"), "the first thing shown is run.ledger"),
        (lambda n: _cell(n, "result").update(source="run"), "the last thing shown is run, not run.result()"),
    ],
    "no_absolute_paths": [
        (lambda n: _cell(n, "card").update(source='hx.open("/home/me/run")'), "card: /home"),
        (lambda n: _cell(n, "ttft-text").update(source="see ~/runs"), "ttft-text: ~/"),
        (lambda n: _cell(n, "card").update(source="'C:\\\\runs'"), "card: C:"),
    ],
}


@pytest.mark.parametrize(
    ("rule", "number"), [(rule, number) for rule in BREACHES for number in range(len(BREACHES[rule]))]
)
def test_each_rule_says_how_it_is_broken(rule: str, number: int) -> None:
    spoil, says = BREACHES[rule][number]
    notebook = nbformat.read(find("validation"), as_version=4)
    spoil(notebook)
    assert next(iter(RULES[rule](notebook))).startswith(says)


def test_every_rule_has_been_seen_broken() -> None:
    assert RULES.keys() == BREACHES.keys()


def test_a_runner_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "_STOP_S", 0.1)
    deaf = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE)
    notebooks._stop(deaf)
    assert -signal.SIGKILL == deaf.returncode


def test_a_runner_that_left_garbage_leaves_a_notebook_that_says_so(tmp_path: Path) -> None:
    nbformat.write(by_hand.to_run("1"), tmp_path / "n.ipynb")
    (tmp_path / "o.ipynb").write_text('{"cells": [')
    judged = notebooks._judged(tmp_path / "n.ipynb", tmp_path / "o.ipynb", None)
    assert "its process left no readable notebook: code cell 1 never ran to its end" == judged.reason
    assert "INCOMPLETE" in nbformat.read(tmp_path / "o.ipynb", as_version=4).cells[0].source


def test_a_notebook_once_marked_can_become_whole(tmp_path: Path) -> None:
    again = by_hand.after_run()
    mark(again, "it was stopped")
    nbformat.write(again, tmp_path / "o.ipynb")
    judged = notebooks._judged(tmp_path / "o.ipynb", tmp_path / "o.ipynb", None)
    assert judged.complete
    assert "INCOMPLETE" not in (tmp_path / "o.ipynb").read_text()


def test_a_runner_that_died_without_a_word_is_said_to_have_done_so(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("")
    assert "its process ended without a word" == notebooks._last_line(tmp_path / "log.txt")


def test_an_installed_hxbench_needs_no_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hxbench.__file__", "/venv/lib/site-packages/hxbench/__init__.py")
    assert ("", "mine") == (notebooks._search_path(None), notebooks._search_path("mine"))
