import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from hxbench.errors import ProfileError
from hxbench.plan import yaml_text
from hxbench.plan.layers import resolve
from hxbench.plan.objectives import METRICS, Objective
from hxbench.plan.profile import Load, Profile, json_schema, known_keys, takes_text
from hxbench.shipped import shipped, shipped_names

CALM = {"name": "calm", "rate": "2 req/s", "duration": "10 s"}
BESIDE_TRACE = "has no place beside load.trace, which has its own times; set it"
BESIDE_STAGES = "has no place beside load.stages, which have their own; set it to null"
OPEN = "a load with loop: open; set it to null"
CLOSED = "a load with loop: closed; set it to null"
SHIPPED = shipped_names("parameters", ".yaml")
SECTIONS = {
    "target": {
        "server": "http://127.0.0.1:8000",
        "model": "m",
        "headers_env": {"X-Team": "TEAM"},
        "extra_body": {"top_k": 1},
    },
    "workload": {"prompts": "own.jsonl"},
}
BESIDE = {
    key: f"has no place beside {key}; set it to null" for key in ("workload.prompt_tokens", "load.trace")
}


def profile(**sections: Any) -> Profile:
    return resolve(overrides={key: (value, "x") for key, value in {**SECTIONS, **sections}.items()}).profile


def refused(key: str, value: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        profile(**{key: value})
    return str(caught.value).removeprefix("x: ")


def test_the_defaults_are_those_of_the_design():
    given = profile()
    assert ("closed", 1, 10.0, 60.0, 1) == (
        given.load.loop, given.load.users, given.load.warmup, given.load.measure, given.load.trials,
    )  # fmt: skip
    assert (60.0, 30.0, 10.0, 5000, 1_000_000) == (
        given.limits.total, given.limits.first_token, given.limits.stall,
        given.limits.requests, given.limits.tokens,
    )  # fmt: skip
    assert ((), (), {}, "none", None) == (
        given.objectives,
        given.checks,
        given.declares,
        given.keep.text,
        given.answers,
    )
    assert ("/health", None, 60.0) == (
        given.target.ready.path,
        given.target.ready.word,
        given.target.ready.within,
    )
    assert (0.0, True, 1) == (given.workload.temperature, given.workload.salt, given.workload.seed)


def test_a_profile_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        profile().load.users = 3


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        (Objective("ttft", "p95", "<=", 0.5, "s"), {"ttft": {"p95": "500 ms"}}),
        (Objective("e2e", "mean", "<", 2.0, "s"), {"e2e": {"mean": "< 2000 ms"}}),
        (Objective("itl", "p99_9", "<", 0.1, "s"), {"itl": {"p99_9": {"below": "100 ms"}}}),
        (Objective("error_rate", "share", "<=", 0.01, "share"), {"error_rate": "1 %"}),
        (Objective("goodput", "share", ">=", 0.99, "share"), {"goodput": "99 %"}),
        (
            Objective("throughput_tokens", "rate", ">=", 40.0, "tok/s"),
            {"throughput_tokens": {"at_least": 40}},
        ),
        (Objective("throughput_requests", "rate", ">", 50.0, "req/s"), {"throughput_requests": "> 50 req/s"}),
        (Objective("memory", "peak", "<=", 90_000_000_000, "B"), {"memory": "<= 90 GB"}),
        (Objective("memory", "peak", "<=", 1024, "B"), {"memory": {"at_most": "1 KiB"}}),
        (Objective("cpu", "max", "<=", 8.0, "cores"), {"cpu": {"max": 8}}),
    ],
)
def test_a_limit_may_be_written_in_words_or_signs(expected, written):
    assert (expected,) == profile(objectives=written).objectives


def test_objectives_keep_their_order_and_null_leaves_one_out():
    given = profile(
        objectives={"e2e": {"p50": "1 s", "p90": None, "max": "2 s"}, "memory": None, "error_rate": "2 %"}
    )
    assert [("e2e", "p50"), ("e2e", "max"), ("error_rate", "share")] == [
        (each.metric, each.statistic) for each in given.objectives
    ]
    assert () == profile(objectives=None).objectives


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        ("objectives: expected a mapping of metrics to limits, got a list", []),
        ("objectives.tfft: unknown metric; did you mean ttft", {"tfft": {"p95": "1 s"}}),
        ("objectives.ttft.p97: unknown statistic; did you mean p99", {"ttft": {"p97": "1 s"}}),
        (
            "objectives.ttft: expected a mapping of p50, p90, p95, p99, p99_9, mean, max to limits",
            {"ttft": "1 s"},
        ),
        (
            "objectives.ttft: expected a mapping of p50, p90, p95, p99, p99_9, mean, max to limits",
            {"ttft": {}},
        ),
        ("objectives.ttft.p95: expected a duration such as 500 ms, got 500", {"ttft": {"p95": 500}}),
        ("objectives.ttft.p95: expected a duration such as 500 ms, got soon", {"ttft": {"p95": "< soon"}}),
        ("objectives.ttft.p95: expected a limit such as 500 ms", {"ttft": {"p95": True}}),
        ("objectives.ttft.p95.below: expected a limit such as 500 ms", {"ttft": {"p95": {"below": ["1 s"]}}}),
        ("objectives.ttft.p95: ttft takes a limit with <= or <, got >=", {"ttft": {"p95": ">= 1 s"}}),
        ("objectives.goodput: goodput takes a limit with >= or >, got <", {"goodput": {"below": "1 %"}}),
        (
            "objectives.ttft.p95: expected a limit above 0 and at most 86400 s, got 0 s",
            {"ttft": {"p95": "0 s"}},
        ),
        (
            "objectives.ttft.p95: expected a limit above 0 and at most 86400 s, got -1 s",
            {"ttft": {"p95": "-1 s"}},
        ),
        (
            "objectives.error_rate: expected a limit above 0 and at most 100 %, got 101 %",
            {"error_rate": "101 %"},
        ),
        (
            "objectives.memory: expected one of at_most, below, at_least, above, got under",
            {"memory": {"under": "1 GB"}},
        ),
        (
            "objectives.memory: expected one of at_most, below, at_least, above, got below, at_most",
            {"memory": {"below": "1 GB", "at_most": "1 GB"}},
        ),
    ],
)
def test_a_limit_that_cannot_be_held_against_anything_is_refused(expected, written):
    assert expected == refused("objectives", written)


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        (f"load.users: has no place in {OPEN}", {"loop": "open", "rate": 1, "users": 1}),
        (f"load.rate: has no place in {CLOSED}", {"loop": "closed", "rate": 1}),
        (f"load.arrivals: has no place in {CLOSED}", {"users": 1, "arrivals": "constant"}),
        ("load.users: required by loop: closed", {"users": None}),
        ("load.users: expected a number of 1 or more, got 0", {"users": 0}),
        ("load.users: expected a number of at most 100000, got 100001", {"users": 100_001}),
        ('load.users: expected a whole number, got "50"', {"users": "50"}),
        ("load.users: expected a whole number, got true", {"users": True}),
        ("load.users: expected a whole number, got 1.5", {"users": 1.5}),
        ("load.users: expected a whole number, got a list", {"users": [1]}),
        ("load.rate: expected a number above 0, got 0", {"rate": 0}),
        ("load.rate: expected at most 100000 req/s, got 100001", {"rate": 100_001}),
        ('load.loop: expected \'closed\' or \'open\', got "half"', {"loop": "half"}),
        ("load.warmup: expected a number of 0 or more, got -1 s", {"warmup": "-1 s"}),
        ("load.warmup: expected a duration such as 500 ms, got 5", {"warmup": 5}),
        ("load.warmup: expected a duration, got a mapping", {"warmup": {"a": 1}}),
        ("load.measure: expected at most 604800 s, got 200 h", {"measure": "200 h"}),
        (
            "load.measure: give one of load.measure and load.requests, and null for the other",
            {"measure": "1 s", "requests": 1},
        ),
        (
            "load.measure: give one of load.measure and load.requests, and null for the other",
            {"measure": None},
        ),
        (
            "load.trials: two trials are refused: the t factor makes them worth less than one; "
            "take 1, or 3 and more",
            {"trials": 2},
        ),
        ("load.looks: expected at most load.trials, 1, got 2", {"looks": 2}),
        ("load.looks: expected at most load.trials, 3, got 4", {"trials": 3, "looks": 4}),
        (
            "load.looks: one of 2 looks would be after two trials, which is refused; take 5 trials or more",
            {"trials": 4, "looks": 2},
        ),
        (
            "load.looks: one of 3 looks would be after two trials, which is refused; take 7 trials or more",
            {"trials": 6, "looks": 3},
        ),
        ("load.looks: expected a number of 1 or more, got 0", {"trials": 6, "looks": 0}),
        ("load.looks: expected a whole number, got null", {"trials": 6, "looks": None}),
        ("load.stages: expected a list, got 3", {"stages": 3}),
        ("load.stages: expected a list of 1 or more values, got a list", {"stages": []}),
        ("load.stages.0: expected a mapping, got 1", {"stages": [1]}),
        ("load.stages.0.duration: required, missing", {"stages": [{"name": "a", "rate": 1}]}),
        ("load.stages.0.rat: unknown key; did you mean rate", {"stages": [{**CALM, "rat": 1}]}),
        ("load.stages.0.rate: expected a number above 0, got 0", {"stages": [{**CALM, "rate": 0}]}),
        (
            "load.stages.0.rate: expected a rate or a mapping of from and to",
            {"stages": [{**CALM, "rate": {"from": 1}}]},
        ),
        (
            "load.stages.0.rate.to: expected a number of 0 or more, got -1",
            {"stages": [{**CALM, "rate": {"from": 1, "to": -1}}]},
        ),
        (
            "load.stages: no request would come: every rate is 0",
            {"stages": [{**CALM, "rate": {"from": 0, "to": 0}}]},
        ),
        ("load.stages: two stages are called calm", {"stages": [CALM, CALM]}),
        (f"load.rate: {BESIDE_STAGES}", {"stages": [CALM], "rate": 1}),
        (f"load.measure: {BESIDE_STAGES}", {"stages": [CALM], "measure": "1 s"}),
        (f"load.requests: {BESIDE_STAGES}", {"stages": [CALM], "requests": 9}),
        (f"load.stages: has no place in {CLOSED}", {"loop": "closed", "stages": [CALM]}),
        (f"load.trace: has no place in {CLOSED}", {"loop": "closed", "trace": "sample"}),
        (f"load.users: has no place in {OPEN}", {"users": 2, "trace": "sample"}),
        *(
            (f"load.{key}: {BESIDE_TRACE} to null", {"trace": "sample", key: value})
            for key, value in (
                ("rate", 1), ("stages", [CALM]), ("arrivals", "poisson"), ("burstiness", 2),
                ("measure", "1 s"), ("requests", 9),
            )
        ),
        (f"load.scale: {BESIDE_TRACE} to 1", {"trace": "sample", "scale": 2}),
        ("load.burstiness: has no place without arrivals: gamma", {"rate": 1, "burstiness": 2.0}),
        (f"load.max_in_flight: has no place in {CLOSED}", {"users": 1, "max_in_flight": 1}),
        (f"load.think_time: has no place in {OPEN}", {"rate": 1, "think_time": "1 s"}),
        (f"load.ramp_up: has no place in {OPEN}", {"rate": 1, "ramp_up": "1 s"}),
        (
            "load.ramp_up: is longer than load.warmup: measuring begins with all users there",
            {"ramp_up": "11 s"},
        ),
        (
            "load.stages: 6020 requests are above limits.requests, 5000",
            {"stages": [{**CALM, "duration": "3000 s"}]},
        ),
        ("load.requests: 5001 requests are above limits.requests, 5000", {"requests": 5001}),
        ("load.requests: 6000 requests are above limits.requests, 5000", {"requests": 2000, "trials": 3}),
        ("load.rate: 7000 requests are above limits.requests, 5000", {"rate": 100}),
        ("load.users: 5001 requests are above limits.requests, 5000", {"users": 5001}),
    ],
)  # fmt: skip
def test_a_load_that_cannot_be_run_or_judged_is_refused(expected, written):
    assert expected == refused("load", written)


@pytest.mark.parametrize(
    ("expected", "load", "instrument"),
    [
        ("workers: expected at most as many as load.users, 2, got 3", {"users": 2}, {"workers": 3}),
        (
            "workers: expected 1 with load.max_in_flight, which is counted in one process, got 2",
            {"rate": 1, "max_in_flight": 8},
            {"workers": 2},
        ),
        ("workers: expected a number of 1 or more, got 0", {}, {"workers": 0}),
        ("priority: expected 'normal' or 'realtime', got \"high\"", {}, {"priority": "high"}),
    ],
)
def test_an_instrument_that_cannot_put_on_the_load_is_refused(expected, load, instrument):
    with pytest.raises(ProfileError) as caught:
        profile(load=load, instrument=instrument)
    assert f"x: instrument.{expected}" == str(caught.value)


def test_as_many_workers_as_users_and_one_with_a_cap_are_fine():
    assert 2 == profile(load={"users": 2}, instrument={"workers": 2}).instrument.workers
    assert 1 == profile(load={"rate": 1, "max_in_flight": 8}, instrument={"workers": 1}).instrument.workers


def test_gamma_arrivals_need_their_burstiness():
    with pytest.raises(ProfileError) as caught:
        profile(load={"rate": 1, "arrivals": "gamma"})
    assert "profile: load.burstiness: required by arrivals: gamma" == str(caught.value)
    assert 0.5 == profile(load={"rate": 1, "arrivals": "gamma", "burstiness": 0.5}).load.burstiness


def test_a_rate_is_written_as_it_is_read_steady_or_ramping():
    stages = [CALM, {"name": "up", "rate": {"from": "2 req/s", "to": "9.5 req/s"}, "duration": "5 s"}]
    document = profile(load={"stages": stages}).model_dump(mode="json", by_alias=True)
    assert stages == document["load"]["stages"]
    assert Profile.model_validate(document) == profile(load={"stages": stages})


@pytest.mark.parametrize(
    ("after", "load"),
    [
        ((1,), {}),
        ((3,), {"trials": 3}),
        ((4,), {"trials": 4}),
        ((3, 5), {"trials": 5}),
        ((3, 6), {"trials": 6}),
        ((4, 7), {"trials": 7}),
        ((50, 100), {"trials": 100}),
        ((5,), {"trials": 5, "looks": 1}),
        ((3, 5, 7), {"trials": 7, "looks": 3}),
        ((3, 5, 8, 10), {"trials": 10, "looks": 4}),
    ],
)
def test_looks_lie_at_the_end_of_equal_parts_of_the_trials_and_are_two_from_five_trials_on(after, load):
    made = profile(load=load, objectives={"error_rate": "1 %"})
    assert (after, after) == (made.load.looks_after, made.looks_after)


def test_without_limits_there_is_one_look_at_the_end():
    assert (6,) == profile(load={"trials": 6}).looks_after


@pytest.mark.parametrize("trials", [1, 3, 5])
def test_one_trial_and_three_and_more_are_fine(trials):
    assert trials == profile(load={"trials": trials}).load.trials


@pytest.mark.parametrize(
    ("expected", "key", "value"),
    [
        ("schema: expected 1, got 2", "schema", 2),
        ('name: expected lower-case letters, digits and . _ - (64 at most), got "a b"', "name", "a b"),
        ('name: expected lower-case letters, digits and . _ - (64 at most), got "a\\nb"', "name", "a\nb"),
        ('component: expected upper-case letters and digits, got "a"', "component", "a"),
        ("target: expected a mapping, got \"m\"", "target", "m"),
        ("target.model: expected one line of text, got 3", "target", {"model": 3}),
        ("target.model: expected one line of text, got \"a\\nb\"", "target", {"model": "a\nb"}),
        (
            "target.api_key_env: expected the name of an environment variable, never a key itself, "
            'got "A-B"', "target.api_key_env", "A-B",
        ),
        ("target.headers_env: expected the name of a header", "target.headers_env", {"a b": "X"}),
        ("target.headers_env.Host: is set by hxbench itself", "target.headers_env", {"Host": "X"}),
        ("target.extra_body.seed: is set by workload.seed", "target.extra_body", {"seed": 1}),
        ("target.extra_body.stream: is set by workload.stream", "target.extra_body", {"stream": False}),
        ('target.ready.path: expected a path that begins with /, got "up"', "target.ready.path", "up"),
        ("workload.output_tokens: expected a number of 1 or more, got 0", "workload.output_tokens", 0),
        ("workload.temperature: expected a number of at most 2, got 2.1", "workload.temperature", 2.1),
        ('workload.temperature: expected a number, got "warm"', "workload.temperature", "warm"),
        ("workload.salt: expected true or false, got 1", "workload.salt", 1),
        ("workload.seed: expected a number of at most 2147483647, got 2147483648", "workload.seed", 2**31),
        ("declares.empty_prompt: expected a number of 100 or more, got 4", "declares", {"empty_prompt": 4}),
        ("environment.memory: expected a size such as 1.5 GB, got 16", "environment", {"memory": 16}),
        ("environment.memory: expected a size such as 1.5 GB, got True", "environment", {"memory": True}),
        ("checks: expected a list, got \"TC-*\"", "checks", "TC-*"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_with_what_was_expected(expected, key, value):
    assert expected == refused(key, value)


def test_a_rate_is_missed_where_the_loop_is_open():
    with pytest.raises(ProfileError) as caught:
        profile(load={"loop": "open"})
    assert "profile: load.rate: required by loop: open" == str(caught.value)


def test_the_tokens_of_all_planned_requests_stay_within_their_limit():
    with pytest.raises(ProfileError) as caught:
        profile(workload={"output_tokens": 70}, limits={"tokens": 69})
    assert "profile: load.users: 70 output tokens are above limits.tokens, 69" == str(caught.value)


def test_an_unknown_kind_of_bad_input_is_refused_with_the_known_ones():
    expected = (
        "declares.empty: unknown key; "
        "expected 'empty_prompt', 'broken_json', 'negative_max_tokens' or 'above_context'"
    )
    assert expected == refused("declares", {"empty": 400})


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        ("embedded", "embedded"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("https://host/base/v1", "https://host/base/v1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_server_is_embedded_or_an_address(expected, written):
    assert expected == profile(target={"model": "m", "server": written}).target.server


@pytest.mark.parametrize(
    "written",
    [
        "127.0.0.1:8000",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:99999",
        "http://[::1",
        "http:h",
        "h",
    ],
)
def test_what_is_no_address_is_refused(written):
    expected = (
        f'target.server: expected embedded or an address such as http://127.0.0.1:8000, got "{written}"'
    )
    assert expected == refused("target.server", written)


@pytest.mark.parametrize("written", ["http://h/?a=1", "http://h/#a"])
def test_an_address_has_no_query_and_no_fragment(written):
    expected = "an address holds no user, password, query or fragment; keys go by target.api_key_env"
    assert f"target.server: {expected}" == refused("target.server", written)


def test_an_address_with_a_space_is_refused():
    expected = 'target.server: expected embedded or an address without spaces, got "http://h a"'
    assert expected == refused("target.server", "http://h a")


def test_the_component_is_the_first_word_of_the_name():
    assert "MIXTRAL" == profile(name="mixtral-8x7b").component
    assert "PHI3" == profile(name="phi-3-mini", component="PHI3").component
    assert "UNNAMED" == profile().component


def test_a_section_that_is_no_mapping_reaches_its_validator():
    with pytest.raises(ValidationError, match="valid dictionary"):
        Load.model_validate([])
    with pytest.raises(ValidationError, match="valid dictionary"):
        Profile.model_validate("x")


def test_keys_are_known_section_by_section():
    assert ["path", "word", "within"] == known_keys(("target", "ready"))
    assert ["memory", "cpu"] == known_keys(("environment",))
    assert "schema" in known_keys(())
    assert [] == known_keys(("target", "extra_body"))


@pytest.mark.parametrize(
    ("expected", "key"),
    [
        (True, "target.model"),
        (True, "target.server"),
        (True, "baseline"),
        (False, "load.users"),
        (False, "load.rate"),
        (False, "checks"),
        (False, "target.extra_body.x"),
        (False, "target"),
        (False, "no.such.key"),
    ],
)
def test_text_is_what_a_key_takes_or_not(expected, key):
    assert expected is takes_text(tuple(key.split(".")))


def test_the_shipped_schema_is_the_models():
    stored = shipped("parameters", "profile.schema.json").read_text()
    how = "python -c 'from hxbench.plan.profile import json_schema; print(json_schema(), end=\"\")'"
    assert json_schema() == stored, f"write it again: {how} > parameters/profile.schema.json"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_and_its_document_fit_the_schema(name):
    schema = Draft202012Validator(json.loads(json_schema()))
    schema.check_schema(schema.schema)
    path = shipped("parameters", f"{name}.yaml")
    schema.validate(yaml_text.load(path, name).value)
    schema.validate(resolve(name).document)
    assert "# yaml-language-server: $schema=profile.schema.json" == path.read_text().splitlines()[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"load": {"usres": 1}}, {"load": {"users": "1"}}, {"limits": {"total": 60}}, {"name": "A"},
        {"target": {}}, {"declares": {"empty": 400}}, {"schema": 2}, {"objectives": {"ttft": "1 s"}},
        {"objectives": {"memory": {"below": "1 GB", "at_most": "1 GB"}}}, {"objectives": {"tfft": {}}},
        {"objectives": {"goodput": {"below": 1}}},
    ],
)  # fmt: skip
def test_the_schema_refuses_what_an_editor_can_see(wrong):
    assert not Draft202012Validator(json.loads(json_schema())).is_valid({"target": {"model": "m"}, **wrong})


def test_the_schema_shows_defaults_as_a_profile_writes_them():
    definitions = json.loads(json_schema())["$defs"]
    assert "60 s" == definitions["Limits"]["properties"]["total"]["default"]
    assert sorted(METRICS) == sorted(json.loads(json_schema())["properties"]["objectives"]["properties"])


def limits_of(given: Profile) -> set[tuple[str, str, str, float]]:
    return {(each.metric, each.statistic, each.comparator, each.limit) for each in given.objectives}


def test_mixtral_has_the_numbers_of_its_source():
    given = resolve("mixtral-8x7b").profile
    assert ("http://127.0.0.1:11400", "mixtral", "healthy") == (
        given.target.server, given.target.model, given.target.ready.word,
    )  # fmt: skip
    assert {
        ("e2e", "mean", "<", 2.0), ("throughput_requests", "rate", ">=", 50.0),
        ("error_rate", "share", "<", 0.01), ("memory", "peak", "<=", 90e9), ("cpu", "max", "<=", 8.0),
    } == limits_of(given)  # fmt: skip
    assert (50, 300.0, 500, 0.7) == (
        given.load.users, given.load.measure, given.workload.output_tokens.most, given.workload.temperature,
    )  # fmt: skip
    assert (60.0, 50.0) == (given.not_executed.ramp_up, given.not_executed.target_rate)
    assert (16e9, 4.0, {"empty_prompt": 400}) == (
        given.environment.memory,
        given.environment.cpu,
        given.declares,
    )


def test_hermes_has_the_numbers_of_its_source():
    given = resolve("hermes-2").profile
    assert ("http://127.0.0.1:11401", "hermes") == (given.target.server, given.target.model)
    assert {("error_rate", "share", "<", 0.01)} == limits_of(given)
    assert (30, 300.0, 300, 0.8) == (
        given.load.users, given.load.measure, given.workload.output_tokens.most, given.workload.temperature,
    )  # fmt: skip
    assert (45.0, 75.0) == (given.not_executed.ramp_up, given.not_executed.target_rate)
    assert (8e9, 2.0) == (given.environment.memory, given.environment.cpu)


@pytest.mark.parametrize(
    ("name", "model", "component", "memory", "cpu"),
    [("openchat-3.5", "openchat", "OPENCHAT", 4e9, 2.0), ("phi-3-mini", "phi3", "PHI3", 2e9, 1.0)],
)
def test_where_the_source_is_silent_nothing_is_said(name, model, component, memory, cpu):
    given = resolve(name).profile
    assert (None, model, component) == (given.target.server, given.target.model, given.component)
    assert {("error_rate", "share", "<", 0.01)} == limits_of(given)
    assert (memory, cpu) == (given.environment.memory, given.environment.cpu)
    said = yaml_text.load(shipped("parameters", f"{name}.yaml"), name).value
    assert not {"workload", "load", "limits", "answers", "not_executed"} & said.keys()


def test_the_default_can_decide_an_error_rate_below_one_percent():
    given = resolve("smollm2-135m").profile
    assert ("embedded", "smollm2-135m", "ok", "questions") == (
        given.target.server, given.target.model, given.target.ready.word, given.answers,
    )  # fmt: skip
    assert given.load.requests >= 368  # the upper Clopper-Pearson bound of 0 in 368 is below 1 %
    assert ("error_rate", "share", "<", 0.01) in limits_of(given)
    assert {"empty_prompt", "broken_json", "negative_max_tokens", "above_context"} == set(given.declares)


def test_an_open_loop_needs_its_kind_of_arrivals():
    expected = "load.arrivals: required by loop: open"
    assert expected == refused("load", {"rate": 1, "arrivals": None})


@pytest.mark.parametrize(
    ("expected", "workload", "load"),
    [
        (f"workload.prompts: {BESIDE['workload.prompt_tokens']}", {"prompts": "a", "prompt_tokens": 9}, {}),
        (
            f"workload.classes: {BESIDE['workload.prompt_tokens']}",
            {"classes": {"a": "100 %"}, "prompt_tokens": 9},
            {},
        ),
        (f"workload.prompts: {BESIDE['load.trace']}", {"prompts": "a"}, {"trace": "b"}),
        (f"workload.classes: {BESIDE['load.trace']}", {"classes": {"a": "100 %"}}, {"trace": "b"}),
        (f"workload.prompt_tokens: {BESIDE['load.trace']}", {"prompt_tokens": 9}, {"trace": "b"}),
        (
            "workload.prompt_tokens: expected a number of at most 131072, got 131073",
            {"prompt_tokens": 131073},
            {},
        ),
        ("workload.classes.a: expected a share such as 1 %, got 3", {"classes": {"a": 3}}, {}),
        ("workload.classes.a: expected a number above 0, got 0 %", {"classes": {"a": "0 %"}}, {}),
        ("workload.classes.a: expected at most 100 %, got 101 %", {"classes": {"a": "101 %"}}, {}),
        (
            "workload.classes: expected shares that add up to 100 %, got 99.9 %",
            {"classes": {"a": "60 %", "b": "39.9 %"}},
            {},
        ),
        (
            "workload.classes: expected shares that add up to 100 %, got 0 %",
            {"classes": {}},
            {},
        ),
        (
            "workload.prefix: has no place without workload.prompt_tokens",
            {"prefix": {"tokens": 4, "shared_by": 2}},
            {},
        ),
        (
            "workload.prefix.tokens: expected less than the 9 of the shortest prompt, got 9",
            {"prompt_tokens": 9, "prefix": {"tokens": 9, "shared_by": 2}},
            {},
        ),
        (
            "workload.prefix.shared_by: expected a number of 2 or more, got 1",
            {"prompt_tokens": 9, "prefix": {"tokens": 8, "shared_by": 1}},
            {},
        ),
        ("workload.prefix.tokens: required, missing", {"prompt_tokens": 9, "prefix": {"shared_by": 2}}, {}),
    ],
)
def test_what_is_asked_is_said_once(expected: str, workload: Any, load: Any) -> None:
    with pytest.raises(ProfileError) as caught:
        resolve(
            overrides={
                key: (value, "x")
                for key, value in {
                    "target.model": "m",
                    "workload": workload,
                    "load": load,
                }.items()
            }
        )
    assert expected == str(caught.value).partition(": ")[2]


def test_short_prompts_are_asked_where_nothing_else_is_said() -> None:
    def prompts(**given: Any) -> str | None:
        return Profile.model_validate({"target": {"model": "m"}, **given}).workload.prompts

    assert "short" == prompts() == prompts(workload={"seed": 3}) == prompts(workload={"prompts": None})
    assert "a" == prompts(workload={"prompts": "a"})
    assert prompts(workload={"prompt_tokens": 9}) is None
    assert prompts(load={"trace": "sample"}) is None


def test_all_there_is_to_ask_is_written_as_it_is_read() -> None:
    workload = {
        "prompt_tokens": {"distribution": "uniform", "from": 50, "to": 150},
        "prefix": {"tokens": 32, "shared_by": 4},
    }
    for given in (
        {"workload": workload},
        {"workload": {"classes": {"a": "2.5 %", "b": "97.5 %"}}},
        {"load": {"trace": "b"}},
    ):
        made = Profile.model_validate({"target": {"model": "m"}, **given})
        document = made.model_dump(mode="json", by_alias=True)
        assert made == Profile.model_validate(document)
        Draft202012Validator(json.loads(json_schema())).validate({"target": {"model": "m"}, **given})
