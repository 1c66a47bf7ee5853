"""The measure of duplication, which is our own, and the reading of pip-audit's list."""

import pytest

from tools.quality import audited, duplicated_share

FIRST = "def first(a, b):\n    return a + b * 2 - a\n"
SECOND = "def second(c, d):\n    return {c: d}\n"


def test_the_same_code_twice_is_duplicated_but_for_its_own_lines() -> None:
    shared = "value = [1, 2, 3]\nother = (4, 5, 6)\n"
    sources = {"a": shared + "x = 1\n", "b": shared + "y = 2\n"}
    assert 4 / 6 == pytest.approx(duplicated_share(sources, window=15))


def test_a_repetition_inside_one_file_counts() -> None:
    assert 1.0 == duplicated_share({"a": FIRST + FIRST}, window=10)


def test_different_code_is_not_duplicated() -> None:
    assert 0.0 == duplicated_share({"a": FIRST, "b": SECOND}, window=10)


def test_a_repetition_shorter_than_the_window_does_not_count() -> None:
    assert 0.0 == duplicated_share({"a": FIRST, "b": FIRST}, window=100)


def test_imports_docstrings_and_comments_do_not_count() -> None:
    prose = '"""Says the same."""\nimport json, os, sys, re, io, ast, abc\n# the same\n'
    assert 0.0 == duplicated_share({"a": prose + "x = 1\n", "b": prose + "y = 2\n"}, window=5)


def test_nothing_at_all_is_not_duplicated() -> None:
    assert 0.0 == duplicated_share({})


def test_a_known_vulnerability_breaks_the_criterion_and_is_named() -> None:
    reading = audited([{"name": "left", "vulns": [{"id": "CVE-1"}]}, {"name": "right", "vulns": []}])
    assert ("1", False, "left CVE-1") == (reading.value, reading.ok, reading.detail)


def test_packages_without_an_answer_are_named_as_not_checked() -> None:
    reading = audited([{"name": "left", "vulns": []}, {"name": "own", "skip_reason": "not found"}])
    assert ("0", True, "1 packages not checked") == (reading.value, reading.ok, reading.detail)


def test_no_answer_at_all_is_not_a_pass() -> None:
    assert audited([{"name": "own", "skip_reason": "not found"}]).ok is None
