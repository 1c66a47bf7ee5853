"""The rooms of the house: a module imports only from rooms above its own, and never in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOMS = [
    {"errors", "units", "canonical_json", "shipped", "children"},
    {"plan"},
    {"wire"},
    {"records"},
    {"stats"},
    {"judge"},
    {"record"},
    {"servers"},
    {"render"},
    {"recording", "retention", "memory_recording", "alert_recording"},
    {"workbench"},
    {"sweeping", "footprint", "drill"},
    {"folders"},
    {"cli"},
    {"__main__"},
]
LEVELS = {name: level for level, names in enumerate(ROOMS) for name in names}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, package: str, known: set[str]) -> Iterator[str]:
    """The modules out of `known` that `tree` imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{origin}.{alias.name}"
                yield from (name for name in [target if target in known else origin] if name in known)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Each module below `root` with the modules of the same package it imports."""
    paths = {module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    graph = {}
    for name, path in paths.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = set(imported(ast.parse(path.read_text()), package, set(paths))) - {name}
    return graph


def downward(graph: dict[str, set[str]], top: str) -> list[str]:
    """Each import from a lower room, as text; the package itself lies outside the rooms."""

    def level(module: str) -> int:
        return LEVELS[module.split(".")[1]]

    return sorted(
        f"{module} imports {target}"
        for module, targets in graph.items()
        for target in targets
        if top not in (module, target) and level(target) > level(module)
    )


@pytest.fixture(scope="module")
def graph(repository: Path) -> dict[str, set[str]]:
    return import_graph(repository / "hxbench")


def test_every_module_belongs_to_a_room(graph: dict[str, set[str]]) -> None:
    assert {module.split(".")[1] for module in graph if "." in module} <= LEVELS.keys()


def test_a_room_imports_only_rooms_above_it(graph: dict[str, set[str]]) -> None:
    assert [] == downward(graph, "hxbench")


def test_no_import_goes_in_a_circle(graph: dict[str, set[str]]) -> None:
    without_package = {name: targets - {"hxbench"} for name, targets in graph.items() if name != "hxbench"}
    assert set(without_package) == set(TopologicalSorter(without_package).static_order())


WAYS = [
    "import hx.cli",
    "from hx import cli",
    "from hx.cli import main",
    "from .. import cli",
    "from ..cli import main",
]


@pytest.mark.parametrize("statement", WAYS)
def test_each_way_to_import_a_lower_room_is_seen(tmp_path: Path, statement: str) -> None:
    root = tmp_path / "hx"
    (root / "judge").mkdir(parents=True)
    for empty in ("__init__.py", "cli.py", "judge/__init__.py"):
        (root / empty).touch()
    (root / "judge" / "gates.py").write_text(f"def late():\n    {statement}\n")
    assert ["hx.judge.gates imports hx.cli"] == downward(import_graph(root), "hx")
