"""Changes the gate code, one comparison or whole number at a time, and says which changes no test notices.

python -m tools.mutation            every mutant; ends with 1 when one survives
python -m tools.mutation gates.py   those of the files in whose path this, or another such part, stands

A mutant meets those quick tests of its own module that call the changed function: first those that noticed an
earlier one, then the shortest; tests that simulate many runs are left to `make test`. All is imported once: a
mutant is a fork in which the functions and the constants of its module are replaced. What survives, and why,
stands in `simulation/MUTATION.md`.
"""

import ast
import copy
import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import FrameType, FunctionType
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
    "hxbench/judge/watched.py": ("test_judge_watched", "test_judge_forecast"),
    "hxbench/judge/resources.py": ("test_judge_certificate", GATES),
    "hxbench/judge/leak.py": ("test_judge_leak",),
    "hxbench/judge/samples.py": ("test_judge_samples", GATES),
    "hxbench/judge/judging.py": ("test_judge_judging", "test_judge_certificate"),
    "hxbench/judge/looks.py": ("test_judge_looks",),
    "hxbench/judge/ledger.py": ("test_judge_ledger",),
    "hxbench/judge/verdicts.py": ("test_judge_checks",),
    "hxbench/judge/checks.py": ("test_judge_checks",),
    "hxbench/judge/certificate.py": ("test_judge_certificate",),
    "hxbench/stats/proportions.py": ("test_stats_proportions",),
    "hxbench/stats/quantiles.py": ("test_stats_quantiles",),
    "hxbench/stats/means.py": ("test_stats_means",),
    "hxbench/stats/ratios.py": ("test_stats_ratios",),
    "hxbench/stats/multiplicity.py": ("test_stats_multiplicity",),
    "hxbench/stats/sample_size.py": ("test_stats_sample_size",),
    "hxbench/stats/dependence.py": ("test_stats_dependence",),
}
MOST_S, MOST_TIMES = 10, 3  # of processor time, and of the tests' own: who loops for ever is noticed too

OPERATORS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
FUNCTIONS = {"lt": ("le", "ge"), "le": ("lt", "gt"), "gt": ("ge", "le"), "ge": ("gt", "lt")}


@dataclass(frozen=True)
class Mutant:
    """One change of one file: where, what stands there now, and the whole changed source."""

    path: str
    function: int | None  # first line of the function or method it is in
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Yields every mutant of a module."""
    tree = ast.parse(source)
    starts = function_starts(tree)
    nodes = [(at, node) for at, node in enumerate(ast.walk(tree)) if isinstance(node, ast.expr)]
    for position, node in nodes:
        for changed in variants(node):
            other = copy.deepcopy(tree)
            place = list(ast.walk(other))[position]
            place.__dict__.update(changed.__dict__)
            start, before, after = starts.get(node), ast.unparse(node), ast.unparse(changed)
            yield Mutant(path, start, node.lineno, before, after, ast.unparse(other))


def function_starts(tree: ast.Module) -> dict[ast.AST, int]:
    """Returns the first line, as its code has it, of the outermost function that each node is in."""
    members = [
        *tree.body,
        *(each for node in tree.body if isinstance(node, ast.ClassDef) for each in node.body),
    ]
    functions = [node for node in members if isinstance(node, ast.FunctionDef)]
    return {
        node: min([function.lineno, *(each.lineno for each in function.decorator_list)])
        for function in functions
        for node in ast.walk(function)
    }


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


@dataclass(frozen=True)
class Unchanged:
    """How a test behaves where nothing is changed."""

    passed: bool
    seconds: float  # of processor time
    called: Sequence[str]  # path and first line of each function of the gates


NOTHING = (False, 0.0, ())


class Mutating:
    """A plugin of pytest that runs the tests on each mutant, until one fails, instead of once."""

    def __init__(self, unchanged: Sequence[Mutant], made: Sequence[Mutant]) -> None:
        self._unchanged, self._made = unchanged, made
        self._recent: list[str] = []
        self.survivors: list[Mutant] = []
        self.sound = False  # every test passes as it is, and where each function is replaced by itself

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Prints each survivor, and a dot for each mutant that was noticed."""
        gc.freeze()  # else each fork copies all that its garbage collector looks at
        known = unchanged(self._unchanged, session.items)
        self.sound = all(each.passed for each in known.values())
        for mutant in self._made if self.sound else ():
            items = [item for item in session.items if meets(item, mutant, known[item.nodeid])]
            items.sort(key=lambda item: (self._rank(item.nodeid), known[item.nodeid].seconds))
            most_s = MOST_S + MOST_TIMES * sum(known[item.nodeid].seconds for item in items)
            noticed = noticed_by(mutant, items, most_s)
            if noticed is None:
                self.survivors.append(mutant)
            else:
                self._recent = [noticed] + [name for name in self._recent if name != noticed]
            print(mutant if noticed is None else ".", end="\n" if noticed is None else "", flush=True)
        return True

    def _rank(self, name: str) -> int:
        return self._recent.index(name) if name in self._recent else len(self._recent)


def meets(item: pytest.Item, mutant: Mutant, known: Unchanged) -> bool:
    """Tells whether a test can notice a mutant: it calls the function, or that is none."""
    called = mutant.function is None or f"{mutant.path}:{mutant.function}" in known.called
    return called and item.path.stem in TESTS[mutant.path]


def unchanged(modules: Sequence[Mutant], items: Sequence[pytest.Item]) -> dict[str, Unchanged]:
    """Returns how each test behaves where the functions of these modules are replaced by themselves."""
    paths = {module.path for module in modules}

    def each_by_itself() -> list[Any]:
        for module in modules:
            replace(module)
        return [in_fork(partial(behaviour, item, paths)) for item in items]

    found = in_fork(each_by_itself) or [None] * len(items)
    return {item.nodeid: Unchanged(*(each or NOTHING)) for item, each in zip(items, found, strict=True)}


def behaviour(item: pytest.Item, paths: Set[str]) -> tuple[bool, float, list[str]]:
    """Runs a test; returns whether it passed, its processor time, and the functions of `paths` it called."""
    called = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename in paths:
            called.add(f"{frame.f_code.co_filename}:{frame.f_code.co_firstlineno}")

    begun = time.process_time()
    sys.setprofile(note)
    passed = passes([item], 0)
    sys.setprofile(None)
    return passed, time.process_time() - begun, sorted(called)


def noticed_by(mutant: Mutant, items: Sequence[pytest.Item], most_s: float) -> str | None:
    """Returns the first test that fails on this mutant; None when all pass."""

    def first_to_fail() -> str:
        replace(mutant)
        return next((items[at].nodeid for at in range(len(items)) if not passes(items, at)), "")

    noticed = in_fork(first_to_fail, most_s)
    return "it ended, or never did" if noticed is None else noticed or None


def in_fork(work: Callable[[], Any], most_s: float = 0) -> Any:
    """Returns what a fork of this process works out, as JSON has it; None when it ends or takes too long."""
    sink, told = os.pipe()
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, most_s)  # its signal ends the child; 0 is never
        try:
            with os.fdopen(told, "w") as telling:
                json.dump(work(), telling)
        finally:
            os._exit(0)
    os.close(told)
    with os.fdopen(sink) as heard:
        answer = heard.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


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
        if isinstance(now, type) and now.__module__ == old.__name__:
            for member, value in vars(now).items():
                _transplant(value, vars(changed[name]).get(member))
        elif isinstance(now, FunctionType) and now.__module__ == old.__name__:
            _transplant(now, changed[name])
        elif not name.startswith("__") and now is not changed[name]:
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


def main(*wanted: str) -> int:
    """Prints the survivors and the score; returns the exit status."""
    sources = {path: Path(path).read_text() for path in TESTS if any(part in path for part in wanted or [""])}
    made = [each for path, source in sources.items() for each in mutants(path, source)]
    mutating = Mutating([Mutant(path, None, 0, "", "", source) for path, source in sources.items()], made)
    names = dict.fromkeys(name for path in sources for name in TESTS[path])
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", *(f"tests/{name}.py" for name in names)], [mutating])
    if not mutating.sound:
        print("the tests do not pass as it is: nothing can be said about mutants")
        return 2
    print(f"\n{len(made) - len(mutating.survivors)} of {len(made)} mutants noticed")
    return 1 if mutating.survivors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
