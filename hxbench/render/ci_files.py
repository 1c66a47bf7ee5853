"""Reads what a CI wrote down of coverage and security: `coverage json`, pip-audit's JSON, JUnit XML."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hxbench import units
from hxbench.errors import EvidenceError, InputError
from hxbench.judge.panels import Number
from hxbench.render.files import read_json

_COVERAGE = "the JSON that `coverage json` writes"
_AUDIT = "the JSON that `pip-audit --format json` writes"
_JUNIT = "JUnit XML, as `pytest --junitxml` writes it"
Read = Callable[[Path], Sequence[Number]]


def coverage(path: Path) -> Sequence[Number]:
    """Returns which share of lines, branches and functions the tests ran; None of what was not looked at.

    A function counts as run when a line of its body was.
    Raises: InputError when the file is no report of coverage.py.
    """
    document = _json(path, _COVERAGE)
    try:
        totals, files = document["totals"], document["files"].values()
        functions = list(_functions(files))
        branches = totals.get("covered_branches", 0), totals.get("num_branches", 0)
        return (
            _share("test_coverage", totals["covered_lines"], totals["num_statements"], "lines"),
            _share("branch_coverage", *branches, "branches"),
            _share("function_coverage", sum(functions), len(functions), "functions"),
        )
    except (LookupError, TypeError, AttributeError):
        raise InputError(f"{path}: expected {_COVERAGE}, with totals and files") from None


def _functions(files: Any) -> Iterator[bool]:
    """Yields of each function whether any line of its body was run; coverage.py calls the rest ''."""
    for file in files:
        for name, region in file.get("functions", {}).items():
            if name and region["summary"]["num_statements"]:
                yield region["summary"]["covered_lines"] > 0


def _share(name: str, part: int, whole: int, of: str) -> Number:
    if not (type(part) is type(whole) is int and 0 <= part <= whole):
        raise TypeError
    if not whole:
        return Number(name, None, f"no {of} in the report")
    says = f"{units.count(part)} of {units.count(whole)} {of} were run by the tests"
    return Number(name, part / whole, says)


def audit(path: Path) -> Sequence[Number]:
    """Returns how many known vulnerabilities the packages have.

    Raises: InputError when the file is no report of pip-audit.
    """
    document = _json(path, _AUDIT)
    try:
        packages = document["dependencies"] if isinstance(document, Mapping) else document
        looked_at = [_listed(each["vulns"]) for each in packages if "skip_reason" not in each]
        found = sum(map(len, looked_at))
        skipped = len(packages) - len(looked_at)
    except (LookupError, TypeError):
        raise InputError(f"{path}: expected {_AUDIT}, with dependencies and their vulns") from None
    says = f"known vulnerabilities of {units.count(len(looked_at))} packages"
    says += f"; {units.count(skipped)} could not be looked up" if skipped else ""
    return (Number("vulnerability_count", found if looked_at else None, says),)


def _listed(vulns: Any) -> list[Any]:
    if not isinstance(vulns, list):
        raise TypeError
    return vulns


def security(path: Path) -> Sequence[Number]:
    """Returns which share of the security tests that ran passed; those skipped did not run.

    Raises: InputError when the file is no JUnit XML.
    """
    passed, failed, skipped = _cases(path)
    ran = passed + failed
    says = f"{units.count(passed)} of {units.count(ran)} tests that ran, {units.count(skipped)} skipped"
    return (Number("security_test_pass_rate", passed / ran if ran else None, says),)


def compliance(path: Path) -> Sequence[Number]:
    """Returns which share of all items of a compliance list passed; an item skipped has not passed.

    Raises: InputError when the file is no JUnit XML.
    """
    passed, failed, skipped = _cases(path)
    every = passed + failed + skipped
    says = f"{units.count(passed)} of {units.count(every)} items of the list passed"
    return (Number("compliance_score", passed / every if every else None, says),)


def _cases(path: Path) -> tuple[int, int, int]:
    """Returns how many cases passed, failed and were skipped."""
    counted = [0, 0, 0]
    for case in _xml(path).iter("testcase"):
        bad = any(child.tag in ("failure", "error") for child in case)
        counted[1 if bad else 2 if case.find("skipped") is not None else 0] += 1
    return counted[0], counted[1], counted[2]


def _xml(path: Path) -> ElementTree.Element:
    try:
        text = path.read_bytes()
        root = ElementTree.fromstring(b"" if b"<!DOCTYPE" in text else text)  # noqa: S314 - no entities
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ElementTree.ParseError, ValueError):
        raise InputError(f"{path}: expected {_JUNIT}") from None
    if root.tag not in ("testsuites", "testsuite"):
        raise InputError(f"{path}: expected {_JUNIT}, got the element {root.tag[:60]}")
    return root


def _json(path: Path, expected: str) -> Any:
    try:
        return read_json(path)
    except EvidenceError as error:
        raise InputError(f"{path}: expected {expected}; {error}") from None
