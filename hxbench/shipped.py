"""Finds the files that come with hxbench: parameters, prompt sets, notebooks."""

from pathlib import Path

from hxbench.errors import InputError

_PACKAGE = Path(__file__).parent


def shipped(folder: str, name: str) -> Path:
    """Returns the path of a shipped file, such as `shipped("data", "prompts/short.jsonl")`.

    Raises: InputError when there is no such file; the text lists those beside it.
    """
    path = _home(folder, _PACKAGE) / name
    there = sorted(each.name for each in path.parent.glob("*") if each.is_file())
    if path.name not in there:
        raise InputError(f"{folder}/{name}: no such file comes with hxbench; there are: {', '.join(there)}")
    return path


def shipped_names(folder: str, suffix: str) -> list[str]:
    """Returns the sorted names, without suffix, of the files directly in a shipped folder."""
    home, _, inner = folder.partition("/")
    return sorted(
        path.name.removesuffix(suffix) for path in (_home(home, _PACKAGE) / inner).glob(f"*{suffix}")
    )


def _home(folder: str, package: Path) -> Path:
    """Returns where a folder lies: inside the package (a wheel) or beside it (a checkout)."""
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
