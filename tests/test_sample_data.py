"""The shipped prompts and traces that a script makes are what it makes."""

from pathlib import Path

import pytest

from tools import sample_data


@pytest.mark.parametrize("name", sample_data.files())
def test_the_shipped_file_is_what_the_script_writes(name: str, repository: Path) -> None:
    assert sample_data.files()[name] == (repository / "data" / name).read_text(encoding="utf-8")
