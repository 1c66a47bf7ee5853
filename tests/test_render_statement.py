"""What a run is said to have come to, in the words of in-toto's test-result and in its own."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from certificates_by_hand import certificate, functional, verdict

from hxbench.render import statement

STATEMENTS = ("statement.json", "statement-verdicts.json")
MODEL = {"model": {"name": "smollm2-135m", "file": "SmolLM2.gguf", "sha256": "ab" * 32}}


def said(folder: Path, facts: dict[str, Any] | None = None, **more: Any) -> dict[str, dict[str, Any]]:
    return statement.statements(folder, certificate(**more), facts or {})


def result(folder: Path, **more: Any) -> dict[str, Any]:
    predicate: dict[str, Any] = said(folder, **more)["statement.json"]["predicate"]
    return predicate


def test_both_are_statements_and_each_has_its_predicate(tmp_path: Path) -> None:
    kinds = {name: (each["_type"], each["predicateType"]) for name, each in said(tmp_path).items()}
    assert {
        "statement.json": (
            "https://in-toto.io/Statement/v1", "https://in-toto.io/attestation/test-result/v0.1"
        ),
        "statement-verdicts.json": ("https://in-toto.io/Statement/v1", "urn:hxbench:verdicts:v0.1"),
    } == kinds  # fmt: skip


def test_their_subjects_are_manifest_certificate_page_and_model(tmp_path: Path) -> None:
    for name in ("certificate.html", "manifest.json", "certificate.json", "junit.xml"):
        (tmp_path / name).write_text(name)
    expected = [
        {"name": name, "digest": {"sha256": hashlib.sha256(name.encode()).hexdigest()}}
        for name in ("manifest.json", "certificate.json", "certificate.html")
    ]
    expected.append({"name": "SmolLM2.gguf", "digest": {"sha256": "ab" * 32}})
    assert [expected] * 2 == [each["subject"] for each in said(tmp_path, MODEL).values()]


def test_a_model_of_which_only_the_name_is_known_is_no_subject(tmp_path: Path) -> None:
    assert [] == said(tmp_path, {"model": {"name": "far-away"}})["statement.json"]["subject"]


def test_the_configuration_is_the_profile(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text("schema: 1\n")
    digest = hashlib.sha256(b"schema: 1\n").hexdigest()
    assert [{"name": "profile.yaml", "digest": {"sha256": digest}}] == result(tmp_path)["configuration"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CERTIFIED", "PASSED"),
        ("CONDITIONAL", "FAILED"),
        ("FAILED", "FAILED"),
        ("INCOMPLETE", "FAILED"),
        ("SPLENDID", "FAILED"),
    ],
)
def test_only_certified_is_passed(status: str, expected: str, tmp_path: Path) -> None:
    assert expected == result(tmp_path, status=status)["result"]


def test_what_is_not_passed_is_failed_and_what_was_not_asked_for_is_neither(tmp_path: Path) -> None:
    verdicts = [
        verdict("ttft.p95", "PASS"),
        verdict("e2e.mean", "INCONCLUSIVE"),
        functional("001", "FAIL", "not ready"),
        functional("010", "PASS", "status 400", part=".broken_json"),
        functional("005", "SKIPPED", "no limit"),
    ]
    found = result(tmp_path, verdicts=verdicts)
    assert {
        "passedTests": ["TC-L1-COMP-SMOLLM2-003 ttft.p95", "TC-L1-COMP-SMOLLM2-010.broken_json"],
        "warnedTests": [],
        "failedTests": ["TC-L1-COMP-SMOLLM2-003 e2e.mean", "TC-L1-COMP-SMOLLM2-001"],
    } == {name: found[name] for name in ("passedTests", "warnedTests", "failedTests")}


def test_the_exact_words_stand_in_the_other(tmp_path: Path) -> None:
    made = certificate(verdicts=[verdict("ttft.p95", "INCONCLUSIVE", reason="too few")])
    predicate = statement.statements(tmp_path, made, {})["statement-verdicts.json"]["predicate"]
    assert [
        {
            "case": "TC-L1-COMP-SMOLLM2-003",
            "id": "ttft.p95",
            "verdict": "INCONCLUSIVE",
            "reason": "too few",
        }
    ] == predicate.pop("verdicts")
    assert {name: made[name] for name in predicate} == predicate
    assert {"status", "status_reason", "run", "created", "level", "hxbench", "profile"} == predicate.keys()


def test_sealing_writes_them_about_the_manifest_it_writes(tmp_path: Path) -> None:
    (tmp_path / "records.txt").write_text("raw")
    for _ in range(2):  # the second time the first one's statements lie there, and are no part of the run
        statement.seal(tmp_path, certificate(), {})
    listed = json.loads((tmp_path / "manifest.json").read_text())["files"]
    digest = hashlib.sha256((tmp_path / "manifest.json").read_bytes()).hexdigest()
    assert ["records.txt"] == list(listed)
    for name in STATEMENTS:
        held = json.loads((tmp_path / name).read_text())
        assert [{"name": "manifest.json", "digest": {"sha256": digest}}] == held["subject"]
