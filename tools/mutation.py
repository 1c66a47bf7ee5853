"""Changes the gate code, one comparison or whole number at a time, and says which changes no test notices.

python -m tools.mutation            every mutant; ends with 1 when one survives
python -m tools.mutation gates.py   those of the files whose name ends so

A mutant meets the quick tests of its own module; those that simulate many runs are left to `make test`. What
survives, and why that is no defect, stands in `simulation/MUTATION.md`.
"""

import ast
import contextlib
import copy
import importlib
import io
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

GATES = "test_judge_gates"
TESTS: dict[str, tuple[str, ...]] = {
    "hxbench/judge/gates.py": (GATES, "test_judge_forecast"),
    "hxbench/judge/evidence.py": (GATES,),
    "hxbench/judge/inference.py": (GATES,),
    "hxbench/judge/relative.py": ("test_judge_relative",),
    "hxbench/judge/collect.py": (GATES,),
    "hxbench/judge/samples.py": (GATES,),
    "hxbench/stats/proportions.py": ("test_stats_proportions", GATES),
    "hxbench/stats/quantiles.py": ("test_stats_quantiles", GATES),
    "hxbench/stats/multiplicity.py": ("test_stats_multiplicity", GATES),
    "hxbench/stats/sample_size.py": ("test_stats_sample_size", GATES),
    "hxbench/stats/dependence.py": ("test_stats_dependence", GATES),
}
PROCESSES = 2
LIMIT_S = 60  # of processor time: a mutant that loops for ever is noticed too

OPERATORS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
FUNCTIONS = {"lt": ("le", "ge"), "le": ("lt", "gt"), "gt": ("ge", "le"), "ge": ("gt", "lt")}


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the line, what stands there now, and the whole changed source."""

    path: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Yields every mutant of a module."""
    tree = ast.parse(source)
    nodes = [(at, node) for at, node in enumerate(ast.walk(tree)) if isinstance(node, ast.expr)]
    for position, node in nodes:
        for changed in variants(node):
            other = copy.deepcopy(tree)
            place = list(ast.walk(other))[position]
            place.__dict__.update(changed.__dict__)
            yield Mutant(path, node.lineno, ast.unparse(node), ast.unparse(changed), ast.unparse(other))


def variants(node: ast.expr) -> Iterator[ast.expr]:
    """Yields what may stand in a node's place: another comparison, one more or less, or for and."""
    if isinstance(node, ast.Compare):
        for position, operator in enumerate(node.ops):
            for other in OPERATORS[type(operator)]:
                ops = [*node.ops[:position], other(), *node.ops[position + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "operator":
        yield from (ast.Attribute(node.value, name, node.ctx) for name in FUNCTIONS.get(node.attr, ()))
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield from (ast.Constant(node.value + step) for step in (-1, 1))
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def survives(mutant: Mutant) -> bool:
    """Tells whether the tests pass on a copy of the package that has the change."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for path in Path.cwd().iterdir():
            (Path(folder) / path.name).symlink_to(path)
        package = Path(folder) / "hxbench"
        package.unlink()
        shutil.copytree("hxbench", package)
        (Path(folder) / mutant.path).write_text(mutant.source)
        os.chdir(folder)
        return passes(TESTS[mutant.path])


def passes(tests: Sequence[str]) -> bool:
    """Tells whether the tests pass on the package in this folder."""
    sys.path.insert(0, str(Path.cwd()))
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main(["-xq", "-p", "no:cacheprovider", *(f"tests/{name}.py" for name in tests)]) == 0


def _too_long(*_: object) -> None:
    raise TimeoutError(f"longer than {LIMIT_S} s")


def main(wanted: str = "") -> int:
    """Prints the survivors and the score; returns the exit status."""
    sources = {path: Path(path).read_text() for path in TESTS if path.endswith(wanted)}
    made = [each for path, source in sources.items() for each in mutants(path, source)]
    everything = tuple(dict.fromkeys(name for path in sources for name in TESTS[path]))
    survivors = 0
    with multiprocessing.get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        if not pool.apply(passes, [everything]):
            print("the tests do not pass as it is: nothing can be said about mutants")
            return 2
        for mutant, lives in zip(made, pool.imap(survives, made), strict=True):
            survivors += lives
            print(mutant if lives else ".", end="\n" if lives else "", flush=True)
    print(f"\n{len(made) - survivors} of {len(made)} mutants noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    for library in ("pandas", "pyarrow.parquet", "pydantic", "scipy.fft", "scipy.stats"):
        importlib.import_module(library)  # once, not again for each mutant
    sys.exit(main(*sys.argv[1:]))
