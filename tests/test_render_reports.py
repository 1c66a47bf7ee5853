"""What other programs read: JUnit, the job summary, the manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from certificates_by_hand import certificate, functional, verdict
from hostile import PAYLOADS

from hxbench.errors import DirectoryError
from hxbench.render import junit, manifest, summary
from hxbench.render.files import write_whole


def parsed(**more: Any) -> ElementTree.Element:
    suite = ElementTree.fromstring(junit.xml(certificate(**more))).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    return suite


def outcome(word: str) -> list[str]:
    case = parsed(verdicts=[functional("001", word, "why")]).find("testcase")
    assert case is not None
    return [child.tag for child in case]


@pytest.mark.parametrize(
    ("word", "tags"),
    [
        ("PASS", []),
        ("FAIL", ["failure"]),
        ("INCONCLUSIVE", ["error"]),
        ("SKIPPED", ["skipped"]),
        ("SPLENDID", ["error"]),
    ],
)
def test_only_pass_is_a_pass(word: str, tags: list[str]) -> None:
    assert tags == outcome(word)


def test_the_suite_counts_what_it_holds() -> None:
    suite = parsed()
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert {"tests": "10", "failures": "1", "errors": "1", "skipped": "1"} == counts


def test_a_case_is_named_and_says_why_it_did_not_pass() -> None:
    case = parsed(verdicts=[verdict("e2e.mean", "FAIL", reason="the mean is 2.31 s")]).find("testcase")
    assert case is not None
    assert ("TC-L1-COMP-SMOLLM2-003", "Time to last token, mean") == (case.get("classname"), case.get("name"))
    assert "FAIL: the mean is 2.31 s" == case[0].get("message")


def test_a_run_that_is_not_whole_is_an_error_even_when_all_checks_passed() -> None:
    suite = parsed(status="INCOMPLETE", status_reason="the disk was full", verdicts=[])
    error = suite.find("testcase/error")
    assert error is not None
    assert ("1", "INCOMPLETE: the disk was full") == (suite.get("errors"), error.get("message"))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_leaves_the_xml_well_formed(payload: str) -> None:
    suite = parsed(run=payload, verdicts=[functional(payload, "FAIL", payload)])
    assert ["properties", "testcase"] == [child.tag for child in suite]


def test_the_summary_has_status_reason_and_a_row_a_check() -> None:
    lines = summary.markdown(certificate()).splitlines()
    assert "## ✕ FAILED: smollm2-135m, level 1" == lines[0]
    assert "| Verdict | What | Measured | Interval | Limit | Why |" == lines[4]
    assert lines[6].startswith(
        "| ✕ FAIL | Time to last token, mean | 2.31 s | 2.28 to 2.35 s | ≤ 2 s | the mean"
    )
    assert "> The limits are about four times what this machine measures" in lines[-1]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_stays_text_in_the_summary(payload: str) -> None:
    quoting = certificate(verdicts=[functional("001", "FAIL", f"{payload} | x\n\n# y")])
    rows = [line for line in summary.markdown(quoting).splitlines() if line.startswith("| ✕")]
    assert 1 == len(rows)
    unescaped = [
        sign
        for before, sign in zip(f" {rows[0]}", rows[0], strict=False)
        if before != "\\" and sign in "<`[!"
    ]
    assert [] == unescaped


def test_the_manifest_has_hash_and_size_of_every_file_but_itself(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "b.parquet").write_bytes(b"abc")
    (tmp_path / "a.json").write_bytes(b"")
    manifest.write(tmp_path)
    path = manifest.write(tmp_path)  # a second time: the first one's own file is no part of it
    assert {
        "schema": 1,
        "files": {
            "a.json": {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()},
            "records/b.parquet": {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()},
        },
    } == json.loads(path.read_text())
    assert path.read_text().startswith('{"files":{"a.json":{"bytes":0,"sha256":"e3b0c442')


def test_a_link_is_no_file_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("/etc/hostname")
    assert {} == manifest.entries(tmp_path)


def test_a_file_that_vanishes_is_an_error_and_leaves_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match=r"gone/manifest\.json: cannot be written: No such file"):
        manifest.write(tmp_path / "gone")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_whole(target, "one")
    write_whole(target, b"two")
    assert "two" == target.read_text()
    assert [target] == list(tmp_path.iterdir())
    assert 0o644 == target.stat().st_mode & 0o777


def test_a_folder_in_the_way_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(DirectoryError, match=r"a\.txt: cannot be written: Is a directory"):
        write_whole(tmp_path / "a.txt", "one")
    assert ["a.txt"] == [path.name for path in tmp_path.iterdir()]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("{}")

    def unreadable(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", unreadable)  # as root every file can be read
    with pytest.raises(DirectoryError, match=r"a\.json: cannot be read: Permission denied"):
        manifest.write(tmp_path)
    assert ["a.json"] == [path.name for path in tmp_path.iterdir()]
