"""The export as Prometheus' own parser reads it: OpenTelemetry's names, and histograms counted by hand."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from certificates_by_hand import certificate
from hostile import PAYLOADS
from prometheus_client import parser as classic_parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from records_by_hand import TARGET, changed, exchange, records

from hxbench.errors import EvidenceError
from hxbench.judge import certificate as certificates
from hxbench.judge.measured import Measured
from hxbench.records.run_directory import Records
from hxbench.render import gen_ai, openmetrics

SHARED = {
    "gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "smollm2-135m",
}  # fmt: skip
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"
OPERATION = "gen_ai_client_operation_duration_seconds"


def text(run: Records) -> str:
    return gen_ai.text(Measured(run), certificate())


def families(run: Records) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text(run))}


def histogram(family: Any, **labels: str) -> tuple[dict[str, float], float, float]:
    """The buckets by bound, the count and the sum of the one with these labels."""
    mine = [each for each in family.samples if labels == {k: v for k, v in each.labels.items() if k != "le"}]
    buckets = {each.labels["le"]: each.value for each in mine if each.name.endswith("_bucket")}
    count, total = (
        next(each.value for each in mine if each.name == f"{family.name}_{part}") for part in ("count", "sum")
    )
    return buckets, count, total


@pytest.fixture(scope="module")
def mixed() -> Records:
    """Eight requests, two of which failed with two statuses."""
    run = records(requests=8, warmup=2, tokens=5, ttft_s=0.1, gap_s=0.01, failed={2, 5})
    statuses = [200] * 4 + [503, 200, 200, 429, 200, 200]
    return changed(run, "requests", http_status=statuses)


@pytest.fixture(scope="module")
def found(mixed: Records) -> dict[str, Any]:
    return families(mixed)


def test_there_are_the_five_metrics_of_the_conventions_beside_the_certificates(
    mixed: Records, found: dict[str, Any]
) -> None:
    theirs = {
        OPERATION: "seconds", "gen_ai_client_token_usage": "", FIRST_TOKEN: "seconds",
        "gen_ai_server_request_duration_seconds": "seconds",
        "gen_ai_server_time_per_output_token_seconds": "seconds",
    }  # fmt: skip
    assert theirs == {name: each.unit for name, each in found.items() if name.startswith("gen_ai_")}
    assert {"histogram"} == {each.type for name, each in found.items() if name in theirs}
    ours = openmetrics.text(certificate()).removesuffix("# EOF\n")
    assert text(mixed).startswith(ours)


def test_the_durations_of_failed_requests_stand_apart_by_their_kind(found: dict[str, Any]) -> None:
    for name in (OPERATION, "gen_ai_server_request_duration_seconds"):
        _, good, total = histogram(found[name], **SHARED)
        assert (6, pytest.approx(6 * 0.14)) == (good, total)
        for kind in ("503", "429"):
            buckets, count, total = histogram(found[name], **SHARED, error_type=kind)
            assert (1, pytest.approx(0.14)) == (count, total)
            assert (0, 1) == (buckets["0.08"], buckets["0.16"])


def test_other_metrics_are_of_good_requests_alone(found: dict[str, Any]) -> None:
    for name, total in ((FIRST_TOKEN, 0.6), ("gen_ai_server_time_per_output_token_seconds", 0.06)):
        assert (6, pytest.approx(total)) == histogram(found[name], **SHARED)[1:]
        assert not [each for each in found[name].samples if "error_type" in each.labels]


def test_tokens_are_counted_by_type(found: dict[str, Any]) -> None:
    for kind, total in (("input", 240), ("output", 30)):
        _, count, summed = histogram(found["gen_ai_client_token_usage"], **SHARED, gen_ai_token_type=kind)
        assert (6, total) == (count, summed)


def test_requests_are_counted_by_outcome_those_without_a_duration_too(mixed: Records) -> None:
    family = families(replace(mixed, requests=mixed.requests.iloc[:-1]))["hxbench_requests"]
    counted = {each.labels["outcome"]: each.value for each in family.samples}
    assert {"ok": 5, "failed": 2, "unfinished": 1, "cancelled": 0} == counted


def test_the_warm_up_is_left_out_and_trials_are_added_up() -> None:
    run = records(requests=4, warmup=7, trials=3)
    assert 12 == histogram(families(run)[OPERATION], **SHARED)[1]


@pytest.mark.parametrize("each", gen_ai.HISTOGRAMS, ids=lambda each: each.name)
def test_a_bucket_holds_its_bound_and_nothing_above(each: gen_ai.Histogram) -> None:
    for lower, bound in pairwise((0.0, *each.bounds)):
        values = [lower, bound, math.nextafter(bound, math.inf)]
        lines = [line.rpartition(" ") for line in gen_ai.buckets("x", {}, values, each.bounds)]
        counted = {line[0].partition('le="')[2].removesuffix('"}'): line[2] for line in lines}
        assert "2" == counted[repr(bound)]
        assert "3" == counted["+Inf"]


def test_the_bounds_are_those_that_the_conventions_recommend() -> None:
    bounds = {each.name: each.bounds for each in gen_ai.HISTOGRAMS}
    doubling = tuple(pytest.approx(0.01 * 2**power) for power in range(14))
    assert doubling == bounds[OPERATION] == bounds["gen_ai_server_request_duration_seconds"]
    assert (1, 4, 16, 64, 256) == bounds["gen_ai_client_token_usage"][:5]
    assert (14, 67108864) == (
        len(bounds["gen_ai_client_token_usage"]),
        bounds["gen_ai_client_token_usage"][-1],
    )
    assert (16, 0.001, 10) == (len(bounds[FIRST_TOKEN]), bounds[FIRST_TOKEN][0], bounds[FIRST_TOKEN][-1])
    per_token = bounds["gen_ai_server_time_per_output_token_seconds"]
    assert (13, 0.01, 2.5) == (len(per_token), per_token[0], per_token[-1])


def test_what_nobody_measured_has_no_family() -> None:
    found = families(records(requests=3, warmup=0, failed={0, 1, 2}))
    assert {OPERATION, "gen_ai_server_request_duration_seconds"} == {
        name for name in found if name.startswith("gen_ai_")
    }
    nothing = changed(records(requests=1, warmup=0), "schedule", phase="warmup")
    assert not [name for name in families(nothing) if name.startswith("gen_ai_")]


def test_a_run_that_did_not_come_to_its_end_says_so(mixed: Records) -> None:
    killed = replace(mixed, ending={"state": "killed", "reason": "it was killed"})
    made = gen_ai.text(Measured(killed), certificates.build(killed))
    status = next(each for each in text_string_to_metric_families(made) if each.name == "hxbench_status")
    assert [4] == [each.value for each in status.samples]


def test_a_run_killed_within_its_window_still_has_its_durations(mixed: Records) -> None:
    phases = changed(mixed, "phases", end_ns=[mixed.phases["end_ns"][0], None, None])
    assert 6 == histogram(families(phases)[OPERATION], **SHARED)[1]


@pytest.mark.parametrize(
    ("protocol", "operation", "provider"),
    [
        ("openai-chat", "chat", "openai"),
        ("openai-completions", "text_completion", "openai"),
        ("anthropic-messages", "chat", "anthropic"),
    ],
)
def test_operation_and_provider_are_those_of_the_api(protocol: str, operation: str, provider: str) -> None:
    run = records(requests=1, warmup=0, profile={"target": {**TARGET, "protocol": protocol}})
    labels = gen_ai.attributes(run)
    assert (operation, provider) == (labels["gen_ai_operation_name"], labels["gen_ai_provider_name"])


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("embedded", {}),
        ("http://llm.example:8000", {"server_address": "llm.example", "server_port": "8000"}),
        ("http://llm.example", {"server_address": "llm.example", "server_port": "80"}),
        ("https://llm.example/v2", {"server_address": "llm.example", "server_port": "443"}),
        ("http://[::1]:8000", {"server_address": "::1", "server_port": "8000"}),
    ],
)
def test_the_server_has_its_address_where_it_has_a_lasting_one(server: str, address: dict[str, str]) -> None:
    run = records(requests=1, warmup=0, profile={"target": {**TARGET, "server": server}})
    assert SHARED | address == gen_ai.attributes(run)


def test_the_model_that_answered_stands_beside_the_one_asked_for(mixed: Records) -> None:
    answered = replace(mixed, exchanges=[exchange("stream", body='{"model": "gpt-4-0613"}')])
    assert SHARED | {"gen_ai_response_model": "gpt-4-0613"} == gen_ai.attributes(answered)


def test_a_hostile_model_name_stays_one_label(mixed: Records) -> None:
    name = "".join(PAYLOADS[:-1])  # of the last one only its length is hostile
    target = mixed.profile.target.model_copy(update={"model": name})
    odd = text(replace(mixed, profile=mixed.profile.model_copy(update={"target": target})))
    assert len(text(mixed).split("\n")) == len(odd.split("\n"))
    parsed = list(text_string_to_metric_families(odd))
    models = {each.labels.get("gen_ai_request_model") for family in parsed for each in family.samples}
    assert {None, openmetrics.label(name)} == models
    assert len(parsed) == len(list(classic_parser.text_string_to_metric_families(gen_ai.classic(odd))))


def test_the_time_of_the_runs_end_stands_at_each_sample_when_asked_for(mixed: Records) -> None:
    end_s = int(mixed.clock["realtime_ns"].max()) / 1e9
    stamped = gen_ai.stamped(text(mixed), mixed)
    parsed = text_string_to_metric_families(stamped)
    [time_s] = {float(each.timestamp) for family in parsed for each in family.samples}
    assert 0 <= end_s - time_s < 0.0011


def test_without_a_clock_there_is_no_time_to_give(mixed: Records) -> None:
    with pytest.raises(EvidenceError, match="by-hand: no time is recorded, and without one nothing can be"):
        gen_ai.stamped("x 1\n", replace(mixed, clock=mixed.clock.iloc[:0]))


def test_the_classic_format_has_the_same_samples_and_neither_units_nor_an_end(mixed: Records) -> None:
    made = gen_ai.classic(text(mixed))
    assert not [line for line in made.split("\n") if line.startswith(("# UNIT", "# EOF"))]
    kept = [line for line in text(mixed).split("\n") if not line.startswith("#")]
    assert kept == [line for line in made.split("\n") if not line.startswith("#")]
    names = {family.name for family in classic_parser.text_string_to_metric_families(made)}
    assert set(families(mixed)) == names
