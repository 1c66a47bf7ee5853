from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.catalogue import cases
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.objectives import Objective

QUERY = {"query": "sum(waiting)", "at_most": 4}
GOOD: dict[str, Any] = {"coverage": ["llm"], "queries": {"waiting": QUERY}}


def resolved(section: Any, environ: dict[str, str] | None = None) -> Resolved:
    given = {"target.model": "m", "prometheus": section}
    overrides = {key: (value, "a test") for key, value in given.items()}
    return resolve(None, overrides=overrides, environ=environ)


def test_coverage_and_each_limit_are_objectives_in_base_units() -> None:
    latency = {"query": "x", "unit": "s", "statistic": "mean", "at_most": "250 ms"}
    counter = {"query": "y", "statistic": "increase", "at_least": 1.5}
    watched = resolved({"coverage": ["llm"], "queries": {"latency": latency, "counter": counter}}).profile
    assert (
        Objective("prometheus.coverage", "share", ">=", 1.0, "share"),
        Objective("prometheus.latency", "mean", "<=", 0.25, "s"),
        Objective("prometheus.counter", "increase", ">=", 1.5, "count"),
    ) == watched.all_objectives


def test_the_resolved_document_resolves_to_itself() -> None:
    once = resolved(GOOD | {"url": "http://p:9090/prom/", "every": "5 s"})
    again = resolved(once.document["prometheus"])
    assert (once.profile, once.sha256) == (again.profile, again.sha256)
    assert "http://p:9090/prom" == once.profile.prometheus.url


def test_without_the_section_nothing_is_asked() -> None:
    assert resolve(None, overrides={"target.model": ("m", "a test")}).profile.watched is None


def test_an_address_alone_asks_nothing() -> None:
    profile = resolve(
        None, overrides={"target.model": ("m", "a test")}, environ={"PROMETHEUS_URL": "http://p:1"}
    ).profile
    assert "http://p:1" == profile.prometheus.url
    assert profile.watched is None
    assert () == profile.all_objectives


def test_the_address_comes_from_the_environment_and_says_so() -> None:
    found = resolve(
        None, overrides={"target.model": ("m", "a test")}, environ={"PROMETHEUS_URL": "http://p:1"}
    )
    assert "PROMETHEUS_URL" == found.origins["prometheus.url"]


@pytest.mark.parametrize(
    ("message", "section"),
    [
        (
            "prometheus.url: expected an address such as http://127.0.0.1:9090, without user or query, got "
            '"p:9090"',
            {"url": "p:9090"},
        ),
        (
            "prometheus.url: expected an address such as http://127.0.0.1:9090, without user or query, got "
            '"http://p/?a=1"',
            {"url": "http://p/?a=1"},
        ),
        ("prometheus.every: expected whole seconds, got 0.5 s", {"every": "500 ms"}),
        ("prometheus.every: expected a duration such as 500 ms, got 5", {"every": 5}),
        ("prometheus.coverage: expected a list, got \"llm\"", {"coverage": "llm"}),
        ("prometheus.querys: unknown key; did you mean queries", {"querys": {}}),
        (
            "prometheus.queries.Waiting: expected a name of lower-case letters, digits and _ (64 at most) "
            "other than coverage",
            {"coverage": ["llm"], "queries": {"Waiting": QUERY}},
        ),
        (
            "prometheus.queries.coverage: expected a name of lower-case letters, digits and _ (64 at most) "
            "other than coverage",
            {"coverage": ["llm"], "queries": {"coverage": QUERY}},
        ),
        ("prometheus.queries.a.query: required, missing", {"queries": {"a": {}}}),
        ("prometheus.queries.a.at_mots: unknown key; did you mean at_most",
         {"queries": {"a": {"query": "x", "at_mots": 1}}}),
        (
            "prometheus.queries.a.statistic: expected 'mean', 'max', 'min', 'last' or 'increase', "
            'got "p95"',
            {"queries": {"a": {"query": "x", "statistic": "p95"}}},
        ),
        (
            "prometheus.queries.a.at_most: expected a duration such as 500 ms, got 4; the unit is s",
            {"queries": {"a": {"query": "x", "unit": "s", "at_most": 4}}},
        ),
        (
            "prometheus.queries.a.at_most: expected a number such as 0.95, got 4 s; the unit is count",
            {"queries": {"a": {"query": "x", "at_most": "4 s"}}},
        ),
        (
            "prometheus.queries.a.at_most: expected a limit of 0 or more, got -1",
            {"queries": {"a": {"query": "x", "at_most": -1}}},
        ),
        (
            "prometheus.queries.a.at_least: has no place beside at_most; ask the same under another name",
            {"queries": {"a": {"query": "x", "at_most": 4, "at_least": 1}}},
        ),
        (
            "prometheus.queries.a: a limit, or an increase, needs prometheus.coverage: the job that the "
            "numbers come from, whose scrapes show whether they are whole",
            {"queries": {"a": {"query": "x", "at_most": 4}}},
        ),
        (
            "prometheus.queries.a: a limit, or an increase, needs prometheus.coverage: the job that the "
            "numbers come from, whose scrapes show whether they are whole",
            {"queries": {"a": {"query": "x", "statistic": "increase"}}},
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_one_line(message: str, section: dict[str, Any]) -> None:
    with pytest.raises(ProfileError) as caught:
        resolved(section)
    assert f"a test: {message}" == str(caught.value)


def test_only_a_profile_that_asks_has_cases_of_monitoring() -> None:
    assert ["MON", "MON"] == [case.category for case in cases(resolved(GOOD).profile)[12:]]
    [only] = cases(resolved({"coverage": ["llm"]}).profile)[12:]
    assert ("TC-L1-MON-UNNAMED-001", ("prometheus.coverage",)) == (only.id, only.metrics)
    shown = {"queries": {"waiting": {"query": "sum(waiting)"}}}
    assert () == cases(resolved(shown).profile)[12:]
