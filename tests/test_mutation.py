"""The mutants of the gates: which changes are made, one at a time."""

from pathlib import Path

import pytest

from tools.mutation import TESTS, mutants


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
