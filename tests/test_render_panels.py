"""The four panels as table, frame and metrics, with what a CI wrote of coverage and security."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates_by_hand import certificate
from hostile import PAYLOADS
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from records_by_hand import records

from hxbench.errors import InputError
from hxbench.judge import certificate as certificates
from hxbench.render import openmetrics
from hxbench.render.panels import Panels

AUDIT = {
    "dependencies": [
        {"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-2019-179"}, {"id": "PYSEC-2018-66"}]},
        {"name": "jinja2", "version": "3.0.2", "vulns": []},
        {"name": "mine", "skip_reason": "not found on PyPI"},
    ],
    "fixes": [],
}
JUNIT = """<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>
<testcase name="c"><skipped/></testcase><testcase name="d"><error/></testcase></testsuite>
<testsuite><testcase name="e"/></testsuite></testsuites>"""
PROGRAM = """
def run(yes):
    if yes:
        return 1
    return 2
def idle():
    return 3
run(True)
done = True
"""
Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


def of(**files: Any) -> dict[str, tuple[float, str, str]]:
    """value, mark, says of each number by its name."""
    frame = Panels(certificate(), **files).frame
    return {row.name: (row.value, row.mark, row.says) for row in frame.itertuples(index=False)}


def test_coverage_is_read_from_what_coverage_py_writes(write: Write, tmp_path: Path) -> None:
    write("program.py", PROGRAM)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    for call in (["run", "--branch", "--rcfile=", "program.py"], ["json", "--rcfile=", "-q", "-o", "c.json"]):
        command = [sys.executable, "-m", "coverage", *call]
        subprocess.run(command, cwd=tmp_path, env=plain, check=True, capture_output=True)
    found = of(coverage=tmp_path / "c.json")
    assert (75.0, "red", "6 of 8 lines were run by the tests") == found["test_coverage"]
    assert (50.0, "red", "1 of 2 branches were run by the tests") == found["branch_coverage"]
    assert (50.0, "red", "1 of 2 functions were run by the tests") == found["function_coverage"]


def test_lines_alone_say_nothing_of_branches_and_functions(write: Write) -> None:
    totals = {"covered_lines": 95, "num_statements": 100, "percent_covered": 0}
    found = of(coverage=write("c.json", {"totals": totals, "files": {"a.py": {}}}))
    assert (95.0, "green") == found["test_coverage"][:2]
    assert ["not measured", "no branches in the report"] == list(found["branch_coverage"][1:])
    assert "not measured" == found["function_coverage"][1]


def test_vulnerabilities_are_those_of_every_package_and_what_was_not_looked_up_is_said(write: Write) -> None:
    says = "known vulnerabilities of 2 packages; 1 could not be looked up"
    for document in (AUDIT, AUDIT["dependencies"]):  # an older pip-audit writes the list alone
        assert (2.0, "yellow", says) == of(audit=write("a.json", document))["vulnerability_count"]
    nothing = of(audit=write("a.json", {"dependencies": [AUDIT["dependencies"][2]]}))["vulnerability_count"]
    assert (True, "not measured") == (math.isnan(nothing[0]), nothing[1])


def test_security_tests_skipped_count_for_nothing_and_an_item_skipped_against_compliance(
    write: Write,
) -> None:
    path = write("junit.xml", JUNIT)
    found = of(security=path, compliance=path)
    assert (50.0, "", "2 of 4 tests that ran, 1 skipped") == found["security_test_pass_rate"]
    assert (40.0, "", "2 of 5 items of the list passed") == found["compliance_score"]
    empty = of(security=write("empty.xml", "<testsuite/>"), compliance=path)
    assert math.isnan(empty["security_test_pass_rate"][0])


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite name="&a;"/>'
EXPECTED = {
    "coverage": "the JSON that `coverage json` writes",
    "audit": "the JSON that `pip-audit --format json` writes",
    "security": "JUnit XML, as `pytest --junitxml` writes it",
    "compliance": "JUnit XML, as `pytest --junitxml` writes it",
}


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("coverage", "{", "; file: not readable: "),
        ("coverage", {"totals": {}}, ", with totals and files"),
        ("coverage", [1], ", with totals and files"),
        ("coverage", {"totals": {"covered_lines": "9", "num_statements": 9}, "files": {}}, ", with totals"),
        ("coverage", {"totals": {"covered_lines": 9, "num_statements": 9}, "files": 7}, ", with totals"),
        ("coverage", {"totals": {"covered_lines": 10, "num_statements": 9}, "files": {}}, ", with totals"),
        (
            "coverage",
            '{"totals": {"covered_lines": 1, "num_statements": 1e999}, "files": {}}',
            ", with totals",
        ),
        ("audit", {"dependencies": [{"vulns": "many"}]}, ", with dependencies and their vulns"),
        ("audit", "<html>", "; file: not readable: "),
        ("audit", {"dependencies": [{"name": "a"}]}, ", with dependencies and their vulns"),
        ("audit", {"dependencies": [{"vulns": 3}]}, ", with dependencies and their vulns"),
        ("audit", "7", ", with dependencies and their vulns"),
        ("security", "{}", ""),
        ("security", BOMB, ""),
        ("compliance", "<html/>", ", got the element html"),
    ],
)
def test_a_file_that_is_something_else_is_refused_in_a_line(
    write: Write, kind: str, content: Any, says: str
) -> None:
    path = write("file", content)
    with pytest.raises(InputError) as refused:
        of(**{kind: path})
    assert str(refused.value).startswith(f"{path}: expected {EXPECTED[kind]}{says}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_file_that_is_not_there_is_refused_in_a_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=r"nowhere: (expected .*is missing|cannot be read: No such file)"):
        of(**{kind: tmp_path / "nowhere"})


def test_the_four_panels_stand_in_one_table_and_name_every_number() -> None:
    table = Panels(certificates.build(records(requests=20))).table
    assert ["Coverage", "Performance", "Security", "Certification"] == list(dict.fromkeys(table["Panel"]))
    shown = dict(zip(table["Name"], table["Value"], strict=True))
    assert "not measured" == shown["test_coverage"] == shown["vulnerability_count"]
    assert shown["average_latency_ms"].endswith(" ms")
    assert {"– not certified here"} == {shown[f"level {level} of 4"] for level in (2, 3, 4)}
    assert "give audit: the JSON of `pip-audit --format json`" in table["What it is"].tolist()


def test_marks_are_shown_in_words_beside_their_edges() -> None:
    rows = Panels(certificates.build(records(requests=20))).marks.set_index("What")
    assert ["≤ 1 s", "1.5 s", "≥ 2 s", "● green"] == rows.loc["Average latency"].tolist()[1:]
    assert ["≥ 95 %", "90 %", "≤ 85 %", "– not measured"] == rows.loc["Test coverage"].tolist()[1:]
    assert ["≤ 0", "1", "≥ 5", "– not measured"] == rows.loc["Vulnerability count"].tolist()[1:]


def families(text: str) -> dict[str, float]:
    parsed = text_string_to_metric_families(text)
    return {each.name: each.samples[0].value for each in parsed}


def test_the_metrics_have_the_names_of_the_requirement_and_nothing_of_what_was_not_measured(
    write: Write,
) -> None:
    judged = certificates.build(records(requests=100, failed=range(6), ttft_s=0.25, gap_s=0.0))
    bare = families(Panels(judged).metrics())
    assert {
        "average_latency_ms", "p95_latency_ms", "throughput_rps", "error_rate_percentage",
        "certification_status",
    } == set(bare)  # fmt: skip
    assert (math.inf, 6.0, 3.0) == tuple(
        bare[name] for name in ("p95_latency_ms", "error_rate_percentage", "certification_status")
    )
    whole = families(Panels(judged, audit=write("a.json", AUDIT), security=write("j.xml", JUNIT)).metrics())
    assert {"vulnerability_count": 2.0, "security_test_pass_rate": 50.0} == {
        name: value for name, value in whole.items() if name not in bare
    }


def test_what_follows_from_the_certificate_stands_in_the_metrics_of_the_run() -> None:
    judged = certificates.build(records(requests=20))
    written = families(openmetrics.text(judged))
    assert families(Panels(judged).metrics()).items() <= written.items()


@pytest.mark.parametrize("payload", PAYLOADS[:8])
def test_what_a_file_says_of_itself_is_shown_nowhere(write: Write, payload: str) -> None:
    audit = {"dependencies": [{"name": payload, "version": payload, "vulns": [{"id": payload}]}]}
    panels = Panels(certificate(), audit=write("a.json", audit))
    assert payload not in panels._repr_html_() + panels.metrics()
