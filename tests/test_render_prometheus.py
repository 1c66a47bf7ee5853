"""What Prometheus said, as a figure, on the certificate's page and in words."""

import json
import math
from dataclasses import replace

import numpy as np
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hxbench.judge import certificate as certificates
from hxbench.render import openmetrics, wording
from hxbench.render.certificate_page import page
from hxbench.render.frames import Frames
from hxbench.render.run_view import Figures
from tests.hostile import PAYLOADS
from tests.records_by_hand import changed, records
from tests.test_judge_watched import watched


def test_each_query_has_a_panel_with_its_limit_on_the_runs_time_axis() -> None:
    made = Figures(watched()).prometheus()
    assert made is not None
    assert ["coverage", "asked"] == [made.layout.yaxis.title.text, made.layout.yaxis2.title.text]
    assert ["limit max ≤ 4"] == [note.text for note in made.layout.annotations if "limit" in note.text]
    assert "Seconds since the measured phase began" == made.layout.xaxis2.title.text
    assert ["coverage{instance=a:1, job=llm}", "asked"] == [drawn.name for drawn in made.data]


def test_the_frame_holds_every_answer_with_its_time_since_the_measured_phase_began() -> None:
    shown = Frames(watched()).prometheus()
    assert {"coverage", "asked"} == set(shown["name"])
    assert [-3.0, -2.0, -1.0, 0.0] == shown.loc[shown["name"] == "asked", "time_s"].tolist()[:4]


def test_a_gap_in_the_answers_is_no_line_and_no_zero() -> None:
    made = Figures(watched(gone=(5, 8))).prometheus()
    assert made is not None
    values = dict(zip(made.data[1].x.tolist(), made.data[1].y.tolist(), strict=True))
    assert [3.0, 3.0] == [values[4.0], values[8.0]]
    assert math.isnan(values[6.0])
    assert {3.0} == {value for value in values.values() if not math.isnan(value)}


def test_a_single_answer_that_is_missing_breaks_no_line() -> None:
    made = Figures(watched(gone=(5, 6))).prometheus()
    assert made is not None
    assert not np.isnan(made.data[1].y).any()


def test_without_a_prometheus_there_is_no_figure() -> None:
    assert Figures(records()).prometheus() is None
    assert Frames(records()).prometheus().empty


def test_a_prometheus_that_gave_nothing_says_so() -> None:
    run = watched()
    silent = replace(run, series=run.series[run.series["source"] != "prometheus"], watched=[])
    made = Figures(silent).prometheus()
    assert made is not None
    assert "It gave no number." == made.layout.title.subtitle.text


def test_values_below_zero_are_seen() -> None:
    made = Figures(watched(value=-2.0)).prometheus()
    assert made is not None
    assert -2.5 == made.layout.yaxis2.range[0]


def test_a_counter_is_drawn_without_the_limit_on_its_increase() -> None:
    query = {"query": "q", "statistic": "increase", "at_least": 1}
    made = Figures(watched(query, lambda s: s + 3)).prometheus()
    assert made is not None
    assert [] == [note.text for note in made.layout.annotations if "limit" in note.text]


def test_the_page_lists_queries_with_warnings_and_errors() -> None:
    refused = "http://p: refused; start it"
    run = watched(warnings=["a store did not answer"], error=refused, not_numbers=2, may_be_old=True)
    given = certificates.build(run)
    shown = page(given, run.facts)
    assert "What Prometheus was asked" in shown
    assert "sum(waiting) (max):" in shown
    assert (
        "samples, 2 not a number, which may be up to 5 minutes old; warns: a store did not answer; " + refused
    ) in shown
    assert "What Prometheus was asked" not in page(certificates.build(records()), run.facts)


def test_a_verdict_says_that_it_is_by_prometheus() -> None:
    names = wording.names(certificates.build(watched()))
    assert "coverage by Prometheus, share" == names["prometheus.coverage.share"]
    assert "asked by Prometheus, max" == names["prometheus.asked.max"]


def test_what_a_server_writes_into_labels_and_warnings_is_text() -> None:
    for payload in PAYLOADS[:8]:
        run = watched(warnings=[payload])
        assert payload not in page(certificates.build(run), run.facts)
        series = changed(run, "series", labels=json.dumps({"job": payload}))
        drawn = Figures(series).prometheus()
        assert drawn is not None
        assert [] == [each.name for each in drawn.data if payload in each.name]


def test_a_query_is_a_label_in_the_metrics_and_its_unit_their_names_end() -> None:
    seconds = {"query": "q", "unit": "s", "at_most": "4 s"}
    about = 'model="smollm2-135m",profile="smollm2-135m",statistic="max",query="asked"'
    lines = openmetrics.text(certificates.build(watched(seconds))).splitlines()
    assert f"hxbench_prometheus_seconds{{{about}}} 3.0" in lines
    assert f"hxbench_prometheus_limit_seconds{{{about}}} 4.0" in lines
    bare = openmetrics.text(certificates.build(watched()))
    assert f"hxbench_prometheus{{{about}}} 3.0" in bare.splitlines()
    assert list(text_string_to_metric_families(bare))
