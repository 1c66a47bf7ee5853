"""What Prometheus said, held against limits: records made by hand, the measured window is known."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hxbench.judge import certificate as certificates
from hxbench.judge.consistency import contradictions
from hxbench.judge.scraped import RESET_ON_READ
from hxbench.judge.watched import TAKEN_AWAY
from hxbench.records.run_directory import Records
from tests.records_by_hand import SECOND, frame, records

LABELS = json.dumps({"instance": "a:1", "job": "llm"}, sort_keys=True)
WAITING = {"query": "sum(waiting)", "statistic": "max", "at_most": 4}


def profile(**queries: Any) -> dict[str, Any]:
    return {"prometheus": {"url": "http://p:9090", "every": "1 s", "coverage": ["llm"], "queries": queries}}


def watched(
    asked: dict[str, Any] | None = None,
    value: Any = 3.0,
    up: Any = 1.0,
    gone: tuple[float, float] = (0, 0),
    up_gone: tuple[float, float] = (0, 0),
    trials: int = 1,
    **noted: Any,
) -> Records:
    """A run whose Prometheus gave `value` each second, and a scrape that said `up`; none within `gone`."""
    query = asked or WAITING
    plain = records(trials=trials, profile=profile(asked=query))
    parts, entries = [plain.series], []
    for trial, start, end in plain.windows[["trial", "start_ns", "end_ns"]].itertuples(index=False):
        ticks = np.arange(start - 3 * SECOND, end + 3 * SECOND, SECOND)
        for name, text, values, hole in (
            ("coverage", 'up{job="llm"}', up, up_gone), ("asked", query["query"], value, gone),
        ):  # fmt: skip
            found = values((ticks - start) / SECOND) if callable(values) else np.full(ticks.shape, values)
            inside = (ticks < start + hole[0] * SECOND) | (ticks >= start + hole[1] * SECOND)
            columns = {"time_ns": ticks[inside], "trial": trial, "target": "main", "source": "prometheus"}
            labels = LABELS if name == "coverage" else "{}"
            parts.append(frame("series", columns | {"name": name, "labels": labels, "value": found[inside]}))
            entry = {"trial": int(trial), "name": name, "query": text, "series": 1, "not_numbers": 0}
            entry |= {"samples": int(inside.sum()), "warnings": [], "error": None, "may_be_old": False}
            entry |= {"begin_ns": int(ticks[0]), "end_ns": int(ticks[-1])}
            entries.append(entry | (noted if name == "asked" else {}))
    return replace(plain, series=pd.concat(parts, ignore_index=True), watched=entries)


def verdict(run: Records, name: str = "asked") -> dict[str, Any]:
    found = certificates.build(run)["verdicts"]
    [mine] = [each for each in found if each["id"].startswith(f"prometheus.{name}.")]
    return mine


def said(run: Records, name: str = "asked") -> tuple[str, str]:
    mine = verdict(run, name)
    return mine["verdict"], mine["reason"]


@pytest.mark.parametrize(
    ("expected", "query", "value"),
    [
        ("PASS", {"statistic": "max", "at_most": 3}, 3.0),
        ("FAIL", {"statistic": "max", "at_most": 3}, 3.01),
        ("PASS", {"statistic": "min", "at_least": 3}, 3.0),
        ("FAIL", {"statistic": "min", "at_least": 3}, 2.99),
        ("PASS", {"statistic": "last", "at_most": 3}, 3.0),
        ("FAIL", {"statistic": "last", "at_least": 3.01}, 3.0),
        ("PASS", {"statistic": "mean", "at_most": 3.0}, 3.0),
        ("FAIL", {"statistic": "mean", "at_most": 2.99}, 3.0),
        ("PASS", {"statistic": "max", "unit": "s", "at_most": "3 s"}, 3.0),
        ("FAIL", {"statistic": "max", "unit": "share", "at_most": "2 %"}, 0.021),
        ("PASS", {"statistic": "last", "unit": "ratio", "at_least": 0.0025}, 0.0025),
    ],
)
def test_each_statistic_passes_at_its_limit_and_fails_beyond(
    expected: str, query: dict[str, Any], value: float
) -> None:
    assert expected == said(watched({"query": "q", **query}, value))[0]


@pytest.mark.parametrize("name", RESET_ON_READ)
def test_a_gauge_that_begins_anew_for_each_reader_decides_nothing(name: str) -> None:
    assert ("INCONCLUSIVE", TAKEN_AWAY) == said(watched({"query": f"max({name})", "at_most": 9}))


def test_an_increase_is_the_counters_difference_from_before_the_load_to_after_it() -> None:
    mine = verdict(watched({"query": "q", "statistic": "increase", "at_least": 1}, lambda s: 10 * (s + 3)))
    run = watched()
    length = run.windows.eval("end_ns - start_ns").iloc[0] / SECOND
    ticks = len(np.arange(-3, length + 3, 1.0))
    assert 10 * (ticks - 1) == pytest.approx(mine["estimate"])
    assert "PASS" == mine["verdict"]


@pytest.mark.parametrize(("step", "said"), [(0, True), (1, False)])
def test_a_counter_that_does_not_move_is_noted_whatever_its_limit(step: int, said: bool) -> None:
    for limit in ({}, {"at_most": 10**6}):
        run = watched({"query": "sum(errors)", "statistic": "increase", **limit}, lambda s: 5 + step * s)
        note = "The counter prometheus.asked did not move over the load: sum(errors)."
        assert said == (note in certificates.build(run)["notes"])


def test_a_counter_of_which_nothing_is_known_is_not_said_to_stand_still() -> None:
    query = {"query": "sum(errors)", "statistic": "increase"}
    for run in (watched(query, 5.0, error="refused"), watched(query, 5.0, begin_ns=1), watched(value=5.0)):
        assert not any("did not move" in each for each in certificates.build(run)["notes"])


def test_an_increase_over_trials_is_the_sum() -> None:
    query = {"query": "q", "statistic": "increase", "at_least": 1}
    one, three = (verdict(watched(query, lambda s: s + 3, trials=n))["estimate"] for n in (1, 3))
    assert 2.5 * one < three < 3.5 * one


def test_a_counter_that_was_reset_decides_nothing() -> None:
    query = {"query": "q", "statistic": "increase", "at_least": 1}
    run = watched(query, lambda s: np.where(s < 5, s + 100, s))
    assert ("INCONCLUSIVE", "asked was reset in trial 1: what it had counted by then is lost") == said(run)


def test_a_counter_without_a_value_before_the_load_decides_nothing() -> None:
    query = {"query": "q", "statistic": "increase", "at_least": 1}
    run = watched(query, lambda s: s + 3, begin_ns=1)
    assert ("INCONCLUSIVE", "asked has no value before and after the load of trial 1") == said(run)


@pytest.mark.parametrize(
    ("expected", "noted"),
    [
        ("http://p:9090: refused; start it", {"error": "http://p:9090: refused; start it"}),
        ("Prometheus has no data of sum(waiting) in trial 1", {"samples": 0}),
        (
            "Prometheus has no data but NaN or infinity of sum(waiting) in trial 1",
            {"samples": 0, "not_numbers": 9},
        ),
        ("sum(waiting) gives 2 series, not one; aggregate them, such as with sum()", {"series": 2}),
    ],
)  # fmt: skip
def test_what_prometheus_did_not_say_decides_nothing(expected: str, noted: dict[str, Any]) -> None:
    assert ("INCONCLUSIVE", expected) == said(watched(**noted))


def test_a_run_whose_prometheus_was_never_asked_decides_nothing() -> None:
    run = replace(watched(), watched=[])
    assert ("INCONCLUSIVE", "Prometheus was not asked after trial 1") == said(run)
    assert ("INCONCLUSIVE", "Prometheus was not asked after trial 1") == said(run, "coverage")


def test_an_answer_with_a_warning_never_passes_but_one_beyond_the_limit_fails() -> None:
    warned = {"warnings": ["a store did not answer"]}
    found, reason = said(watched(**warned))
    assert "INCONCLUSIVE" == found
    assert reason.endswith("is 3, but Prometheus warns: a store did not answer")
    assert "FAIL" == said(watched(value=5.0, **warned))[0]


def test_samples_have_to_cover_95_percent_of_the_window_to_pass() -> None:
    length = watched().windows.eval("end_ns - start_ns").iloc[0] / SECOND
    allowed = math.floor(0.05 * length) + 1  # each second one: the one before a hole vouches for one more
    assert "PASS" == said(watched(gone=(5, 5 + allowed)))[0]
    found, reason = said(watched(gone=(5, 5 + allowed + 1)))
    assert "INCONCLUSIVE" == found
    assert ", but samples cover 9" in reason
    assert reason.endswith("% of the window; 95 % are needed")


def test_samples_that_cover_95_percent_exactly_are_enough() -> None:
    run = watched(gone=(5, 7))  # of 20 seconds one is not vouched for
    whole = replace(run, phases=run.phases.assign(end_ns=run.phases["start_ns"] + 20 * SECOND))
    [phase] = whole.windows.itertuples()
    assert 20 * SECOND == phase.end_ns - phase.start_ns
    assert ("PASS", 19) == (said(whole)[0], verdict(whole)["n"])  # of 21, both ends included


def test_a_value_beyond_its_limit_fails_though_samples_are_missing() -> None:
    assert "FAIL" == said(watched(value=5.0, gone=(5, 15)))[0]
    assert (
        "INCONCLUSIVE"
        == said(watched({"query": "q", "statistic": "last", "at_most": 4}, 5.0, gone=(5, 15)))[0]
    )


def test_values_that_prometheus_may_have_kept_do_not_pass_where_scrapes_are_missing() -> None:
    found, reason = said(watched(up_gone=(5, 15)))
    assert "INCONCLUSIVE" == found
    assert "scrapes of llm at a:1 cover" in reason


def test_no_sample_in_the_window_decides_nothing() -> None:
    run = watched(gone=(-1, 1000))
    assert (
        "INCONCLUSIVE",
        "no sample fell into the measured window; a longer one would decide it",
    ) == said(run)


@pytest.mark.parametrize("value", [0.1, 10.0])
def test_a_quantile_out_of_buckets_is_a_bound_and_never_decides(value: float) -> None:
    query = {"query": "histogram_quantile(0.95, sum(rate(b[1m])) by (le))", "unit": "s", "at_most": "1 s"}
    mine = verdict(watched(query, value))
    assert ("INCONCLUSIVE", value) == (mine["verdict"], mine["estimate"])
    assert "histogram_quantile interpolates inside a bucket: a bound, which decides nothing" == mine["reason"]


@pytest.mark.parametrize(("length_s", "verdict"), [(38.5, "INCONCLUSIVE"), (39.5, "PASS")])
def test_fewer_than_40_samples_have_no_mean(length_s: float, verdict: str) -> None:
    run = watched({"query": "q", "statistic": "mean", "at_most": 4})
    end_ns = run.phases["start_ns"] + int(length_s * SECOND)
    found, reason = said(replace(run, phases=run.phases.assign(end_ns=end_ns)))
    assert verdict == found
    few = "39 samples are too few for a mean of one trial: 40 are needed"
    assert (reason == few) == (verdict == "INCONCLUSIVE")


def test_every_service_up_in_every_scrape_is_full_coverage() -> None:
    mine = verdict(watched(), "coverage")
    assert ("PASS", 1.0, 1.0) == (mine["verdict"], mine["estimate"], mine["limit"])
    assert "1 of 1 services were up in every scrape" == mine["reason"]


def test_one_scrape_that_found_a_service_down_breaks_coverage() -> None:
    run = watched(up=lambda s: np.where(np.floor(s) == 7, 0.0, 1.0))
    assert ("FAIL", "0 of 1 services were up in every scrape, not llm") == said(run, "coverage")


def test_a_service_down_before_the_window_is_up_in_it() -> None:
    assert "PASS" == said(watched(up=lambda s: np.where(s < 0, 0.0, 1.0)), "coverage")[0]


def test_no_scrape_in_the_window_leaves_coverage_open() -> None:
    found, reason = said(watched(up_gone=(-1, 1000)), "coverage")
    assert "INCONCLUSIVE" == found
    assert reason.endswith(", but no scrapes of llm at a:1 fell into the measured window")


def test_missing_scrapes_leave_coverage_open() -> None:
    found, reason = said(watched(up_gone=(5, 15)), "coverage")
    assert "INCONCLUSIVE" == found
    assert reason.startswith("1 of 1 services were up in every scrape, but scrapes of llm at a:1 cover ")


def test_the_certificate_lists_what_was_asked_and_its_cases() -> None:
    given = certificates.build(watched(warnings=["partial"]))
    coverage, asked = given["prometheus"]
    assert ("coverage", 'up{job="llm"}') == (coverage["name"], coverage["query"])
    assert ("asked", "sum(waiting)", "max", ["partial"]) == (
        asked["name"], asked["query"], asked["statistic"], asked["warnings"],
    )  # fmt: skip
    cases = [row["id"] for row in given["catalogue"]]
    assert ["TC-L1-MON-SMOLLM2-001", "TC-L1-MON-SMOLLM2-002"] == cases[-2:]
    assert 14 == len(cases)


def test_a_profile_that_asks_nothing_has_neither_queries_nor_cases() -> None:
    given = certificates.build(records())
    assert "prometheus" not in given
    assert 12 == len(given["catalogue"])


def test_notes_that_are_not_the_profiles_or_the_series_contradict_them() -> None:
    assert [] == contradictions(watched())
    other = ["records/prometheus.json: the queries of trial 1 are not the profile's"]
    run = watched()
    coverage, asked = run.watched
    for changed in (
        [coverage, {**asked, "query": "vector(0)"}],
        [{**coverage, "query": 'up{job="other"}'}, asked],
        [coverage, coverage, asked],
    ):
        assert other[0] in contradictions(replace(run, watched=changed))
    assert other[0] in contradictions(replace(run, watched=[coverage]))
    assert [
        "records/prometheus.json: other samples of asked in trial 1 than in series.parquet"
    ] == contradictions(watched(samples=5))


def test_largest_smallest_and_last_are_taken_of_samples_that_differ() -> None:
    def rising_with_a_dent(at_s: Any) -> Any:
        return np.where(np.abs(at_s - 5) < 0.1, 0.5, 1 + at_s / 100)

    run = watched()
    inside = run.windows.eval("end_ns - start_ns").iloc[0] // SECOND  # the last sample's second
    expected = {"max": 1 + inside / 100, "min": 0.5, "last": 1 + inside / 100}
    for statistic, value in expected.items():
        found = verdict(watched({"query": "q", "statistic": statistic, "at_most": 9}, rising_with_a_dent))
        assert value == pytest.approx(found["estimate"]), statistic
    falling = watched({"query": "q", "statistic": "last", "at_most": 9}, lambda at_s: 2 - at_s / 100)
    assert 2 - inside / 100 == pytest.approx(verdict(falling)["estimate"])


def test_a_mean_of_several_trials_is_that_of_all_of_them() -> None:
    run = watched({"query": "q", "statistic": "mean", "at_most": 9}, trials=3)
    mine = (run.series["name"] == "asked") & (run.series["trial"] == 2)
    uneven = replace(run, series=run.series.assign(value=run.series["value"].mask(mine, 6.0)))
    assert 4.0 == pytest.approx(verdict(uneven)["estimate"])  # of 3, 6 and 3
