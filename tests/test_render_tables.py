"""Tables of ready text, and the cards that results show of themselves."""

import json

import pytest
from certificates_by_hand import certificate, verdict
from hostile import PAYLOADS
from records_by_hand import records

from hxbench.errors import InputError
from hxbench.judge.certificate import build as built
from hxbench.judge.forecast import Forecast, Need, Outline
from hxbench.judge.verify import Group, Verification
from hxbench.render.cards import Certificate, ForecastCard, VerificationCard, card
from hxbench.render.frames import Frames
from hxbench.render.run_view import Figures
from hxbench.render.tables import (
    Table,
    calibration_table,
    claim_table,
    difference_table,
    ledger_table,
    matrix_table,
    stage_table,
    translation_table,
    verdict_table,
)

OUTLINE = Outline(60, False, 6, 1, 960, None, None, ())


def test_other_tools_figures_stand_in_a_column_each_and_equal_ones_are_not_repeated() -> None:
    shown = translation_table(Frames(records(requests=30, ttft_s=0.25)).translated())
    assert ["Figure", "hxbench", "vLLM", "GuideLLM", "AIPerf", "MLPerf"] == list(shown.columns)
    assert ["ttft mean", "250 ms", "="] == shown.iloc[0, :3].tolist()
    assert 19 == len(shown)
    itl = shown.set_index("Figure").loc["itl p50"]
    assert "–" == itl["MLPerf"]


def test_a_run_without_an_answer_is_the_time_limit_to_us_and_nothing_to_others() -> None:
    shown = translation_table(Frames(records(requests=2, failed=(0, 1))).translated())
    assert ["60 s", "–", "–", "–", "–"] == shown.set_index("Figure").loc["ttft mean"].tolist()


def test_a_reason_is_said_once_for_all_tools_that_share_it() -> None:
    shown = difference_table(Frames(records(requests=30)).translated())
    assert shown["What is different"].is_unique
    counted = shown[shown["Figures"] == "requests"]
    assert ["vLLM, GuideLLM, AIPerf, MLPerf"] == counted["Tools"].tolist()


def test_a_claim_is_shown_with_all_it_rests_on() -> None:
    shown = claim_table(certificate(), "ttft.p95")
    found = dict(shown.itertuples(index=False, name=None))
    assert "ttft.p95" == shown.columns[1]
    assert ["Time to first token, p95", "✓ PASS", "128 ms", "≤ 500 ms", "121 to 139 ms", "400"] == [
        found[key] for key in ("What", "Verdict", "Measured", "Limit", "Interval", "n")
    ]
    assert found["Raw records"].startswith("records/")


def test_threats_that_are_not_ok_stand_on_the_claims_they_touch() -> None:
    touched = verdict("ttft.p95", "PASS", ledger=[each["id"] for each in certificate()["ledger"]])
    shown = claim_table(certificate(verdicts=[touched]), "ttft.p95")
    states = {each["id"]: each["state"] for each in certificate()["ledger"]}
    wrong = ", ".join(name for name, state in states.items() if state != "ok")
    assert wrong == dict(shown.itertuples(index=False, name=None))["Threats to it that are not ok"]


def test_a_claim_that_nobody_made_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no check is called speed; there are: e2e\.mean"):
        claim_table(certificate(verdicts=[verdict("e2e.mean", "PASS")]), "speed")


def test_a_calibration_is_a_row_an_experiment_and_none_is_no_table() -> None:
    shown = calibration_table(built(records(requests=3)))
    assert shown is not None
    assert ["before the load"] * 3 + ["beside the load"] == shown["When"].tolist()
    assert ("short streams", "200", "10 µs") == tuple(shown.loc[0, ["Experiment", "Streams", "ttft, mean"]])
    assert calibration_table(built(records(requests=3)) | {"calibration": {}}) is None


def test_the_matrix_has_every_case_with_its_requirement_and_verdict() -> None:
    judged = certificate()
    shown = matrix_table(judged)
    assert [each["id"] for each in judged["catalogue"]] == shown["Case"].tolist()
    assert {"Case", "Requirement", "Name", "Verdict", "Remark", "Evidence"} == set(shown.columns)


def test_a_load_without_stages_has_no_table_of_them() -> None:
    assert stage_table(Frames(records(requests=3)).stages()) is None


def test_a_load_with_stages_has_a_row_each() -> None:
    stages = [
        {"name": "calm", "rate": 2, "duration": "30 s"},
        {"name": "busy", "rate": 9, "duration": "30 s"},
    ]
    given = {"load.stages": stages, "load.rate": None, "load.requests": None}
    shown = stage_table(Frames(records(requests=10, loop="open", profile=given)).stages())
    assert shown is not None
    assert ["calm", "busy"] == shown["Stage"].tolist()
    assert ["2 req/s", "9 req/s"] == shown["Asked for"].tolist()


def test_a_plan_shows_its_table_and_its_remarks_in_a_notebook_and_at_a_prompt() -> None:
    found = Forecast(OUTLINE, (Need("ttft.p95", 72, 230, None),), 1.0, ("objectives.x: <b>",))
    shown = card(ForecastCard, found)
    html = shown._repr_html_()
    assert "planned 60 requests, up to 6 more to warm up; 960 output tokens" in repr(shown)
    assert "ttft.p95                             72          230            –" in repr(shown)
    assert "<td>72</td>" in html
    assert "<p>cannot be decided: objectives.x: &lt;b&gt;</p>" in html
    assert found.as_dict() == shown.as_dict()


@pytest.mark.parametrize(
    ("faults", "says"), [((), "VERIFIED: run"), (("x: holds <i>",), "NOT VERIFIED: run")]
)
def test_a_verification_shows_each_group_and_fault_as_text(faults: tuple[str, ...], says: str) -> None:
    found = Verification("run", "CERTIFIED", (Group("files", "3 files", faults),), ("it was <renamed>",))
    shown = card(VerificationCard, found)
    html = shown._repr_html_().replace("\u00a0", " ")
    assert says in repr(shown)
    assert f"<p>{says}" in html
    assert "note: it was &lt;renamed&gt;" in html
    assert ("x: holds &lt;i&gt;" in html) == bool(faults)


def test_verdicts_and_states_stand_in_colour_beside_their_symbol() -> None:
    html = verdict_table(certificate())._repr_html_() + ledger_table(certificate())._repr_html_()
    for style, text in (
        ("bad", "✕\u00a0FAIL"),
        ("good", "✓\u00a0PASS"),
        ("good", "✓\u00a0ok"),
        ("bad", "✕\u00a0broken"),
    ):
        assert f'<td class="hx-{style}">{text}</td>' in html
    assert ".hx-good{color:" in html


def test_a_table_at_a_prompt_is_whole_and_aligned() -> None:
    table = Table([["✓ PASS", "x" * 200], ["? INCONCLUSIVE", "y"]], columns=["Verdict", "Why"])
    assert f"  Verdict         Why\n  ✓ PASS          {'x' * 200}\n  ? INCONCLUSIVE  y" == repr(table)
    assert "  Verdict  Why" == repr(Table([], columns=["Verdict", "Why"]))


def test_a_certificate_is_the_document_and_shows_its_card_and_keys() -> None:
    held = Certificate(certificate())
    assert certificate() == held
    assert json.loads(json.dumps(held)) == held
    assert "✕ FAILED" in repr(held)
    assert f"keys: {', '.join(certificate())}" == repr(held).splitlines()[-1]
    assert "<code>verdicts</code>" in held._repr_html_()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_key_of_a_certificate_is_shown_as_text(payload: str) -> None:
    held, usual = Certificate(certificate() | {payload: 1}), Certificate(certificate() | {"x": 1})
    assert usual._repr_html_().count("<") == held._repr_html_().count("<")


@pytest.mark.parametrize("kind", [Figures, Frames])
def test_figures_and_frames_show_what_they_offer(kind: type) -> None:
    offered = kind(records(requests=3))
    name = kind.__name__.lower()
    assert repr(offered).startswith(f"{name} of ")
    assert ": ttft, " in repr(offered)
    assert "_limits" not in repr(offered)
    assert f"run.{name}.ttft()" in offered._repr_html_()
    assert "<td>request_id, trial, outcome, ttft_s" in offered._repr_html_() or kind is Figures
