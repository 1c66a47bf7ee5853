"""Runs notebooks headless and says of each whether it is whole.

papermill and the kernel run in processes of their own, in a private folder, without configuration,
start-up files or kernels of the user's. Whether a notebook is whole is read from what stands in it.
"""

import ast
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hxbench
from hxbench.errors import InputError
from hxbench.render.completeness import mark, shortfall, unmark
from hxbench.render.files import read_notebook, write_notebook
from hxbench.shipped import shipped

_STOP_S = 15.0  # from the order to stop to a kill; papermill gives its kernel 5
_NOT_PASSED_ON = ("PYTHONSTARTUP", "PYTHONWARNINGS", "JUPYTER_CONFIG_PATH", "JUPYTER_PATH", "IPYTHON_CONFIG")
_TYPES: dict[type, tuple[str, tuple[type, ...]]] = {
    str: ("text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


@dataclass(frozen=True)
class Executed:
    """A notebook that ran; `reason` says why it is not whole."""

    path: Path
    complete: bool
    reason: str | None


def execute(
    notebook: str | Path, out_path: Path, parameters: Mapping[str, Any], timeout: float | None = None
) -> Executed:
    """Runs a notebook, shipped (`validation`) or a path, with these parameters and writes it to `out_path`.

    `timeout` is the longest one cell may take, in seconds. A cell that fails, a kernel that dies, a cell that
    never ran, a result that is missing: each leaves a notebook that says INCOMPLETE on its face.
    Raises: InputError, before a kernel starts, for a notebook or parameters that cannot work.
    """
    source = find(notebook)
    _check(source.name, declared(source), parameters)
    _write_marked(out_path, read_notebook(source), "it was not run")
    try:
        with _private_folder() as folder:
            ending = _run(folder, source, out_path, dict(parameters), timeout)
    except BaseException:  # an interrupt: what ran until then is kept, and says that it is not all
        _judged(source, out_path, "it was stopped")
        raise
    return _judged(source, out_path, ending)


def find(notebook: str | Path) -> Path:
    """Returns the path of a notebook: of a file, or of one shipped under this name.

    Raises: InputError when there is neither.
    """
    path = Path(notebook)
    if path.suffix != ".ipynb":
        return shipped("notebooks", f"{notebook}.ipynb")
    if not path.is_file():
        raise InputError(f"{path}: no such notebook")
    return path


def declared(path: Path) -> dict[str, Any]:
    """Returns the parameters a notebook declares, with their defaults: the literals of its `parameters` cell.

    Raises: InputError when it is not a notebook or has no such cell.
    """
    tagged = [cell for cell in read_notebook(path).cells if "parameters" in cell.metadata.get("tags", [])]
    if not tagged or tagged[0].cell_type != "code":
        raise InputError(f"{path.name}: expected a code cell tagged 'parameters', found none")
    return dict(_literals(path.name, tagged[0].source))


def _literals(name: str, source: str) -> Iterator[tuple[str, Any]]:
    try:
        for line in ast.parse(source).body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                yield line.targets[0].id, ast.literal_eval(line.value)
    except (SyntaxError, ValueError):
        raise InputError(f"{name}: parameters: expected NAME = LITERAL on each line") from None


def _check(name: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if key not in known:
            names = ", ".join(known) or "no parameters"
            raise InputError(f"{name}: parameters.{key}: unknown name; the notebook has {names}")
        expected, types = _TYPES.get(type(known[key]), ("text, a number, true or false", (str, int, float)))
        finite = not isinstance(value, float) or math.isfinite(value)
        if type(value) not in types or not finite:
            raise InputError(f"{name}: parameters.{key}: expected {expected}, got {value!r}")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Makes a folder with a short path, because sockets lie in it, and takes it away again."""
    base = "/tmp" if os.path.isdir("/tmp") else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="hx-", dir=base, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _run(
    folder: Path, source: Path, out_path: Path, parameters: dict[str, Any], timeout: float | None
) -> str | None:
    """Returns why the process ended badly, or None."""
    request, log = folder / "request.json", folder / "log.txt"
    asked = {"notebook": str(source.resolve()), "out": str(out_path.resolve()), "parameters": parameters}
    request.write_text(json.dumps(asked | {"timeout": timeout}), "utf-8")
    command = [sys.executable, "-P", "-W", "ignore", "-m", "hxbench.render.headless", str(request)]
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=_environment(folder),
            start_new_session=True,
        )  # fmt: skip
        try:
            child.wait()
        finally:
            _stop(child)
    return None if child.returncode == 0 else _last_line(log)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Closes the child's input, which tells it to stop, and kills it when it does not."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _environment(folder: Path) -> dict[str, str]:
    """Returns the caller's environment, which may hold keys, with the user's Jupyter and IPython left out."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    own = {f"JUPYTER_{kind}_DIR": str(folder) for kind in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_NO_CONFIG": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    own |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONPATH": _search_path(kept.get("PYTHONPATH"))}
    return kept | own


def _search_path(given: str | None) -> str:
    """Returns a PYTHONPATH under which the kernel finds the hxbench that runs now: a checkout is added."""
    home = Path(hxbench.__file__).parent.parent
    checkout = [] if home.name in ("site-packages", "dist-packages") else [str(home)]
    return os.pathsep.join(([given] if given else []) + checkout)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "its process ended without a word"


def _judged(source: Path, out_path: Path, ending: str | None) -> Executed:
    try:
        notebook = read_notebook(out_path)
    except InputError:
        notebook = read_notebook(source)
        ending = ending or "its process left no readable notebook"
    unmark(notebook)
    for key in ("input_path", "output_path"):  # where it lay on this machine is nobody's business
        notebook.metadata.get("papermill", {}).pop(key, None)
    reason = ": ".join(part for part in (ending, shortfall(notebook)) if part) or None
    _write_marked(out_path, notebook, reason)
    return Executed(out_path, reason is None, reason)


def _write_marked(path: Path, notebook: Any, reason: str | None) -> None:
    if reason is not None:
        mark(notebook, reason)
    write_notebook(path, notebook)
