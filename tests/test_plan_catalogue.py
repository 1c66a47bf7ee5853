import pytest

from hxbench.errors import ProfileError
from hxbench.plan import catalogue
from hxbench.plan.objectives import METRICS


def test_a_model_has_twelve_cases_numbered_in_order():
    expected = [f"TC-L1-COMP-MIXTRAL-{number:03d}" for number in range(1, 13)]
    assert expected == [entry.id for entry in catalogue.level_1("MIXTRAL")]


def test_the_cases_written_in_the_source_keep_their_ids():
    names = {entry.id: entry.name for entry in catalogue.level_1("MIXTRAL")}
    assert "Initialisation" == names["TC-L1-COMP-MIXTRAL-001"]
    assert "Inference performance" == names["TC-L1-COMP-MIXTRAL-003"]


def test_each_metric_is_evidence_of_exactly_one_case():
    assert sorted(METRICS) == sorted(metric for entry in catalogue.level_1("X") for metric in entry.metrics)


def test_each_single_request_is_evidence_of_exactly_one_case():
    expected = [
        "above_context", "answer:*", "broken_json", "empty_prompt", "health", "health_after", "models",
        "negative_max_tokens", "ready",
    ]  # fmt: skip
    assert expected == sorted(name for entry in catalogue.level_1("X") for name in entry.exchanges)


def test_each_case_names_requirement_criteria_and_evidence():
    for entry in catalogue.level_1("X"):
        assert (1, "COMP", "X") == (entry.level, entry.category, entry.component)
        assert entry.requirements[0] == "R2.1"
        assert entry.pass_criteria
        assert entry.fail_criteria
        assert entry.metrics or entry.exchanges


def test_patterns_choose_cases_once_and_in_order():
    chosen = catalogue.select(["*-012", "TC-L1-COMP-X-00[12]", "*-001"], "X")
    assert ["001", "002", "012"] == [entry.id[-3:] for entry in chosen]


def test_no_pattern_chooses_nothing():
    assert () == catalogue.select([], "X")


@pytest.mark.parametrize("pattern", ["TC-L1-COMP-Y-*", "tc-l1-comp-x-001", "TC-L1-COMP-X-013", ""])
def test_a_pattern_that_matches_nothing_is_refused(pattern):
    with pytest.raises(ProfileError) as caught:
        catalogue.select(["*-001", pattern], "X")
    assert f"checks: {pattern}: matches no case; there are TC-L1-COMP-X-001 to TC-L1-COMP-X-012" == str(
        caught.value
    )
