"""What a Run shows of itself, from records and a certificate made by hand."""

import re

import pytest
from certificates_by_hand import certificate, verdict
from hostile import PAYLOADS
from records_by_hand import changed, frame, records

from hxbench.judge.certificate import build as built
from hxbench.judge.metrics import summary
from hxbench.render.completeness import RESULT_MIME
from hxbench.render.frames import Frames
from hxbench.render.run_view import Figures, Result, card_html, card_text, spans
from hxbench.render.status import looks
from hxbench.render.tables import aligned, ledger_table, stage_rows, verdict_table
from hxbench.render.terminal import summary_text

OBJECTIVES = {
    "ttft": {"p95": "500 ms", "mean": "< 2 s"},
    "throughput_tokens": {"at_least": 40},
    "memory": "<= 90 GB",
    "cpu": {"mean": "8 cores"},
}


STAGES = [
    {"name": "calm", "rate": 2, "duration": "30 s"},
    {"name": "up", "rate": {"from": 2, "to": 9}, "duration": "60 s"},
]


def test_stages_are_a_table_in_the_terminal_and_a_frame() -> None:
    given = {"load.stages": STAGES, "load.rate": None, "load.requests": None}
    run = records(requests=10, loop="open", ttft_s=0.25, profile=given)
    run = changed(run, "schedule", stage="calm")
    lines = [re.split(" {2,}", line.strip()) for line in card_text(built(run)).splitlines()]
    head = next(cells for cells in lines if cells[:2] == ["Stage", "Time"])
    found = dict(zip(head, lines[lines.index(head) + 1], strict=True))
    assert ["calm", "10", "2 req/s", "0 %", "250 ms", "–"] == [
        found[name] for name in ("Stage", "Requests", "Asked for", "Errors", "ttft p50", "Time")
    ]
    assert ["calm", "up"] == list(Frames(run).stages()["stage"])
    assert "Stage" not in card_text(built(records(requests=10)))
    assert "Asked for" in summary_text(summary(run))
    assert "Asked for" not in summary_text(summary(records(requests=10)))


@pytest.mark.parametrize(("stages", "lines"), [(0, 0), (1, 2), (20, 21), (21, 22), (300, 22)])
def test_of_many_stages_the_terminal_shows_the_first(stages: int, lines: int) -> None:
    given = {"load.stages": [{**STAGES[0], "name": f"s{n}"} for n in range(stages)] or None}
    staged = given | {"load.rate": None, "load.requests": None, "limits.requests": 10**6}
    run = records(requests=3, loop="open", profile=staged if stages else None)
    table = stage_rows(summary(run)["stages"])
    assert lines == len(table)
    if stages > 20:
        assert f"and {stages - 20} more in run.frames.stages()" == table[-1][0]
        assert len(aligned(table)) == lines


@pytest.mark.parametrize(
    "name",
    [
        "ttft",
        "itl",
        "e2e",
        "throughput",
        "resources",
        "waterfall",
        "slowest",
        "ttft_over_time",
        "itl_over_time",
        "tokens",
        "gates",
        "typical",
        "server",
    ],
)
def test_every_figure_has_a_frame_of_the_same_name(name: str) -> None:
    run = records(requests=30, profile={"objectives": OBJECTIVES})
    assert getattr(Figures(run), {"server": "resources"}.get(name, name))().data
    assert len(getattr(Frames(run), name)())


def test_every_method_that_draws_has_a_frame_of_its_name() -> None:
    drawing = {name for name in vars(Figures) if not name.startswith("_")}
    assert set() == drawing - set(vars(Frames))


def test_requests_drawn_by_lot_are_the_same_each_time_and_others_with_another_seed() -> None:
    run = records(requests=200)
    drawn = Frames(run).typical(5)
    assert 5 == drawn["request_id"].nunique()
    assert drawn["total_ns"].is_monotonic_decreasing
    assert drawn["request_id"].tolist() == Frames(run).typical(5)["request_id"].tolist()
    reseeded = records(requests=200, profile={"workload.seed": 2})
    assert drawn["request_id"].tolist() != Frames(reseeded).typical(5)["request_id"].tolist()
    assert 3 == len(Frames(records(requests=3)).typical(5))


def test_tokens_are_a_row_a_read_in_seconds_since_the_measured_phase_began() -> None:
    run = records(requests=3, warmup=0, ttft_s=0.25, gap_s=0.1, tokens=4)
    shown = Frames(run).tokens()
    assert 12 == len(shown)
    assert [0.25, 0.35, 0.45, 0.55] == pytest.approx(shown["time_s"].tolist()[:4])
    assert [0, 1, 2, 3] == shown["index"].tolist()[:4]


def test_limits_of_a_mean_are_not_drawn_over_percentiles() -> None:
    made = Figures(records(requests=200, profile={"objectives": OBJECTIVES})).ttft_over_time()
    assert ["limit p95 ≤ 500 ms"] == [note.text for note in made.layout.annotations if "limit" in note.text]


def test_the_frame_of_a_latency_holds_the_requests_that_count_and_no_value_for_a_failed_one() -> None:
    shown = Frames(records(requests=5, warmup=2, ttft_s=0.25, failed=(1,))).ttft()
    assert ["request_id", "trial", "outcome", "ttft_s"] == list(shown.columns)
    assert [0.25, None, 0.25, 0.25, 0.25] == [None if value != value else value for value in shown["ttft_s"]]


def test_limits_are_drawn_as_the_profile_states_them() -> None:
    made = Figures(records(requests=30, profile={"objectives": OBJECTIVES})).ttft()
    assert ["limit p95 ≤ 500 ms", "limit mean &lt; 2 s"] == [note.text for note in made.layout.annotations]


def test_phases_are_counted_from_the_start_of_the_measured_one() -> None:
    run = records(requests=10, warmup=4, ttft_s=1.0, gap_s=0.0)
    assert [("warmup", -4.0), ("measure", 0.0), ("drain", 10.0)] == [
        (span.name, pytest.approx(span.start_s, abs=0.02)) for span in spans(run)
    ]


def test_a_run_that_never_came_to_measure_has_no_phases_to_shade() -> None:
    run = records(requests=3)
    empty = changed(run, "phases", phase=["warmup"] * len(run.phases))
    assert [] == spans(empty)


def test_a_remote_server_has_no_resources_to_draw() -> None:
    run = records(requests=3)
    remote = changed(run, "series", source=["host"] * len(run.series), name=["load1"] * len(run.series))
    assert "Not sampled" in Figures(remote).resources().layout.title.subtitle.text
    assert frame("series", {}).empty


def test_the_profile_and_the_facts_are_tables_of_one_row_a_value() -> None:
    shown = Frames(records(requests=3))
    settings = dict(shown.profile().itertuples(index=False))
    facts = dict(shown.facts().itertuples(index=False))
    assert "closed" == settings["load.loop"]
    assert "2" == facts["host.cores"]


def test_what_did_not_pass_stands_first_in_the_verdict_table() -> None:
    table = verdict_table(certificate())
    assert ["✕ FAIL", "? INCONCLUSIVE", "✓ PASS"] == table["Verdict"].tolist()[:3]
    row = table[table["What"] == "Time to first token, p95"].iloc[0]
    assert ["128 ms", "121 to 139 ms", "≤ 500 ms", "400"] == row[
        ["Measured", "Interval", "Limit", "n"]
    ].tolist()


def test_the_tables_show_long_reasons_whole_and_as_text() -> None:
    long = "<b>" + "because " * 40
    html = verdict_table(certificate(verdicts=[verdict("ttft.p95", "PASS", reason=long)]))._repr_html_()
    assert "&lt;b&gt;" + "because " * 39 in html


def test_a_part_of_a_table_is_a_plain_frame() -> None:
    part = verdict_table(certificate()).head(1)
    assert "DataFrame" == type(part).__name__


def test_the_ledger_is_a_table_in_its_own_order() -> None:
    table = ledger_table(certificate())
    assert [("✓ ok", "400 µs"), ("✕ broken", "14 %"), ("? unknown", "–")] == list(
        table[["State", "Measured"]].itertuples(index=False, name=None)
    )


def test_an_empty_certificate_has_empty_tables() -> None:
    empty = certificate(verdicts=[], ledger=[])
    assert (0, 0) == (len(verdict_table(empty)), len(ledger_table(empty)))
    assert "FAILED" in card_text(empty)


def test_the_card_for_a_terminal_names_status_reason_checks_and_run() -> None:
    lines = card_text(certificate()).splitlines()
    assert "✕ FAILED  smollm2-135m, level 1" == lines[0]
    assert "1 of 10 checks failed: e2e.mean." == lines[1]
    assert "✕ FAIL Time to last token, mean 2.31 s 2.28 to 2.35 s ≤ 2 s" == " ".join(lines[2].split())
    assert 1 == len({line.index("Time") for line in lines if "Time" in line})  # in columns
    assert "run 20260102T030405Z-smollm2-135m-a1b2" == lines[-1]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_card_for_a_notebook_escapes_whatever_it_quotes(payload: str) -> None:
    quoting = certificate(
        status=payload,
        status_reason=payload,
        run=payload,
        target=certificate()["target"] | {"model": payload},
        verdicts=[verdict(payload, payload, metric=None, unit=None)],
    )
    html = card_html(quoting).partition("</style>")[2]
    assert "<script" not in html
    assert "<img" not in html
    assert "href=" not in html.replace("href=&", "")


def test_the_result_carries_the_status_in_its_own_type_and_as_a_line() -> None:
    shown = Result(certificate())._repr_mimebundle_()
    assert ("FAILED", 1, "smollm2-135m") == tuple(
        shown[RESULT_MIME][key] for key in ("status", "level", "model")
    )
    assert {"passed": 7, "failed": 1, "inconclusive": 1, "skipped": 1} == shown[RESULT_MIME]["counts"]
    assert shown["text/plain"].startswith("FAILED: 1 of 10 checks failed: e2e.mean.")


def test_an_unknown_word_never_looks_good() -> None:
    assert "unsure" == looks("FINE").style
    assert ["good", "unsure", "bad", "bad"] == [
        looks(word).style for word in ("CERTIFIED", "CONDITIONAL", "FAILED", "INCOMPLETE")
    ]
