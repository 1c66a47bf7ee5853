"""What single requests show at level 1."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from records_by_hand import answer, exchange, records

from hxbench.judge import checks
from hxbench.judge.verdicts import Verdict
from hxbench.plan.catalogue import level_1
from hxbench.records.run_directory import Records

CASES = {entry.id[-3:]: entry for entry in level_1("SMOLLM2")}


def run_with(*exchanges: Mapping[str, Any], **profile: Any) -> Records:
    return replace(records(requests=1, profile=profile), exchanges=exchanges)


def judged(case: str, *exchanges: Mapping[str, Any], **profile: Any) -> Verdict:
    [verdict] = checks.verdicts(run_with(*exchanges, **profile), CASES[case])
    return verdict


READY = {"target.ready": {"path": "/health", "word": "ok"}}


@pytest.mark.parametrize(("case", "name"), [("001", "ready"), ("002", "health"), ("011", "health_after")])
def test_a_probe_wants_status_200_and_the_ready_word(case: str, name: str) -> None:
    good = exchange(name, body={"status": "ok"}, path="/health")
    assert judged(case, good, **READY).verdict == "PASS"
    assert judged(case, good, **READY).reason == "/health gave HTTP 200 with the word ok"
    wordless = judged(case, exchange(name, body="", path="/health"), **READY)
    assert ("FAIL", "/health gave HTTP 200, but without the word ok") == (wordless.verdict, wordless.reason)
    loading = judged(case, exchange(name, 503, path="/health"), **READY)
    assert ("FAIL", "/health gave HTTP 503, not HTTP 200") == (loading.verdict, loading.reason)


def test_without_a_ready_word_status_200_is_enough() -> None:
    assert judged("002", exchange("health", body="", path="/health")).reason == "/health gave HTTP 200"


def test_no_answer_says_what_went_wrong() -> None:
    gone = exchange("health_after", None, error="ConnectError: refused", path="/health")
    assert judged("011", gone).reason == "/health gave no answer (ConnectError: refused), not HTTP 200"


def test_a_request_that_nobody_recorded_is_undecided() -> None:
    verdict = judged("011")
    assert ("INCONCLUSIVE", "no request health_after was recorded; a whole run sends it") == (
        verdict.verdict,
        verdict.reason,
    )


def test_every_trial_has_to_be_good() -> None:
    verdict = judged("001", exchange("ready"), exchange("ready", 500, trial=2), exchange("ready", trial=3))
    assert ("FAIL", 3) == (verdict.verdict, verdict.n)


def models(*names: str, status: int = 200) -> dict[str, Any]:
    return exchange("models", status, {"data": [{"id": name} for name in names]}, path="/v1/models")


REMOTE = {"target.server": "http://127.0.0.1:1"}


def test_the_right_model_is_listed_and_loaded() -> None:
    assert judged("004", models("other", "smollm2-135m"), **REMOTE).verdict == "PASS"
    embedded = judged("004", models("smollm2-135m"))
    assert embedded.reason == (
        "the server lists smollm2-135m, loaded from SmolLM2-135M-Instruct.Q4_1.gguf (b179c952…)"
    )


def test_another_model_fails() -> None:
    verdict = judged("004", models("a", "b"), **REMOTE)
    assert ("FAIL", "the server lists a, b, not smollm2-135m") == (verdict.verdict, verdict.reason)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"data": 3}', '{"data": [{}]}', "[" * 16_000])
def test_a_server_that_lists_nothing_leaves_the_model_undecided(body: str) -> None:
    verdict = judged("004", exchange("models", 404, body, path="/v1/models"), **REMOTE)
    assert ("INCONCLUSIVE", "the server lists no models: /v1/models gave HTTP 404") == (
        verdict.verdict,
        verdict.reason,
    )


@pytest.mark.parametrize(
    ("loaded", "result"),
    [({"name": "phi"}, "FAIL"), ({"name": "smollm2-135m"}, "INCONCLUSIVE"), ({}, "FAIL")],
)
def test_the_embedded_servers_model_is_known_by_its_file(loaded: dict[str, str], result: str) -> None:
    run = replace(run_with(models("smollm2-135m")), facts={"model": loaded})
    assert result == checks.verdicts(run, CASES["004"])[0].verdict


def test_an_empty_prompt_is_refused_and_the_field_named() -> None:
    named = judged("009", exchange("empty_prompt", 400, {"error": "messages: must not be empty"}))
    assert ("PASS", "empty_prompt gave HTTP 400") == (named.verdict, named.reason)
    silent = judged("009", exchange("empty_prompt", 422, {"error": "no"}))
    assert ("FAIL", "empty_prompt gave HTTP 422 that does not name the field") == (
        silent.verdict,
        silent.reason,
    )
    taken = judged("009", exchange("empty_prompt", 200))
    assert ("FAIL", "empty_prompt gave HTTP 200, not a 4xx") == (taken.verdict, taken.reason)


def test_a_declaration_is_what_has_to_be_kept() -> None:
    declared = {"declares": {"empty_prompt": 200}}
    kept = judged("009", exchange("empty_prompt", 200), **declared)
    assert ("PASS", "empty_prompt gave HTTP 200, as declared") == (kept.verdict, kept.reason)
    broken = judged("009", exchange("empty_prompt", 400, "prompt"), **declared)
    assert broken.reason == "empty_prompt gave HTTP 400, not HTTP 200 (declared)"


@pytest.mark.parametrize("status", [399, 500, None])
def test_bad_input_that_is_not_refused_fails(status: int | None) -> None:
    sent = [exchange("broken_json", status, error="reset"), exchange("negative_max_tokens", 400)]
    run = run_with(*sent, exchange("above_context", 499))
    assert ["FAIL", "PASS", "PASS"] == [each.verdict for each in checks.verdicts(run, CASES["010"])]


def test_each_kind_of_bad_input_has_its_own_verdict() -> None:
    found = checks.verdicts(run_with(exchange("broken_json", 400)), CASES["010"])
    assert ["broken_json", "negative_max_tokens", "above_context"] == [
        each.id.split(".")[1] for each in found
    ]
    assert ["PASS", "INCONCLUSIVE", "INCONCLUSIVE"] == [each.verdict for each in found]


def asked(right: int, of: int) -> list[dict[str, Any]]:
    made = [answer(f"q{n}", "It is paris." if n < right else "Rome!") for n in range(of)]
    return [each | {"expected": r"\bParis\b"} for each in made]


@pytest.mark.parametrize(("right", "result"), [(4, "PASS"), (3, "FAIL")])
def test_four_of_five_answers_have_to_be_right(right: int, result: str) -> None:
    verdict = judged("005", *asked(right, 5), answers="questions")
    assert (result, right / 5, 5) == (verdict.verdict, verdict.estimate, verdict.n)
    assert verdict.reason == f"{right} of 5 answers are right, 80 % are needed"


def test_answers_are_held_against_what_the_records_expect() -> None:
    given = [answer("q", text) | {"expected": r"\bParis\b"} for text in ("paris.", "Parish")]
    assert ["PASS", "FAIL"] == [judged("005", each, answers="questions").verdict for each in given]


@pytest.mark.parametrize("kept", [{}, {"expected": None}])
def test_a_question_without_an_expected_answer_decides_nothing(kept: dict[str, None]) -> None:
    verdict = judged("005", answer("q", "Paris") | kept, answers="questions")
    assert verdict.reason == "no question with a checkable answer was asked"
    assert verdict.verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "body", ["", "[" * 16_000, '{"choices": []}', '{"choices": [{"message": {"content": null}}]}']
)
def test_an_answer_that_is_none_is_wrong(body: str) -> None:
    bad = exchange("answer:q", body=body, expected="Paris")
    assert judged("005", bad, answers="questions").verdict == "FAIL"


def test_an_error_that_holds_the_word_is_no_answer() -> None:
    bad = answer("q", "Paris") | {"status": 500, "expected": "Paris"}
    assert judged("005", bad, answers="questions").verdict == "FAIL"


def test_a_profile_without_questions_skips_the_case() -> None:
    verdict = judged("005")
    assert ("SKIPPED", "the profile asks no questions") == (verdict.verdict, verdict.reason)


def test_half_a_surrogate_pair_in_the_name_of_a_model_can_be_stored() -> None:
    reason = judged("004", models("smol\ud800"), **REMOTE).reason
    assert "the server lists smol?, not smollm2-135m" == reason


def test_what_nobody_recorded_rests_on_nothing() -> None:
    verdict = judged("011")
    assert (0, 0.0) == (verdict.n, verdict.n_eff)


def test_a_verdict_is_called_by_its_case_and_its_request_only_where_there_are_several() -> None:
    assert "TC-L1-COMP-SMOLLM2-011" == judged("011").id
    assert "TC-L1-COMP-SMOLLM2-010.broken_json" == checks.verdicts(run_with(), CASES["010"])[0].id
