"""The mutants of the gates: which changes are made, one at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutation import TESTS, Mutant, in_fork, mutants, noticed_by


def changes(source: str) -> list[str]:
    return [mutant.source for mutant in mutants("gates.py", source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a <= b", "a >= b"]),
        ("a <= b", ["a < b", "a > b"]),
        ("a > b", ["a >= b", "a <= b"]),
        ("a >= b", ["a > b", "a < b"]),
        ("a == b", ["a != b"]),
        ("a is None", ["a is not None"]),
        ("a in b", ["a not in b"]),
        ("a and b", ["a or b"]),
        ("x[1]", ["x[0]", "x[2]"]),
        ("operator.le", ["operator.lt", "operator.gt"]),
        ("a < b < c", ["a <= b < c", "a >= b < c", "a < b <= c", "a < b >= c"]),
    ],
)
def test_each_comparison_and_whole_number_is_changed_by_itself(source: str, expected: list[str]) -> None:
    assert expected == changes(source)


def test_truth_texts_and_other_attributes_stay() -> None:
    assert [] == changes("x = [True, 'a < b', 0.5, other.le]")


def test_a_mutant_says_where_it_is_and_what_it_changes() -> None:
    [first, _] = mutants("gates.py", "x = z\ny = a < b")
    assert "gates.py:2: a < b  ->  a <= b" == str(first)


def test_every_mutated_file_is_there(repository: Path) -> None:
    assert [] == [path for path in TESTS if not (repository / path).exists()]
    assert [] == [
        name
        for names in TESTS.values()
        for name in names
        if not (repository / "tests" / f"{name}.py").exists()
    ]


@pytest.mark.parametrize(
    ("source", "function"),
    [
        ("x = 1", None),
        ("class Gate:\n    least = 1", None),
        ("\ndef f():\n    return 1", 2),
        ("@cached\ndef f():\n    return 1", 1),
        ("class Gate:\n    def f(self):\n        def inner():\n            return 1", 2),
    ],
)
def test_a_mutant_knows_the_outermost_function_it_is_in(source: str, function: int | None) -> None:
    assert {function} == {mutant.function for mutant in mutants("gates.py", source)}


def test_a_fork_that_ends_or_takes_too_long_has_no_answer() -> None:
    def for_ever() -> None:
        while True:
            pass

    assert [1, "two"] == in_fork(lambda: [1, "two"])
    assert in_fork(sys.exit) is None
    assert in_fork(for_ever, 0.05) is None


def test_a_mutant_that_cannot_even_be_loaded_is_noticed_and_one_without_tests_is_not() -> None:
    def made(source: str) -> Mutant:
        return Mutant("hxbench/stats/multiplicity.py", None, 1, "", "", source)

    assert "it ended, or never did" == noticed_by(made("1 / 0"), [], 0)
    assert noticed_by(made("x = 1"), [], 0) is None


def test_the_mutants_of_a_file_meet_its_tests(repository: Path) -> None:
    command = [sys.executable, "-m", "tools.mutation", "multiplicity"]
    found = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert (0, "2 of 2 mutants noticed") == (found.returncode, found.stdout.splitlines()[-1])
