"""Tables of ready text, and the cards that results show of themselves."""

import pytest
from records_by_hand import records

from hxbench.judge.forecast import Forecast, Need, Outline
from hxbench.judge.verify import Group, Verification
from hxbench.render.cards import ForecastCard, VerificationCard, card
from hxbench.render.run_view import Frames
from hxbench.render.tables import difference_table, stage_table, translation_table

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
