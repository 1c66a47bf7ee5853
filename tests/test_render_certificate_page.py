"""The certificate's page: from any claim to its number, its interval, its method and its file."""

import re
from html import unescape
from itertools import pairwise, repeat
from typing import Any

import pytest
from certificates_by_hand import catalogue, certificate, ledger, verdict, verdicts
from hostile import PAYLOADS, poisoned
from records_by_hand import facts

from hxbench.render import wording
from hxbench.render.certificate_page import page
from hxbench.render.interval_plot import Bar, bar

FACTS = facts("smollm2-135m")


def text(html: str) -> str:
    """Returns what a reader sees, in one line."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def gate(**more: Any) -> dict[str, Any]:
    return verdict("ttft.p95", "PASS", **({"estimate": 0.25, "interval": [0.2, 0.3], "limit": 0.5} | more))


def first_screen(**more: Any) -> str:
    """Returns what a reader of a certificate sees before the full table of limits."""
    shown = text(page(certificate(**more), FACTS))
    return shown[: shown.index("Every number against its limit")]


def test_the_first_screen_says_what_was_certified_and_how_it_ended() -> None:
    top = first_screen()
    for part in (
        "hxbench certificate · level 1",
        "smollm2-135m",
        "✕ FAILED 1 of 10 checks failed: e2e.mean.",
        "Server embedded b11549",
        "Measured on an imaginary one, 2 cores, 8 GB, Linux",
        "When 2026-01-02 03:06:05 UTC",
        "Load closed loop, users 1, 400 requests in 60 s",
        "Profile smollm2-135m, SHA-256 b179c9520000",
        "Checks 7 passed, 1 failed, 1 inconclusive, 1 skipped; score 75 of 100",
        "they prove the workbench, not the model.",
        "Time to last token, mean : the mean is 2.31 s",
    ):
        assert part in top


def test_the_first_screen_names_trials_and_the_rate_is_no_number_of_users() -> None:
    measurement = {"loop": "open", "trials": 5, "measured_s": 300.0, "requests": 1200}
    assert "Load open loop, 1 200 requests in 300 s, 5 trials" in first_screen(measurement=measurement)


def test_the_few_numbers_are_those_that_decided_and_those_nearest_to_their_limit() -> None:
    top = first_screen()
    carrying = top[top.index("The numbers that carry it") : top.index("What failed")]
    shown = (
        "✕ FAIL Time to last token, mean 2.31 s 2.28 to 2.35 s ≤ 2 s",
        "? INCONCLUSIVE Time between tokens, p99 31.2 ms 28.7 to 46.6 ms ≤ 40 ms",
        "✓ PASS Error rate 0 % 0 to 0.918 % ≤ 1 %",
        "✓ PASS Output throughput 91.4 tok/s 88.9 to 93.6 tok/s ≥ 40 tok/s",
        "✓ PASS Time to first token, p95 128 ms 121 to 139 ms ≤ 500 ms",
    )
    assert sorted(carrying.index(part) for part in shown) == [carrying.index(part) for part in shown]
    assert "and 1 more below" in carrying
    assert "Server memory, peak" not in carrying
    few = [each for each in verdicts() if each["metric"] in ("ttft", "itl")]
    assert "more below" not in first_screen(verdicts=few)


def test_the_first_screen_says_how_good_the_instrument_was() -> None:
    tries = [{"ttft_p99_s": 1e-4, "itl_p99_s": 3e-5}, {"ttft_p99_s": 2e-4, "arrival_p99_s": None}]
    calibration = {"before": {"tries": tries}, "beside": [{"ttft_p99_s": 6.1e-5, "itl_p99_s": 2.3e-5}]}
    top = first_screen(calibration=calibration)
    for part in (
        "Its own error beside the load, p99 ttft 61 µs, itl 23 µs",
        "The same before it, worst try ttft 200 µs, itl 30 µs",
        "Threats within their limits 1 of 3",
        "✕ other work on the machine 14 %, limit 10 %: no PASS or FAIL that it touches counts",
        "? Could not be measured prompts answered from a cache",
    ):
        assert part in top
    assert "Its own error not measured" in first_screen()
    assert "Its own error not measured" in first_screen(calibration={"before": {"ttft_p99_s": None}})
    needed = [each | {"required": True} for each in ledger() if each["state"] == "unknown"]
    assert "✕ prompts answered from a cache not measured: no PASS that it touches counts" in first_screen(
        ledger=needed
    )
    assert "worst try ttft 10 µs" in first_screen(
        calibration={"before": {"ttft_p99_s": 1e-5}}
    )  # an older run


def test_every_gate_has_its_number_interval_limit_and_n_in_one_row() -> None:
    shown = text(page(certificate(), FACTS))
    assert "✓ PASS Time to first token, p95 128 ms 121 to 139 ms ≤ 500 ms 400 400" in shown
    assert "✓ PASS Output throughput 91.4 tok/s 88.9 to 93.6 tok/s ≥ 40 tok/s 400" in shown


def test_what_was_not_decided_says_why_and_what_would_decide_it() -> None:
    shown = text(page(certificate(), FACTS))
    part = shown[shown.index("What was not decided") : shown.index("How good the instrument")]
    assert "other work took 14 %. About 1 100 requests would decide it." in part
    assert "Other bad input: above context : the profile declares nothing for it." in part
    assert "TC-L1-COMP-SMOLLM2-008 CPU: the profile sets no limit." in part


def test_when_all_is_decided_the_page_says_so() -> None:
    decided = certificate(verdicts=verdicts()[:3], catalogue=catalogue()[:3])
    assert "Everything asked was decided." in text(page(decided, FACTS))


def test_the_ledger_is_summed_up_and_listed() -> None:
    shown = text(page(certificate(), FACTS))
    assert (
        "Of 3 threats to the measurement, 1 stayed within their limits, 1 did not: a verdict that they could "
        "have turned does not count, 1 could not be measured." in shown
    )
    assert "✕ broken other work on the machine noise 14 % 10 % err either way host minus server" in shown
    assert shown.index("✕ broken other work") < shown.index("✓ ok requests left later")


def test_a_check_leads_to_its_method_case_requirement_and_raw_data() -> None:
    html = page(certificate(), FACTS)
    anchor = re.search(r'<a href="#(check-\d+)">Time to first token, p95</a>', html)
    assert anchor is not None
    part = text(html[html.index(f'<article class="check" id="{anchor[1]}">') :])
    assert "Case TC-L1-COMP-SMOLLM2-003 Requirement R2.1 Raw data records/requests.parquet" in part
    assert '<a href="records/requests.parquet">records/requests.parquet</a>' in html
    assert "Confidence of the deciding bound 97.5 % n 400 Effective n 400" in part


@pytest.mark.parametrize(
    "name", ["javascript:x", "records/../../x.json", "/etc/x.y", "http://a/b.c", "records/a b.c"]
)
def test_raw_data_is_a_link_only_inside_the_folder_of_records(name: str) -> None:
    html = page(certificate(verdicts=[verdict("ttft.p95", "PASS", records=[name])]), FACTS)
    assert f"Raw data {name}" in text(html)
    assert f'href="{name}"' not in html


def test_next_to_a_number_stand_the_errors_that_may_be_in_it() -> None:
    touched = [
        each | {"ledger": ["send_lag", "foreign_cpu"]} for each in verdicts() if each["id"] == "ttft.p95"
    ]
    shown = text(page(certificate(verdicts=touched), FACTS))
    assert (
        "Errors that may be in it ✕ broken other work on the machine, 14 %, would err either way "
        "✓ ok requests left later than they were due, 400 µs, would err either way" in shown
    )
    untouched = [each | {"ledger": []} for each in touched]
    assert "Errors that may be in it" not in text(page(certificate(verdicts=untouched), FACTS))


def test_the_instruments_own_error_is_a_table_of_one_row_a_try() -> None:
    errors = {"ttft_n": 123, "ttft_bias_s": 2e-5, "ttft_p99_s": 1.4e-4, "itl_bias_s": 1e-8, "itl_p99_s": 1e-5}
    tries = [errors | {"name": "150 short streams", "arrival_p99_s": 2e-3, "requests_per_s": 167.0}] * 2
    beside = [errors | {"name": "one slow stream", "arrival_p99_s": None}]
    shown = text(page(certificate(calibration={"before": {"tries": tries}, "beside": beside}), FACTS))
    assert "150 short streams, before the load, try 2 123 20 µs 140 µs 10 ns 10 µs 2 ms" in shown
    assert "one slow stream, beside the load 123 20 µs 140 µs 10 ns 10 µs –" in shown
    assert "167" not in shown


def test_numbers_are_not_parted_from_their_units() -> None:
    assert "6 of 60; 0.1\u00a0% and 1\u00a0200 in 3\u00a0ms at 2\u00a0req/s" == wording.together(
        "6 of 60; 0.1 % and 1 200 in 3 ms at 2 req/s"
    )


def test_what_would_decide_is_said_once() -> None:
    said = "6 of 60 missed; 900 requests in all would decide it if this stays so"
    open_gate = verdict("ttft.p95", "INCONCLUSIVE", reason=said, needed_n=900)
    assert "About 900" not in text(page(certificate(verdicts=[open_gate]), FACTS))


def test_the_catalogue_links_each_case_to_its_evidence_and_lists_what_was_not_run() -> None:
    html = page(certificate(), FACTS)
    part = html[html.index('<section id="cases">') : html.index('<section id="checks">')]
    assert '<a href="#check-3">Time to first token, p95</a>' in part
    assert (
        "✕ FAIL Inference performance TC-L1-COMP-SMOLLM2-003 R2.1 critical ✓ Time to first token, p95 , "
        "? Time between tokens, p99 , ✕ Time to last token, mean" in text(part)
    )
    assert "? NOT RUN CPU TC-L1-COMP-SMOLLM2-008 R2.1 critical the profile sets no limit" in text(part)


def test_evidence_that_is_no_verdict_is_named_without_a_link() -> None:
    entries = [catalogue()[0] | {"evidence": ["elsewhere"]}]
    assert "elsewhere" in page(certificate(catalogue=entries), FACTS)


def test_declarations_measurement_facts_and_pages_are_all_there() -> None:
    shown = text(page(certificate(), FACTS, [("validation", "validation.html")]))
    for part in (
        "Empty prompt status 200, seen 200",
        "Measured 60 s",
        "Memory 8 GB",
        "Kernel 6.1.0",
        "Numpy 2.4.6",
        f"Profile SHA-256 b179c952{'0' * 56}",
        "certificate.json : this certificate for programs",
    ):
        assert part in shown
    assert '<a href="validation.html">validation</a>' in page(
        certificate(), FACTS, [("validation", "validation.html")]
    )


def test_a_certificate_of_nothing_still_makes_a_page() -> None:
    empty = certificate(
        status="INCOMPLETE",
        created=None,
        score=None,
        verdicts=[],
        ledger=[],
        catalogue=[],
        notes=[],
        declarations={},
        counts={},
    )
    shown = text(page(empty, {}))
    for part in (
        "! INCOMPLETE",
        "The profile sets no limits, so no number was judged.",
        "No threat to the measurement was looked at.",
        "No case of the catalogue was asked for.",
        "Checks nothing was checked",
        "When –",
        "Measured on –",
    ):
        assert part in shown


def test_the_same_certificate_gives_the_same_bytes() -> None:
    assert page(certificate(), FACTS) == page(certificate(), FACTS)


@pytest.mark.parametrize("more", [{}, {"verdicts": [], "calibration": {}}], ids=["much", "little"])
def test_every_link_inside_the_page_leads_somewhere(more: dict[str, Any]) -> None:
    html = page(certificate(**more), FACTS)
    named = re.findall(r' id="([^"]+)"', html)
    assert set() == set(re.findall(r'href="#([^"]+)"', html)) - set(named)
    assert len(named) == len(set(named))


def test_headings_descend_without_a_gap() -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", page(certificate(), FACTS))]
    assert 1 == levels[0]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_stays_text_in_whatever_field_it_comes(payload: str) -> None:
    ours = ("comparator", "unit", "direction", "state")
    quoting = poisoned(
        certificate(declarations={payload: {"declared": payload, "seen": None}}), repeat(payload), ours
    )
    html = page(quoting, poisoned(FACTS, repeat(payload)) | {payload: payload}, [(payload, "x.html")])
    assert not re.search(r"<(?:script|img|iframe|math|link|base|form|object|embed|video|svg onload)", html)
    assert not re.search(r"<[^>]* on[a-z]+=", html)
    assert "script-src 'none'" in unescape(html)


def test_the_plot_puts_the_limit_at_one_and_worse_to_the_right() -> None:
    at_limit, better = bar(gate(estimate=0.5, interval=[0.4, 0.6])), bar(gate())
    assert at_limit is not None
    assert better is not None
    assert at_limit.limit_x == at_limit.estimate
    assert better.low is not None
    assert better.high is not None
    assert better.low < better.estimate < better.high < better.limit_x


def test_a_least_value_is_turned_round() -> None:
    made = bar(gate(estimate=80.0, interval=[60.0, 100.0], limit=40.0, comparator=">="))
    assert made is not None
    assert (66.8, 82.0, 107.3) == (
        made.low,
        made.estimate,
        made.high,
    )  # 6 + 228 / 1.5 times 40/100, 40/80, 40/60


def test_what_reaches_beyond_the_plot_has_an_arrow() -> None:
    assert [True, True, True, False] == [
        made is not None and made.beyond
        for made in (
            bar(gate(estimate=5.0, interval=[4.0, 6.0])),
            bar(gate(interval=[0.2, None])),
            bar(gate(estimate=0.0, interval=[0.0, 1.0], limit=4.0, comparator=">=")),
            bar(gate()),
        )
    ]


def test_without_an_interval_only_the_dot_is_drawn_and_without_a_number_nothing() -> None:
    made = bar(gate(interval=[None, None]))
    assert isinstance(made, Bar)
    assert (None, None) == (made.low, made.high)
    assert [None, None, None] == [bar(gate(estimate=None)), bar(gate(limit=None)), bar(gate(limit=0.0))]


def test_an_interval_is_written_with_its_unit_once_and_its_open_end_in_words() -> None:
    assert "200 to 300 ms" == wording.interval(gate())
    assert "800 ms to 1.2 s" == wording.interval(gate(interval=[0.8, 1.2]))
    assert "200 ms or more" == wording.interval(gate(interval=[0.2, None]))
    assert "300 ms or less" == wording.interval(gate(interval=[None, 0.3]))
    assert "12 345 to 12 345" == wording.interval(gate(interval=[12_345, 12_345], unit="count"))


def test_metrics_are_named_in_words() -> None:
    names = [
        wording.gate(verdict(name, "PASS"), {})
        for name in ("itl.p99_9", "e2e.max", "error_rate.share", "other.p50")
    ]
    assert ["Time between tokens, p99.9", "Time to last token, longest", "Error rate", "other, p50"] == names


def test_a_functional_check_is_called_by_its_case() -> None:
    shown = wording.names(certificate())
    assert "Initialisation" == shown["TC-L1-COMP-SMOLLM2-001"]
    assert "Other bad input: above context" == shown["TC-L1-COMP-SMOLLM2-010.above_context"]
    assert "why" == wording.gate(verdict("why", "PASS", metric=None, case="nobody's"), {})


def test_any_value_of_a_document_becomes_text() -> None:
    assert "a 1, b –, c x, y" == wording.plain({"a": 1, "b": None, "c": ["x", "y"]})
    assert "–" == wording.plain([])
