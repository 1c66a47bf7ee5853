"""Figures: what is drawn from a frame, and what the reader is told beside it."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from hxbench.judge.scaling import Advice
from hxbench.render import figures
from hxbench.render.figure import Figure, Limit, Span, draw_levels, nothing, panels
from hxbench.render.plot_data import PLOTLY_MIME, TRACE_TYPES, plot
from hxbench.stats.scalability import universal_scalability

SPANS = [Span("warmup", -20, 0), Span("measure", 0, 60), Span("drain", 60, 61)]


def latencies(*values: float | None) -> pd.DataFrame:
    return pd.DataFrame({"ttft_s": pd.array(values, dtype="Float64")})


def requests(count: int = 30, failed: tuple[int, ...] = (), *, late_s: float = 0.0) -> pd.DataFrame:
    numbers = np.arange(count, dtype=float)
    ok = ~np.isin(np.arange(count), failed)
    return pd.DataFrame(
        {
            "request_id": [f"t1-{number:06d}" for number in range(count)],
            "trial": 1,
            "attempted": True,
            "ok": ok,
            "outcome": np.where(ok, "ok", "failed"),
            "due_s": numbers if late_s else np.nan,
            "dispatched_s": numbers + late_s,
            "done_s": numbers + late_s + 1 + numbers / 100,
            "ttft_dispatch_s": np.where(ok, 0.25, np.nan),
            "output_tokens": 32,
        }
    )


def over_time(count: int = 60, trials: int = 1) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "trial": trial,
                "time_s": np.arange(count, dtype=float),
                "output_tokens_per_s": 90.0,
                "requests_per_s": 3.0,
                "failures_per_s": [1.0] + [0.0] * (count - 1),
                "due_per_s": np.nan,
                "sent_per_s": 3.0,
                "in_flight": 2.0,
            }
        )
        for trial in range(1, trials + 1)
    ]
    return pd.concat(frames, ignore_index=True)


def samples(count: int = 100) -> pd.DataFrame:
    time_s = np.arange(count) / 10
    server = {"trial": 1, "time_s": time_s, "source": "process", "cpu_cores": 0.9, "rss_bytes": 250e6}
    client = server | {"source": "client", "cpu_cores": 0.05, "rss_bytes": 60e6}
    host = server | {"source": "host", "cpu_cores": 0.97, "rss_bytes": np.nan}
    return pd.concat([pd.DataFrame(each) for each in (server, client, host)], ignore_index=True)


def scraped(count: int = 10, **columns: Any) -> pd.DataFrame:
    """Returns what a server with two requests at work says of itself each second."""
    said = {"processing": 2.0, "waiting": 0.0, "prompt_tokens_per_s": 40.0, "output_tokens_per_s": 90.0}
    return pd.DataFrame({"trial": 1, "time_s": np.arange(count, dtype=float), **said, **columns})


def over_windows(count: int = 5, **columns: Any) -> pd.DataFrame:
    """Returns percentiles over so many windows of 10 s: 100, 200 and 300 ms."""
    begin_s = np.arange(count) * 10.0
    windows = {"trial": 1, "begin_s": begin_s, "end_s": begin_s + 10, "n": 120}
    return pd.DataFrame(windows | {"p50_s": 0.1, "p95_s": 0.2, "p99_s": 0.3} | columns)


def reads(count: int = 30, each: int = 4) -> pd.DataFrame:
    """Returns for each of `requests(count)` as many reads: after 0.25 s, then 0.1 s apart."""
    numbers = np.repeat(np.arange(count), each)
    time_s = numbers + 0.25 + np.tile(np.arange(each) / 10, count)
    return pd.DataFrame({"request_id": [f"t1-{number:06d}" for number in numbers], "time_s": time_s})


def gate(name: str, verdict: str, *shares: float | None) -> dict[str, Any]:
    """Returns a row of `Frames.gates`: estimate, low and high as shares of the limit."""
    texts = {
        "id": name,
        "name": name,
        "verdict": verdict,
        "measured": "1 s",
        "interval": "1 to 2 s",
        "bound": "< 3 s",
    }
    return texts | dict(zip(("estimate_share", "low_share", "high_share"), shares, strict=True))


GATES = pd.DataFrame([gate("a", "PASS", 0.5, 0.4, 0.6), gate("b", "FAIL", 1.4, 1.2, np.inf)])


def subtitle(figure: Figure) -> str:
    return str(figure.layout.title.subtitle.text)


def texts(figure: Figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def every_figure() -> list[Figure]:
    limits = [Limit(0.5, "p95 ≤ 500 ms", 0.05)]
    return [
        figures.distribution(latencies(0.1, 0.2, None), "ttft_s", title="Time", limits=limits),
        figures.throughput(over_time(), spans=SPANS, token_limits=[Limit(40, "≥ 40 tok/s")]),
        figures.resources(samples(), scraped(), spans=SPANS, cpu_limits=[Limit(1, "≤ 1 core")]),
        figures.percentiles(over_windows(), title="Time", of="requests", spans=SPANS),
        figures.gates(GATES),
        figures.slowest(requests()),
        figures.waterfall(parts(30)),
        figures.typical(parts(8), of=30, seed=1),
        figures.tokens(requests(), reads(), spans=SPANS),
        figures.sweep_latency(points(), "users", {}),
        figures.sweep_throughput(points(), "users", ADVICE),
    ]


def test_quantiles_are_nearest_rank_and_a_failure_is_slower_than_everything() -> None:
    made = figures.distribution(latencies(*[0.1] * 94, 0.2, 0.3, *[None] * 4), "ttft_s", title="Time")
    assert "100 requests · p50 100 ms · p95 200 ms · p99 failed · 4 failed" == subtitle(made)


def test_the_line_is_the_share_of_attempts_not_done_within_each_time() -> None:
    made = figures.distribution(latencies(0.1, 0.2, 0.4, None), "ttft_s", title="Time")
    line = made.data[1]
    assert [0.1, 0.2, 0.4] == pytest.approx(list(line.x[:3]))
    assert [1.0, 0.75, 0.5, 0.25] == pytest.approx(list(line.y))  # the failed one never arrives


def test_the_line_ends_at_the_slowest_when_nothing_failed() -> None:
    line = figures.distribution(latencies(0.1, 0.2), "ttft_s", title="Time").data[1]
    assert [1.0, 0.5] == pytest.approx(list(line.y))


def test_the_histogram_counts_every_value_once() -> None:
    made = figures.distribution(latencies(*np.geomspace(0.01, 3, 500)), "ttft_s", title="Time")
    assert 500 == sum(made.data[0].y)


def test_a_quantile_limit_is_a_named_line_and_a_forbidden_corner() -> None:
    limit = Limit(0.5, "p95 ≤ 500 ms", 0.05)
    made = figures.distribution(latencies(0.1, 0.2), "ttft_s", title="Time", limits=[limit])
    corner = made.layout.shapes[-1]
    assert "limit p95 ≤ 500 ms" in texts(made)
    assert (0.5, 0.05) == (corner.x0, corner.y0)
    low, high = made.layout.xaxis.range
    assert low < np.log10(0.5) < high


def test_a_limit_on_a_mean_forbids_no_corner() -> None:
    made = figures.distribution(latencies(0.1), "ttft_s", title="Time", limits=[Limit(0.5, "mean ≤ 500 ms")])
    assert {"line"} == {shape.type for shape in made.layout.shapes}


def test_the_axis_is_labelled_in_units_a_reader_knows() -> None:
    made = figures.distribution(latencies(0.09, 0.6), "ttft_s", title="Time")
    assert ("100 ms", "200 ms", "500 ms") == made.layout.xaxis.ticktext


def test_a_stray_tiny_value_does_not_push_the_others_together() -> None:
    made = figures.distribution(latencies(1e-6, *[0.1] * 999), "ttft_s", title="Time")
    assert np.log10(0.04) < made.layout.xaxis.range[0]
    assert 1000 == sum(made.data[0].y)  # it is counted where the axis begins


def test_a_wide_axis_is_labelled_by_powers_of_ten() -> None:
    made = figures.distribution(latencies(0.001, 9), "ttft_s", title="Time")
    assert ("1 ms", "10 ms", "100 ms", "1 s", "10 s") == made.layout.xaxis.ticktext


def test_without_a_value_the_figure_says_so() -> None:
    made = figures.distribution(latencies(None, None), "ttft_s", title="Time")
    assert "No requests with a value: 2 failed." == subtitle(made)
    assert () == made.data


def test_warm_up_and_drain_are_shaded_and_the_measured_phase_is_not() -> None:
    made = figures.throughput(over_time(), spans=SPANS)
    assert {(-20, 0), (60, 61)} == {(shape.x0, shape.x1) for shape in made.layout.shapes}
    assert ["warm-up"] == texts(made)  # the drain is too short to be named


def test_an_open_loop_shows_what_was_due_and_sent_beneath_what_was_answered() -> None:
    made = figures.throughput(over_time().assign(due_per_s=4.0, sent_per_s=3.5))
    in_panel_2 = [trace.y[0] for trace in made.data if trace.yaxis == "y2" and trace.mode == "lines"]
    assert [4.0, 3.5, 3.0] == in_panel_2
    assert 3 == sum(trace.mode == "lines" for trace in figures.throughput(over_time()).data)


def test_failures_are_marked_where_they_happened() -> None:
    made = figures.throughput(over_time())
    crosses = next(trace for trace in made.data if trace.name == "failures")
    assert [(0.0, 1.0)] == list(zip(crosses.x, crosses.y, strict=True))


def test_trials_are_told_apart_only_when_there_are_several() -> None:
    assert figures.throughput(over_time()).layout.showlegend is False
    made = figures.throughput(over_time(trials=3))
    assert made.layout.showlegend is True
    assert {"trial 1", "trial 2", "trial 3", "failures"} == {trace.name for trace in made.data}


def test_a_long_run_is_thinned_for_display_and_the_figure_says_so() -> None:
    made = figures.throughput(over_time(4001))
    assert "Means over 10 s, for display only" == subtitle(made)
    assert 400 >= len(made.data[0].x) - 1
    assert [90.0] * 3 == list(made.data[0].y[:3])


def test_a_run_without_answers_has_no_throughput_to_draw() -> None:
    assert "Nothing was received." == subtitle(figures.throughput(over_time().head(0)))


def test_resources_show_server_generator_and_machine_on_one_time_axis() -> None:
    made = figures.resources(samples(), scraped(0))
    assert ["load generator", "load generator", "machine", "machine", "server", "server"] == [
        trace.name for trace in made.data
    ]
    assert "x2" == made.layout.xaxis.matches


def test_a_server_elsewhere_has_no_resources() -> None:
    made = figures.resources(samples(0), scraped(0))
    assert (
        "Not sampled: the server runs on another machine, and it has no metrics that are known here."
        == subtitle(made)
    )


def test_what_a_server_says_of_itself_stands_below_what_it_used_on_the_same_axis() -> None:
    made = figures.resources(samples(), scraped())
    named = [(trace.yaxis, trace.name, trace.y[0]) for trace in made.data if trace.yaxis in ("y3", "y4")]
    assert [("y3", "at work", 2), ("y3", "waiting for a slot", 0)] == named[:2]
    assert [("y4", "prompt tokens", 40), ("y4", "output tokens", 90)] == named[2:]
    assert {"x4", None} == {made.layout[f"xaxis{number}"].matches for number in ("", 2, 3, 4)}


def test_a_server_elsewhere_still_says_something_of_itself() -> None:
    made = figures.resources(samples(0), scraped(waiting=np.nan))
    assert "Not sampled: the server runs on another machine." == subtitle(made)
    assert ["at work", "prompt tokens", "output tokens"] == [trace.name for trace in made.data]
    assert (0, 2.5) == made.layout.yaxis.range


def test_percentiles_over_time_have_a_line_each_with_a_mark_in_the_middle_of_its_window() -> None:
    made = figures.percentiles(
        over_windows(), title="Time", of="requests", limits=[Limit(0.25, "p95 ≤ 250 ms")]
    )
    assert {"p50": 0.1, "p95": 0.2, "p99": 0.3} == {line.name: pytest.approx(line.y[0]) for line in made.data}
    assert [5.0, 15.0, 25.0, 35.0, 45.0] == list(made.data[0].x)
    assert 3 == len({line.marker.symbol for line in made.data})
    assert "5 windows of 120 requests; p95 is drawn from 20 on, p99 from 100" == subtitle(made)
    assert "limit p95 ≤ 250 ms" in texts(made)


def test_a_percentile_of_too_few_values_has_no_line_and_one_that_failed_has_a_cross() -> None:
    shown = over_windows(p99_s=np.nan, p95_s=[0.2, np.inf, 0.2, 0.2, 0.2])
    made = figures.percentiles(shown, title="Time", of="requests")
    crosses = made.data[-1]
    assert ["p50", "p95", "a percentile is a failure"] == [trace.name for trace in made.data]
    assert [15.0] == list(crosses.x)
    assert np.isnan(made.data[1].y[1])
    assert crosses.y[0] <= made.layout.yaxis.range[1]


def test_of_several_trials_each_percentile_is_named_once() -> None:
    both = pd.concat([over_windows(), over_windows(trial=2)])
    made = figures.percentiles(both, title="Time", of="requests")
    assert ["p50", "p95", "p99"] == [line.name for line in made.data if line.showlegend]
    assert 6 == len(made.data)


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_percentiles_of_nothing_say_so(values: float) -> None:
    empty = over_windows(p50_s=values, p95_s=values, p99_s=values)
    made = figures.percentiles(empty, title="Time", of="gaps")
    assert "Too few gaps, or all of them failed." == subtitle(made)


def test_tokens_are_marks_in_the_row_of_their_request_and_the_figure_says_that_it_is_a_sample() -> None:
    made = figures.tokens(requests(100), reads(100), count=5)
    marks = {trace.name: trace for trace in made.data}
    assert "Sampled: 5 of 100 requests, those around the slowest answer" == subtitle(made)
    assert ["t1-000095", "t1-000096", "t1-000097", "t1-000098", "t1-000099"] == list(
        made.layout.yaxis.categoryarray
    )
    assert [95.25, 96.25, 97.25, 98.25, 99.25] == pytest.approx(list(marks["first token"].x))
    assert (5, 15) == (len(marks["first token"].x), len(marks["more tokens"].x))
    assert "failed" not in marks


def test_the_slowest_answer_stands_in_the_middle_of_its_neighbours() -> None:
    some = requests(100)
    some.loc[40, "done_s"] = 60.0
    made = figures.tokens(some, reads(100), count=5)
    assert [f"t1-0000{number}" for number in range(38, 43)] == list(made.layout.yaxis.categoryarray)


def test_a_request_that_failed_ends_in_a_cross_and_is_not_taken_for_the_slowest() -> None:
    some = requests(30, failed=(2,))
    some.loc[2, "done_s"] = 90.0
    some.loc[3, "done_s"] = 80.0
    made = figures.tokens(some, reads(30), count=4)
    cross = next(trace for trace in made.data if trace.name == "failed")
    assert [("t1-000002", 90.0)] == list(zip(cross.y, cross.x, strict=True))


def test_long_answers_show_fewer_requests_so_that_marks_can_be_told_apart() -> None:
    made = figures.tokens(requests(30), reads(30, each=250))
    assert 4 == len(made.layout.yaxis.categoryarray)


def test_phases_beside_the_sampled_stretch_do_not_widen_its_axis() -> None:
    assert (
        () == figures.tokens(requests(100), reads(100), count=5, spans=[Span("warmup", -20, 0)]).layout.shapes
    )
    made = figures.tokens(requests(100), reads(100), count=5, spans=[Span("drain", 99, 200)])
    assert 99 == made.layout.shapes[0].x0
    assert made.layout.shapes[0].x1 < 102


@pytest.mark.parametrize("none", [requests(0), requests(3).assign(attempted=False)])
def test_tokens_of_no_request_say_so(none: pd.DataFrame) -> None:
    assert "No request was made." == subtitle(figures.tokens(none, reads(0)))


def test_gates_stand_as_shares_of_their_limits_with_a_mark_of_their_own_for_each_verdict() -> None:
    made = figures.gates(GATES)
    passed, failed = made.data
    assert ("circle", "x") == (passed.marker.symbol, failed.marker.symbol)
    assert (0.5, 0.1, 0.1) == pytest.approx(
        (passed.x[0], passed.error_x.array[0], passed.error_x.arrayminus[0])
    )
    assert made.layout.xaxis.range[1] == pytest.approx(
        failed.x[0] + failed.error_x.array[0]
    )  # without an end
    assert "linear" == made.layout.xaxis.type
    assert "1 s, limit &lt; 3 s" == passed.text[0]


@pytest.mark.parametrize(("share", "axis"), [(0.11, "linear"), (0.09, "log"), (9.0, "linear"), (11.0, "log")])
def test_gates_far_apart_stand_on_a_logarithmic_axis(share: float, axis: str) -> None:
    made = figures.gates(pd.DataFrame([gate("a", "PASS", share, share, share), gate("b", "PASS", 1, 1, 1)]))
    assert axis == made.layout.xaxis.type


def test_a_share_of_zero_stands_at_the_edge_of_a_logarithmic_axis() -> None:
    made = figures.gates(
        pd.DataFrame([gate("a", "PASS", 0.0, 0.0, 0.9), gate("b", "PASS", 0.01, 0.01, 0.01)])
    )
    assert made.data[0].x[0] == pytest.approx(10 ** made.layout.xaxis.range[0])


def test_what_a_gate_measured_is_written_towards_the_middle_of_the_figure() -> None:
    made = figures.gates(
        pd.DataFrame([gate(str(share), "PASS", share, share, share) for share in (0.2, 1.0, 1.2)])
    )
    assert ["top right", "top center", "top left"] == list(made.data[0].textposition)


def test_a_gate_without_a_number_is_counted_and_none_at_all_is_said() -> None:
    unknown = gate("c", "INCONCLUSIVE", None, None, None)
    made = figures.gates(pd.concat([GATES, pd.DataFrame([unknown])], ignore_index=True))
    assert subtitle(made).endswith("; 1 without a number")
    assert "No gate has a number and a limit." == subtitle(figures.gates(pd.DataFrame([unknown])))


def test_ordinary_requests_are_bars_in_the_order_they_come_and_say_how_they_were_drawn() -> None:
    made = figures.typical(parts(8), of=30, seed=7)
    assert "Sampled: 8 of 30 answered requests, drawn by lot with seed 7" == subtitle(made)
    assert "t1-008" == made.data[0].y[0]
    assert "No request was answered." == subtitle(figures.typical(parts(0), of=0, seed=7))


def test_a_limit_far_above_all_that_was_seen_is_named_and_does_not_flatten_the_line() -> None:
    made = figures.resources(samples(), scraped(0), memory_limits=[Limit(90e9, "≤ 90 GB")])
    assert "limit ≤ 90 GB, far above the 250 MB seen" in texts(made)
    assert [0, 1.25 * 250e6] == pytest.approx(list(made.layout.yaxis2.range))
    assert () == made.layout.shapes


def test_a_near_limit_is_inside_its_panel() -> None:
    made = panels("Any", "", [1], 200)
    draw_levels(made, 1, [Limit(40, "≥ 40 tok/s")], 20.0, "tok/s")
    assert (0, 50) == made.layout.yaxis.range


def test_a_panel_of_zeros_keeps_a_height() -> None:
    made = panels("Any", "", [1], 200)
    draw_levels(made, 1, [], 0.0, "tok/s")
    assert (0, 1) == made.layout.yaxis.range


def test_the_slowest_requests_stand_on_top_after_the_failed_ones() -> None:
    rows = figures.slowest_rows(requests(failed=(3,)), 3)
    assert ["t1-000003", "t1-000029", "t1-000028"] == rows["request_id"].tolist()


def test_the_bars_of_a_request_add_up_to_its_time() -> None:
    rows = figures.slowest_rows(requests(failed=(3,), late_s=0.5), 30)
    stages = rows[["queued_s", "waiting_s", "streaming_s", "failing_s"]].fillna(0).sum(axis=1)
    assert rows["total_s"].tolist() == pytest.approx(stages.tolist())


def test_requests_outside_the_measured_phase_are_not_among_the_slowest() -> None:
    assert figures.slowest_rows(requests(3).assign(attempted=False), 3).empty
    assert "No request was made." == subtitle(figures.slowest(requests(3).assign(attempted=False)))


def test_only_stages_that_took_time_have_bars() -> None:
    names = [trace.name for trace in figures.slowest(requests()).data]
    assert ["waiting for the first token", "streaming"] == names
    late = [trace.name for trace in figures.slowest(requests(failed=(1,), late_s=0.5)).data]
    assert ["due, not yet sent", "waiting for the first token", "streaming", "failed"] == late


def test_names_from_the_records_are_text_in_the_figure() -> None:
    made = figures.slowest(requests(1).assign(request_id="<a href='javascript:x'>y</a>"))
    assert "&lt;a href=&#x27;javascript:x&#x27;&gt;y&lt;/a&gt;" == made.data[0].y[0]
    assert "&lt;b&gt;" == subtitle(nothing("Any", "<b>"))


def parts(count: int) -> pd.DataFrame:
    """Returns a waterfall of `count` requests, the slowest first: 1 s to the first byte, then 0.1 s each."""
    numbers = np.arange(count, 0, -1)
    frame = pd.DataFrame({"request_id": [f"t1-{number:03d}" for number in numbers], "trial": 1})
    for name in ("dispatch_wait_ns", "rest_ns", "connect_ns", "send_ns", "first_token_ns"):
        frame[name] = 1000
    return frame.assign(server_ns=10**9, decode_ns=numbers * 10**8)


def test_the_waterfall_draws_the_median_the_p95_and_the_slowest_from_the_top() -> None:
    made = figures.waterfall(parts(100), count=3, subtitle="the server's")
    assert ["median  t1-050", "p95  t1-095", "1.  t1-100", "2.  t1-099", "3.  t1-098"] == list(made.data[0].y)
    assert "the server's" == subtitle(made)
    assert "reversed" == made.layout.yaxis.autorange


def test_a_part_too_short_to_be_seen_has_no_bar_and_stays_in_the_frame() -> None:
    made = figures.waterfall(parts(100))
    assert ["to the first byte", "to the last token"] == [trace.name for trace in made.data]
    assert [1.0] * 12 == pytest.approx(list(made.data[0].x))
    assert [5.0, 9.5, 10.0] == pytest.approx(list(made.data[1].x[:3]))


@pytest.mark.parametrize(("count", "rows"), [(1, 3), (2, 4), (11, 12)])
def test_a_waterfall_of_few_requests_draws_those_there_are(count: int, rows: int) -> None:
    assert rows == len(figures.waterfall_rows(parts(count), 10))
    assert f"{count} answered requests" == subtitle(figures.waterfall(parts(count)))


def test_a_waterfall_of_none_says_so() -> None:
    assert "No request was answered." == subtitle(figures.waterfall(parts(0)))


def test_the_page_can_draw_every_figure_and_has_a_table_for_it() -> None:
    for made in every_figure():
        spec = json.loads(json.dumps(made._repr_mimebundle_()[PLOTLY_MIME]))
        assert {trace["type"] for trace in spec["data"]} <= TRACE_TYPES
        assert all(table.rows for table in plot(spec, "here").tables)


def test_every_axis_with_numbers_has_a_title() -> None:
    for made in every_figure()[:4]:
        shown = [axis.title.text for axis in made.select_yaxes()]
        assert all(shown), shown


def test_a_notebook_stores_a_figure_as_json_without_html_or_script() -> None:
    shown: Any = DisplayFormatter().format(figures.slowest(requests()))
    assert {PLOTLY_MIME, "text/plain"} == set(shown[0])
    assert "Figure: Slowest requests" == shown[0]["text/plain"]


def points(axis: str = "users", **columns: Any) -> pd.DataFrame:
    """Returns a sweep's frame of four loads."""
    latencies = {
        f"{name}_{level}{end}_s": value * factor
        for name, value in (("ttft", 0.2), ("itl", 0.02), ("e2e", 0.5))
        for level in ("p50", "p95", "p99")
        for end, factor in (("", 1.0), ("_low", 0.5), ("_high", 2.0))
    }
    loads = {
        axis: [1, 2, 4, 8],
        "tokens_per_s": [10.0, 20.0, 30.0, 32.0],
        "achieved_per_s": [1.0, 2.0, 3.0, 3.2],
    }
    return pd.DataFrame(loads | latencies | columns)


ADVICE = Advice(universal_scalability(np.array([1.0, 2, 4, 8]), np.array([10.0, 18, 30, 33])), 4.0)


def test_latency_over_load_has_a_panel_a_latency_with_intervals_and_quantile_limits() -> None:
    limits = {"ttft": [Limit(0.3, "p95 ≤ 300 ms", 0.05)]}
    made = figures.sweep_latency(points(), "users", limits)
    first = made.data[0]
    assert (["p50", "p95", "p99"] * 3) == [trace.name for trace in made.data]
    assert ["p50", "p95", "p99"] == [trace.name for trace in made.data if trace.showlegend]
    assert (0.2, 0.1) == pytest.approx((first.error_y.array[0], first.error_y.arrayminus[0]))
    assert [1, 2, 4, 8] == list(first.x)
    assert "limit p95 ≤ 300 ms" in texts(made)
    assert "Users, each waiting for its answer" == made.layout.xaxis3.title.text


def test_an_interval_with_one_open_end_reaches_to_the_edge_and_one_with_two_is_not_drawn() -> None:
    open_end = [np.nan, 0.4, 0.4, 0.4]
    made = figures.sweep_latency(points(ttft_p50_high_s=open_end), "users", {})
    assert 0.2 * 1.2 - 0.2 == pytest.approx(made.data[0].error_y.array[0], rel=1e-4)
    made = figures.sweep_latency(points(ttft_p50_high_s=open_end, ttft_p50_low_s=open_end), "users", {})
    assert (0, 0) == (made.data[0].error_y.array[0], made.data[0].error_y.arrayminus[0])


def test_a_latency_that_no_load_has_gets_no_panel_and_none_at_all_is_said() -> None:
    none = dict.fromkeys((f"itl_{level}_s" for level in ("p50", "p95", "p99")), np.nan)
    made = figures.sweep_latency(points(**none), "users", {})
    assert ["Time to first token", "Time to last token"] == [axis.title.text for axis in made.select_yaxes()]
    empty = points().assign(**{name: np.nan for name in points() if name.endswith("_s") and "_p" in name})
    assert "No load has enough answers for a percentile." == subtitle(
        figures.sweep_latency(empty, "users", {})
    )


def test_a_percentile_that_is_a_failure_at_one_load_is_a_cross_there() -> None:
    made = figures.sweep_latency(points(ttft_p99_s=[0.2, 0.2, 0.2, np.inf]), "users", {})
    crosses = [trace for trace in made.data if trace.name == "a percentile is a failure"]
    assert [[8]] == [list(trace.x) for trace in crosses]


def test_throughput_over_users_has_the_law_and_the_knee_as_advice() -> None:
    made = figures.sweep_throughput(points(), "users", ADVICE)
    names = [trace.name for trace in made.data]
    assert ["output tokens", "answers", "Universal Scalability Law, fitted"] == names
    assert subtitle(made).startswith("Advice, no verdict: a knee at 4 users (dashed); contention ")
    assert {4} == {shape.x0 for shape in made.layout.shapes}


def test_throughput_over_rates_stands_against_what_was_offered() -> None:
    made = figures.sweep_throughput(points("rate"), "rate", Advice(None, None))
    offered = next(trace for trace in made.data if trace.name == "all that was offered")
    assert ([0, 8], [0, 8]) == (list(offered.x), list(offered.y))
    assert "Advice, no verdict: no knee" == subtitle(made)
    assert "Requests/s offered" == made.layout.xaxis2.title.text


def test_a_sweep_without_answers_says_so() -> None:
    made = figures.sweep_throughput(points(achieved_per_s=np.nan), "users", Advice(None, None))
    assert "Nothing was answered at any load." == subtitle(made)
