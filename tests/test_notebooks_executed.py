"""Every shipped notebook, run headless over the embedded server with the real model: whole, quiet, small."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import nbformat
import pytest

from hxbench.errors import InputError
from hxbench.render.completeness import result_of
from hxbench.render.exporter import page
from hxbench.render.notebooks import Executed, execute
from hxbench.render.plot_data import PLOTLY_MIME
from hxbench.servers.model import model_file

LARGEST_NOTEBOOK, LARGEST_PAGE = 300_000, 1_000_000  # bytes
PROFILE = """\
schema: 1
name: small
target: {server: embedded, model: smollm2-135m, embedded: {slots: 2, context: 2048}}
workload: {output_tokens: 4}
load: {users: 1, warmup: 0 s, measure: 2 s}
objectives: {ttft: {p50: 9 s}, error_rate: 50 %}
"""
# name -> parameters; the first measures what the two after it open
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "explore": {"measure": "4 s", "output_tokens": 8},
    "validation": {"run_dir": "outputs/latest"},
    "certificate": {},
    "benchmark": {"profile": "small.yaml", "users": "1, 2", "measure": "2 s", "run_dir": "sweep"},
    "observability": {"run_dir": "outputs/latest"},
    "memory": {
        "profile": "small.yaml", "checks": "at once", "at_once": "1, 2", "tokens": 4, "run_dir": "memory",
    },
}  # fmt: skip
STATUS = {
    "benchmark": {"MEASURED"},
    "memory": {"PASS", "INCONCLUSIVE"},  # samples may come too seldom on a crowded machine
}
PROGRESS = re.compile(
    r"profile \S+ [0-9a-f]{64}$|run /|planned |.+ · \d+ answered · 0 failed |memory check |step \d of \d: "
)
# what a reader came for
FIGURES = {
    "explore": {"Time to first token", "Tokens as they arrived", "Where the time went"},
    "validation": {"Every gate against its limit", "Time to first token over time", "Slowest requests"},
    "certificate": {"Every gate against its limit"},
    "benchmark": {"Latency against load", "Throughput against load", "Tokens as they arrived"},
    "observability": {"Processor, memory, and the server's own metrics"},
    "memory": {"Memory of the servers, step by step"},
}


@pytest.fixture(scope="module")
def executed(
    tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str], NoReturn]
) -> Mapping[str, Executed]:
    try:
        model_file("smollm2-135m", print)
    except InputError as error:
        unavailable(str(error))
    folder = tmp_path_factory.mktemp("executed")
    (folder / "small.yaml").write_text(PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HXBENCH_OUTPUTS", raising=False)
        return {
            name: execute(name, folder / f"{name}.ipynb", given, 900) for name, given in PARAMETERS.items()
        }


@pytest.fixture(params=PARAMETERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def notebook(executed: Mapping[str, Executed], name: str) -> Any:
    return nbformat.read(executed[name].path, as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_it_is_whole_and_has_its_result(executed: Mapping[str, Executed], name: str, notebook: Any) -> None:
    assert (True, None) == (executed[name].complete, executed[name].reason)
    result = result_of(notebook)
    assert result is not None
    assert result["status"] in STATUS.get(name, {"CONDITIONAL"})


def test_it_says_nothing_beside_how_the_load_went(name: str, notebook: Any) -> None:
    said = [output.text for output in outputs(notebook) if output.output_type == "stream"]
    lines = "".join(said).splitlines()
    assert (name in ("explore", "benchmark", "memory")) == bool(lines)
    assert [] == [line for line in lines if not PROGRESS.match(line)]


def test_its_figures_are_there(name: str, notebook: Any) -> None:
    shown = [output.data.get(PLOTLY_MIME) for output in outputs(notebook) if "data" in output]
    titles = {spec["layout"]["title"]["text"] for spec in shown if spec}
    assert set() == FIGURES[name] - titles


def test_it_and_its_page_are_small(executed: Mapping[str, Executed], name: str, notebook: Any) -> None:
    assert executed[name].path.stat().st_size < LARGEST_NOTEBOOK
    assert len(page(notebook).encode()) < LARGEST_PAGE


def test_it_names_no_folder_of_this_machine(executed: Mapping[str, Executed], name: str) -> None:
    if name in ("validation", "certificate"):  # the others say where they measured to
        assert str(executed[name].path.parent) not in Path(executed[name].path).read_text()
