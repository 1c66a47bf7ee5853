"""The certificate as JUnit XML, which CI systems read."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from hxbench.render import wording
from hxbench.render.xml_text import document, element

_OUTCOMES = {"PASS": None, "FAIL": "failure", "SKIPPED": "skipped"}
_COUNTS = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


def xml(certificate: Mapping[str, Any]) -> str:
    """Returns one test case a verdict: FAIL is a failure, SKIPPED is skipped, anything not PASS an error.

    A run that is not whole is an error of its own.
    """
    name = f"hxbench {wording.scope(certificate)}: {certificate['target']['model']}"
    suite = element("testsuite", name=name, timestamp=certificate["created"])
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("run", "status", "hxbench"):
        properties.append(element("property", name=name, value=certificate[name]))
    properties.append(element("property", name="profile_sha256", value=certificate["profile"]["sha256"]))
    names = wording.names(certificate)
    for verdict in certificate["verdicts"]:
        outcome = _OUTCOMES.get(verdict["verdict"], "error")
        why = f"{verdict['verdict']}: {verdict['reason']}"
        suite.append(_case(verdict["case"], names[verdict["id"]], outcome, why))
    if certificate["status"] == "INCOMPLETE":
        suite.append(_case("run", "The run is whole", "error", f"INCOMPLETE: {certificate['status_reason']}"))
    for count, tag in _COUNTS.items():
        suite.set(count, str(len(list(suite.iter(tag)))))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    return document(root)


def _case(case: str, name: str, outcome: str | None, why: str) -> ElementTree.Element:
    made = element("testcase", classname=case, name=name)
    if outcome is not None:
        made.append(element(outcome, message=why))
    return made
