"""What a run came to, as in-toto statements: what tools of the supply chain read, and what is signed.

Two of them, because test-result v0.1 has three words where a certificate has more. There CERTIFIED, and PASS
of a check, is PASSED and every other status FAILED; a verdict that is not PASS is a failed test, SKIPPED none
at all. The exact words stand in a predicate of our own. Floats are in neither: another build of numpy gives
other last digits.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hxbench import canonical_json
from hxbench.judge.certificate import CERTIFIED
from hxbench.judge.verdicts import PASS, SKIPPED
from hxbench.records.kinds import KINDS, RESULT
from hxbench.render import manifest
from hxbench.render.files import write_whole

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERDICTS = "urn:hxbench:verdicts:v0.1"  # a name, not an address: nothing is to be found there
# The manifest has the hash of every other file; certificate and page are named so that each alone is known.
_SUBJECTS = (manifest.NAME, "certificate.json", "certificate.html", RESULT, *(kind.page for kind in KINDS))


def seal(run_dir: Path, certificate: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes the manifest over all that a run consists of by now, and the statements about it.

    Raises: DirectoryError when a file cannot be read or written.
    """
    manifest.write(run_dir)
    for name, value in statements(run_dir, certificate, facts).items():
        write_whole(run_dir / name, canonical_json.encode(value))


def statements(
    run_dir: Path, certificate: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Returns by its file's name what is said of the files as they lie in the folder."""
    subjects = [*_files(run_dir, _SUBJECTS), *_model(facts)]
    predicates = ((TEST_RESULT, _test_result(run_dir, certificate)), (VERDICTS, _verdicts(certificate)))
    return {
        name: {"_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate}
        for name, (kind, predicate) in zip(manifest.STATEMENTS, predicates, strict=True)
    }


def _files(run_dir: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        path = run_dir / name
        if path.is_file():
            yield _resource(name, hashlib.sha256(path.read_bytes()).hexdigest())


def _model(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the model's file where the run itself loaded it; of a server elsewhere nobody knows."""
    model = facts.get("model", {})
    if {"file", "sha256"} <= model.keys():
        yield _resource(model["file"], model["sha256"])


def _resource(name: str, sha256: str) -> dict[str, Any]:
    """Returns in-toto's ResourceDescriptor of a file."""
    return {"name": name, "digest": {"sha256": sha256}}


def _test_result(run_dir: Path, certificate: Mapping[str, Any]) -> dict[str, Any]:
    verdicts = certificate["verdicts"]
    return {
        "result": "PASSED" if certificate["status"] in (CERTIFIED, PASS) else "FAILED",
        "configuration": [*_files(run_dir, ("profile.yaml",))],
        "passedTests": [_test(each) for each in verdicts if each["verdict"] == PASS],
        "warnedTests": [],
        "failedTests": [_test(each) for each in verdicts if each["verdict"] not in (PASS, SKIPPED)],
    }


def _test(verdict: Mapping[str, Any]) -> str:
    """Returns the case and what was looked at, once where the one names the other."""
    case, name = verdict["case"], verdict["id"]
    return str(name) if name.startswith(case) else f"{case} {name}"


def _verdicts(certificate: Mapping[str, Any]) -> dict[str, Any]:
    said = ("hxbench", "run", "created", "level", "kind", "status", "status_reason", "profile")
    each = ("case", "id", "verdict", "reason")
    return {name: certificate[name] for name in said if name in certificate} | {
        "verdicts": [{name: verdict[name] for name in each} for verdict in certificate["verdicts"]]
    }
