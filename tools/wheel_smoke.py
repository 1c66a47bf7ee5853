"""Builds the wheel and tries it as a stranger would: empty environment, another folder, a space in its path.

Prints one line a step and ends with 1 at the first that does not do what it should.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

SHIPPED = """
from pathlib import Path
import hxbench
from hxbench.plan.layers import resolve

package = Path(hxbench.__file__).resolve().parent
assert package.is_relative_to(Path.cwd()), f"imported from {package}"
for shipped in ("notebooks/validation.ipynb", "parameters/smollm2-135m.yaml", "data/prompts/short.jsonl"):
    assert (package / shipped).is_file(), f"{shipped} is not in the wheel"
assert "smollm2-135m" == resolve("smollm2-135m").profile.name
"""


@dataclass(frozen=True)
class Step:
    """A command from the wheel's environment, the status it ends with and a word of its output."""

    says: str
    command: Sequence[str]
    status: int = 0
    word: str = ""


STEPS = [
    Step("the installed packages agree", ["python", "-m", "pip", "check"]),
    Step("the version is printed", ["hxbench", "--version"], word="hxbench"),
    Step("the help lists the commands", ["hxbench", "--help"], word="certify"),
    Step("profile, notebook and prompts are inside", ["python", "-c", SHIPPED]),
    Step("a key needs the extra", ["hxbench", "keygen"], status=2, word="pip install 'hxbench[sign]'"),
    Step("a missing profile is refused", ["hxbench", "certify", "none.yaml"], status=2, word="none.yaml"),
    Step(
        "a real model is measured, judged and rendered",
        ["hxbench", "certify", "--requests", "10", "--warmup", "1s", "--undecided-ok"],
        status=3,
        word="CONDITIONAL",
    ),
    Step("the run opens again", ["hxbench", "show", "outputs/latest"], word="CONDITIONAL"),
]


def main() -> int:
    with TemporaryDirectory(prefix="hxbench wheel ") as name:
        folder = Path(name)
        with timed("the wheel builds"):
            wheel = build(folder)
        with timed("it installs into an empty environment"):
            install(folder, wheel)
        for step in STEPS:
            with timed(step.says):
                take(step, folder)
    return 0


def build(folder: Path) -> Path:
    """The wheel, made from the source distribution, so that this one is whole too."""
    run([sys.executable, "-m", "build", "--outdir", str(folder / "dist"), "."], Path.cwd())
    return next((folder / "dist").glob("*.whl"))


def install(folder: Path, wheel: Path) -> None:
    run([sys.executable, "-m", "venv", "environment"], folder)
    run(["python", "-m", "pip", "install", "--quiet", f"{wheel}[embedded]"], folder)


def take(step: Step, folder: Path) -> None:
    output = run(step.command, folder, step.status)
    if step.word not in output:
        raise SystemExit(f"NOT OK: {' '.join(step.command)} does not say {step.word!r}:\n{output}")


def run(command: Sequence[str], folder: Path, status: int = 0) -> str:
    """The output of a command that ends with `status`, with the new environment's programs first."""
    programs = f"{folder / 'environment' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**variables, "PATH": programs},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != status:
        raise SystemExit(f"NOT OK: {' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


@contextmanager
def timed(says: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"wheel: {says} ({time.monotonic() - started:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
