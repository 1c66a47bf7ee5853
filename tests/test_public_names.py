"""What `import hxbench` offers, and what it and `hxbench --help` leave alone."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hxbench

MODULES = {"pyyaml": "yaml"}  # where the module is not called like its package


@pytest.fixture(scope="module")
def libraries(repository: Path) -> set[str]:
    """The modules of every dependency but the one that reads the command line."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = [*project["dependencies"], *extras["embedded"], *extras["sign"]]
    packages = {re.split(r"[^\w.-]", name)[0].lower() for name in names}
    return {MODULES.get(name, name.replace("-", "_")) for name in packages} - {"click"}


def imported_by(code: str) -> set[str]:
    """The top-level modules a fresh interpreter has imported after `code`, also when that ends it."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr[-2000:]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}


def test_every_public_name_resolves() -> None:
    assert [] == [name for name in hxbench.__all__ if getattr(hxbench, name, None) is None]


def test_every_public_name_is_listed() -> None:
    assert sorted([*hxbench.__all__, "__version__"]) == dir(hxbench)


def test_a_public_name_stays_a_function_when_the_room_of_that_name_was_imported() -> None:
    names = "import hxbench as hx; hx.run; import hxbench.judge.gates, hxbench.plan.layers, hxbench.render"
    shown = "print([type(getattr(hx, name)).__name__ for name in ('judge', 'plan', 'render')])"
    done = subprocess.run([sys.executable, "-c", f"{names}; {shown}"], capture_output=True, text=True)
    assert "['function', 'function', 'function']\n" == done.stdout, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hxbench' has no attribute 'measure'"):
        hxbench.measure  # noqa: B018


def test_the_import_brings_in_no_library(libraries: set[str]) -> None:
    assert set() == imported_by("import hxbench") & libraries


def test_help_brings_in_no_library(libraries: set[str]) -> None:
    code = "import sys; sys.argv = ['hxbench', '--help']; from hxbench.cli import main; sys.exit(main())"
    assert set() == imported_by(code) & libraries


# They take seconds to import, which no load should wait for; a child that records has no use for them.
JUDGING = {"IPython", "nbconvert", "nbformat", "pandas", "plotly", "scipy"}
WRITING = """
import sys
from pathlib import Path
from hxbench.records import schemas, tables
tables.write(Path(sys.argv[1]), schemas.CLOCK, [(1, 2, None)])
"""


@pytest.mark.parametrize("code", ["import hxbench.recording", "import hxbench.record.decoder"])
def test_what_records_brings_in_no_library_that_judges(code: str) -> None:
    assert set() == imported_by(code) & JUDGING


def test_a_process_that_runs_a_notebook_builds_no_grammar() -> None:
    imported = imported_by("import hxbench.render.headless")
    assert {"jsonschema"} == imported & {"jsonschema", "lark"}  # which builds it, where JupyterLab is


def test_a_table_is_written_without_pandas(tmp_path: Path) -> None:
    code = WRITING.replace("sys.argv[1]", repr(str(tmp_path / "clock.parquet")))
    assert set() == imported_by(code) & JUDGING
    assert (tmp_path / "clock.parquet").exists()


def test_the_list_of_libraries_is_not_empty(libraries: set[str]) -> None:
    assert {"cryptography", "pandas", "yaml", "prometheus_api_client", "xllamacpp"} <= libraries
