from pathlib import Path

import pytest

import hxbench.shipped
from hxbench.errors import InputError
from hxbench.shipped import shipped, shipped_names


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    (tmp_path / "hxbench").mkdir()
    monkeypatch.setattr(hxbench.shipped, "_PACKAGE", tmp_path / "hxbench")
    return tmp_path / "hxbench"


def put(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_text("")
    return folder / name


def test_in_a_checkout_the_folder_lies_beside_the_package(package):
    assert put(package.parent / "parameters", "a.yaml") == shipped("parameters", "a.yaml")


def test_in_a_wheel_the_folder_lies_inside_and_wins(package):
    put(package.parent / "data" / "prompts", "short.jsonl")
    assert put(package / "data" / "prompts", "short.jsonl") == shipped("data", "prompts/short.jsonl")


@pytest.mark.parametrize("name", ["b.yaml", "x" * 300])
def test_a_missing_file_is_named_with_those_that_are_there(package, name):
    put(package / "parameters", "a.yaml")
    with pytest.raises(InputError) as caught:
        shipped("parameters", name)
    assert f"parameters/{name}: no such file comes with hxbench; there are: a.yaml" == str(caught.value)


def test_names_are_sorted_and_without_suffix(package):
    put(package / "data" / "prompts", "b.jsonl")
    (package / "data" / "prompts" / "a.jsonl").write_text("")
    (package / "data" / "prompts" / "c.txt").write_text("")
    assert ["a", "b"] == shipped_names("data/prompts", ".jsonl")


def test_the_shipped_profiles_and_prompts_are_there():
    assert {"smollm2-135m", "mixtral-8x7b", "hermes-2", "openchat-3.5", "phi-3-mini"} <= set(
        shipped_names("parameters", ".yaml")
    )
    assert {"questions", "short"} <= set(shipped_names("data/prompts", ".jsonl"))
