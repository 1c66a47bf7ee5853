"""Changes the gate code, one comparison or whole number at a time, and says which changes no test notices.

python -m tools.mutation            every mutant; ends with 1 when one survives
python -m tools.mutation gates.py   those of the files in whose path this stands

A mutant meets the quick tests of its own module, first those that noticed an earlier one; tests that simulate
many runs are left to `make test`. All is imported once: each mutant is a fork in which the functions and the
constants of its module are replaced. What survives, and why, stands in `simulation/MUTATION.md`.
"""

import ast
import copy
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

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
LIMIT_S = 20  # of processor time: a mutant that loops for ever is noticed too

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


class Mutating:
    """A plugin of pytest that runs the tests on each mutant, until one fails, instead of once."""

    def __init__(self, unchanged: Sequence[Mutant], made: Sequence[Mutant]) -> None:
        self._unchanged, self._made = unchanged, made
        self._recent: list[str] = []
        self.survivors: list[Mutant] = []
        self.sound = False  # every test passes as it is, and where each function is replaced by itself

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Prints each survivor, and a dot for each mutant that was noticed."""
        self.sound = noticed_by(self._unchanged, session.items) is None
        for mutant in self._made if self.sound else ():
            first = {name: rank for rank, name in enumerate(reversed(self._recent))}
            items = [item for item in session.items if item.path.stem in TESTS[mutant.path]]
            items.sort(key=lambda item: first.get(item.nodeid, len(first)))
            noticed = noticed_by([mutant], items)
            if noticed is None:
                self.survivors.append(mutant)
            else:
                self._recent = [name for name in self._recent if name != noticed] + [noticed]
            print(mutant if noticed is None else ".", end="\n" if noticed is None else "", flush=True)
        return True


def noticed_by(changes: Sequence[Mutant], items: Sequence[pytest.Item]) -> str | None:
    """Returns the first test that fails on these changes, in a fork of this process; None when all pass."""
    sink, told = os.pipe()
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # its signal ends the child
        position = len(items)
        try:
            for mutant in changes:
                replace(mutant)
            position = next((at for at in range(len(items)) if not passes(items, at)), -1)
        finally:
            os.write(told, str(position).encode())
            os._exit(0)
    os.close(told)
    with os.fdopen(sink) as heard:
        answer = heard.read()
    os.waitpid(child, 0)
    if not answer or int(answer) == len(items):
        return "it ended, or never did"
    return None if answer == "-1" else items[int(answer)].nodeid


def passes(items: Sequence[pytest.Item], at: int) -> bool:
    """Runs one test."""
    following = items[at + 1] if at + 1 < len(items) else None
    return not any(report.failed for report in runtestprotocol(items[at], log=False, nextitem=following))


def replace(mutant: Mutant) -> None:
    """Puts a mutant's functions and constants in the place of those that everybody has imported."""
    old = importlib.import_module(mutant.path.removesuffix(".py").replace("/", "."))
    changed = dict(vars(old))
    exec(compile(mutant.source, mutant.path, "exec"), changed)  # noqa: S102  # our own code, a little changed
    for name, now in vars(old).copy().items():
        if getattr(now, "__module__", None) == old.__name__ and isinstance(now, type):
            for member, value in vars(now).items():
                _transplant(value, vars(changed[name]).get(member))
        elif getattr(now, "__module__", None) == old.__name__:
            _transplant(now, changed[name])
        elif not name.startswith("__") and now != changed[name]:
            _rebind(name, now, changed[name])


def _transplant(old: Any, new: Any) -> None:
    if isinstance(old, FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = (
            new.__code__,
            new.__defaults__,
            new.__kwdefaults__,
        )
    elif isinstance(old, property):
        _transplant(old.fget, new.fget)
    elif isinstance(old, cached_property):
        _transplant(old.func, new.func)


def _rebind(name: str, old: Any, new: Any) -> None:
    """Gives a constant its new value in every module that has it by this name."""
    for module in list(sys.modules.values()):
        if vars(module).get(name) is old:
            setattr(module, name, new)


def main(wanted: str = "") -> int:
    """Prints the survivors and the score; returns the exit status."""
    sources = {path: Path(path).read_text() for path in TESTS if wanted in path}
    made = [each for path, source in sources.items() for each in mutants(path, source)]
    mutating = Mutating([Mutant(path, 0, "", "", source) for path, source in sources.items()], made)
    names = dict.fromkeys(name for path in sources for name in TESTS[path])
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", *(f"tests/{name}.py" for name in names)], [mutating])
    if not mutating.sound:
        print("the tests do not pass as it is: nothing can be said about mutants")
        return 2
    print(f"\n{len(made) - len(mutating.survivors)} of {len(made)} mutants noticed")
    return 1 if mutating.survivors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
