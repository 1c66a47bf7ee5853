"""What GitLab, Prometheus and a README show of a certificate: metrics.txt and badge.svg."""

import re
import shlex
from typing import Any
from xml.etree import ElementTree

import pytest
from certificates_by_hand import certificate, functional, verdict
from hostile import PAYLOADS
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hxbench.plan.objectives import METRICS
from hxbench.render import badge, openmetrics

LABELS = {"model": "smollm2-135m", "profile": "smollm2-135m"}
ALWAYS = {
    "hxbench_status", "hxbench_score_ratio", "hxbench_verdict", "hxbench_verdicts", "certification_status",
}  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def families(**more: Any) -> dict[str, Any]:
    """The metric families of a certificate by name, as Prometheus' own parser reads them."""
    text = openmetrics.text(certificate(**more))
    return {family.name: family for family in text_string_to_metric_families(text)}


def by_gitlab(text: str) -> dict[str, str]:
    """What GitLab reads: `line.gsub(/#.*$/, '').shellsplit`, a name and a value."""
    words = (shlex.split(re.sub("#.*$", "", line)) for line in text.splitlines())
    return {found[0]: found[1] for found in words if found}


@pytest.mark.parametrize(
    ("status", "number"), [("CERTIFIED", 0), ("FAILED", 1), ("CONDITIONAL", 3), ("INCOMPLETE", 4)]
)
def test_the_status_is_the_exit_status(status: str, number: int) -> None:
    (sample,) = families(status=status)["hxbench_status"].samples
    assert (number, LABELS) == (sample.value, sample.labels)


@pytest.mark.parametrize(
    ("word", "number"), [("PASS", 0), ("FAIL", 1), ("SKIPPED", 2), ("INCONCLUSIVE", 3), ("SPLENDID", 3)]
)
def test_a_verdict_is_a_number_and_an_unknown_one_is_undecided(word: str, number: int) -> None:
    (sample,) = families(verdicts=[functional("001", word, "why")])["hxbench_verdict"].samples
    assert (number, "TC-L1-COMP-SMOLLM2-001") == (sample.value, sample.labels["check"])


def test_a_gate_has_its_estimate_its_interval_and_its_limit_in_the_unit_of_its_name() -> None:
    found = families()
    values = {
        name: [(each.labels["statistic"], each.value) for each in found[name].samples]
        for name in found
        if "ttft" in name
    }
    assert {
        "hxbench_ttft_seconds": [("p95", 0.128)],
        "hxbench_ttft_low_seconds": [("p95", 0.121)],
        "hxbench_ttft_high_seconds": [("p95", 0.139)],
        "hxbench_ttft_limit_seconds": [("p95", 0.5)],
    } == values
    assert {"seconds"} == {found[name].unit for name in values}
    assert 91.4 == found["hxbench_throughput_tokens_per_second"].samples[0].value


def test_what_was_not_measured_has_no_sample() -> None:
    found = families(verdicts=[verdict("ttft.p95", "INCONCLUSIVE")], score=None)
    assert ALWAYS - {"hxbench_score_ratio"} == set(found)


def test_two_statistics_of_one_metric_are_one_family() -> None:
    gates = [verdict(f"ttft.{name}", "PASS", estimate=0.1, limit=1.0) for name in ("p50", "p95")]
    samples = families(verdicts=gates)["hxbench_ttft_seconds"].samples
    assert ["p50", "p95"] == [each.labels["statistic"] for each in samples]


@pytest.mark.parametrize("metric", METRICS)
def test_every_objective_has_a_unit_here(metric: str) -> None:
    gate = verdict(f"{metric}.x", "PASS", estimate=1.0, unit=METRICS[metric].unit)
    assert 1 == len([name for name in families(verdicts=[gate]) if name not in ALWAYS])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_stays_a_label_for_prometheus_and_for_gitlab(payload: str) -> None:
    target = certificate()["target"] | {"model": payload}
    made = openmetrics.text(certificate(target=target, verdicts=[functional(payload, "FAIL", "")]))
    found = {family.name: family for family in text_string_to_metric_families(made)}
    assert ALWAYS == set(found)
    assert 8 == len(by_gitlab(made))


def test_gitlab_compares_sample_by_sample() -> None:
    found = by_gitlab(openmetrics.text(certificate()))
    assert "1" == found["hxbench_status{model=smollm2-135m,profile=smollm2-135m}"]
    assert not [name for name in found if certificate()["run"] in name]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("CERTIFIED", "✓ CERTIFIED"), ("FAILED", "✕ FAILED"), ("CONDITIONAL", "◐ CONDITIONAL"),
        ("INCOMPLETE", "! INCOMPLETE"), ("SPLENDID", "? SPLENDID"),
    ],
)  # fmt: skip
def test_a_badge_says_the_status_in_words_and_has_a_name(status: str, says: str) -> None:
    root = ElementTree.fromstring(badge.svg(certificate(status=status)))  # noqa: S314 - our own
    name = f"hxbench: smollm2-135m, level 1: {status}"
    assert ("img", name) == (root.get("role"), root.get("aria-label"))
    assert name == root.findtext(f"{SVG}title")
    assert ["hxbench smollm2-135m", says] == [each.text for each in root.iter(f"{SVG}text")]


def test_a_badge_is_as_wide_as_what_it_says_and_a_long_name_is_cut() -> None:
    short, long = (
        ElementTree.fromstring(badge.svg(certificate(target={"model": "m" * length})))  # noqa: S314 - our own
        for length in (40, 4000)
    )
    assert "hxbench " + "m" * 39 + "…" == long.findtext(f"{SVG}text")
    assert short.get("width") == long.get("width")
    widths = [int(each.get("width", 0)) for each in long.iter(f"{SVG}rect")]
    assert str(sum(widths)) == long.get("width")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_in_a_badge_is_text(payload: str) -> None:
    made = badge.svg(certificate(target={"model": payload}, status=payload))
    tags = [each.tag.removeprefix(SVG) for each in ElementTree.fromstring(made).iter()]  # noqa: S314 - our own
    assert ["svg", "title", "rect", "text", "rect", "text"] == tags
