"""Figures: what is drawn from a frame, and what the reader is told beside it."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from hxbench.render import figures
from hxbench.render.figure import Figure, Limit, Span, draw_levels, nothing, panels
from hxbench.render.plot_data import PLOTLY_MIME, TRACE_TYPES, plot

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


def subtitle(figure: Figure) -> str:
    return str(figure.layout.title.subtitle.text)


def texts(figure: Figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def every_figure() -> list[Figure]:
    limits = [Limit(0.5, "p95 ≤ 500 ms", 0.05)]
    return [
        figures.distribution(latencies(0.1, 0.2, None), "ttft_s", title="Time", limits=limits),
        figures.throughput(over_time(), spans=SPANS, token_limits=[Limit(40, "≥ 40 tok/s")]),
        figures.resources(samples(), spans=SPANS, cpu_limits=[Limit(1, "≤ 1 core")]),
        figures.slowest(requests()),
        figures.waterfall(parts(30)),
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
    made = figures.resources(samples())
    assert ["load generator", "load generator", "machine", "machine", "server", "server"] == [
        trace.name for trace in made.data
    ]
    assert "x2" == made.layout.xaxis.matches


def test_a_server_elsewhere_has_no_resources() -> None:
    made = figures.resources(samples(0))
    assert "Not sampled: the server runs on another machine." == subtitle(made)


def test_a_limit_far_above_all_that_was_seen_is_named_and_does_not_flatten_the_line() -> None:
    made = figures.resources(samples(), memory_limits=[Limit(90e9, "≤ 90 GB")])
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
    for made in every_figure()[:3]:
        shown = [axis.title.text for axis in made.select_yaxes()]
        assert all(shown), shown


def test_a_notebook_stores_a_figure_as_json_without_html_or_script() -> None:
    shown: Any = DisplayFormatter().format(figures.slowest(requests()))
    assert {PLOTLY_MIME, "text/plain"} == set(shown[0])
    assert "Figure: Slowest requests" == shown[0]["text/plain"]
