import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.layers import Resolved, resolve

SMALL = """\
schema: 1
name: small
target: {server: http://127.0.0.1:8000, model: m}
load:
  users: 2
  measure: 30 s
objectives:
  ttft: {p95: 500 ms}
  throughput_tokens: {at_least: 40}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def to_file(text: str, name: str = "x.yaml") -> str:
        Path(name).write_text(text)
        return name

    return to_file


@pytest.fixture
def small(write) -> str:
    return write(SMALL)


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        resolve(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def load_of(resolved: Resolved) -> tuple[Any, ...]:
    load = resolved.profile.load
    return load.loop, load.users, load.rate, load.arrivals, load.measure, load.requests


def test_a_later_layer_wins_and_each_value_says_where_it_comes_from(small, write):
    more = write("load: {users: 3, warmup: 1 s}\nlimits: {total: 9 s}", "load.yaml")
    resolved = resolve(
        small,
        load=more,
        environ={"HXBENCH_LOAD__USERS": "4", "HXBENCH_WORKLOAD__SEED": "5", "PATH": "/bin"},
        overrides={"load.users": (5, "--users")},
    )
    expected = {
        "load.users": "--users", "workload.seed": "HXBENCH_WORKLOAD__SEED", "load.warmup": "load.yaml",
        "limits.total": "load.yaml", "load.measure": "x.yaml", "objectives.throughput_tokens": "x.yaml",
        "limits.stall": "default", "target.extra_body": "default", "component": "default",
    }  # fmt: skip
    assert expected == {key: resolved.origins[key] for key in expected}
    assert (5, 1.0, 9.0, 5) == (
        resolved.profile.load.users, resolved.profile.load.warmup,
        resolved.profile.limits.total, resolved.profile.workload.seed,
    )  # fmt: skip


def test_the_document_is_complete_and_says_the_same_again(small, write):
    resolved = resolve(small)
    again = resolve(write(json.dumps(resolved.document)))
    assert resolved.document == again.document
    assert resolved.sha256 == again.sha256
    assert resolved.profile == again.profile
    assert "<= 0.5 s" == resolved.document["objectives"]["ttft"]["p95"]
    assert ">= 40 tok/s" == resolved.document["objectives"]["throughput_tokens"]
    assert "60 s" == resolved.document["limits"]["total"]


def test_the_hash_depends_on_what_is_said_not_on_how(write):
    first = resolve(write("target: {model: m}\nlimits: {total: 2 s}"))
    same = resolve(write("limits: {total: 2000 ms}\ntarget: {model: m}", "y.yaml"))
    other = resolve(write("limits: {total: 2001 ms}\ntarget: {model: m}", "z.yaml"))
    assert first.sha256 == same.sha256 != other.sha256


def test_without_a_file_flags_alone_make_a_profile():
    resolved = resolve(
        overrides={"target.server": ("http://127.0.0.1:1/", "--url"), "target.model": ("3.5", "--model")}
    )
    assert ("http://127.0.0.1:1", "3.5") == (resolved.profile.target.server, resolved.profile.target.model)
    assert ("closed", 1, None, None, 60.0, None) == load_of(resolved)
    assert "profile: target.model: required, missing" == refused()


@pytest.mark.parametrize(
    ("expected", "overrides"),
    [
        (("open", None, 2.0, "poisson", 30.0, None), {"load.rate": "2"}),
        (("open", None, 2.0, "constant", 30.0, None), {"load.rate": 2, "load.arrivals": "constant"}),
        (("closed", 2, None, None, None, 50), {"load.requests": "50"}),
        (("closed", 2, None, None, 5.0, None), {"load.measure": "5s"}),
        (("closed", 1, None, None, 30.0, None), {"load": {"users": 1}}),
    ],
)
def test_a_later_layer_may_choose_the_alternative(small, expected, overrides):
    assert expected == load_of(
        resolve(small, overrides={key: (value, "--x") for key, value in overrides.items()})
    )


def test_other_trials_take_the_looks_of_earlier_layers_back(write):
    ten = write("target: {model: m}\nload: {trials: 10, looks: 4}\n")
    assert (3, 5, 8, 10) == resolve(ten).profile.load.looks_after
    assert (1,) == resolve(ten, overrides={"load.trials": (1, "--trials")}).profile.load.looks_after
    fewer = resolve(ten, overrides={"load.trials": (6, "--trials")})
    assert ((3, 6), "default") == (fewer.profile.load.looks_after, fewer.origins["load.looks"])
    both = {"load.trials": (6, "--trials"), "load.looks": (1, "--set")}
    assert (6,) == resolve(ten, overrides=both).profile.load.looks_after


def test_users_displace_a_rate_with_its_arrivals(write):
    path = write("target: {model: m}\nload: {loop: open, rate: 2, arrivals: constant, requests: 50}")
    assert ("closed", 3, None, None, None, 50) == load_of(
        resolve(path, overrides={"load.users": ("3", "--users")})
    )


def test_both_alternatives_in_one_layer_are_refused(small):
    both = {"load.rate": ("2", "--rate"), "load.users": ("3", "--users")}
    expected = "--users: load.users: has no place in a load with loop: open; set it to null"
    assert expected == refused(small, overrides=both)


@pytest.mark.parametrize("given", [None, "null"])
def test_null_takes_a_value_back_where_it_may_be_absent(small, given):
    resolved = resolve(
        small, overrides={"target.server": (given, "--url"), "objectives.ttft": (given, "--set")}
    )
    assert resolved.profile.target.server is None
    assert ["throughput_tokens"] == [each.metric for each in resolved.profile.objectives]


def test_null_is_refused_where_a_value_is_needed(small):
    expected = "--model: target.model: expected one line of text, got null"
    assert expected == refused(small, overrides={"target.model": (None, "--model")})


def test_an_empty_mapping_replaces_what_stood_there(small, write):
    base = write(SMALL.replace("model: m", "model: m, extra_body: {top_k: 3}"), "y.yaml")
    assert {"top_k": 3, "x": 1} == resolve(
        base, overrides={"target.extra_body.x": ("1", "--set")}
    ).profile.target.extra_body
    assert {} == resolve(base, overrides={"target.extra_body": ({}, "--set")}).profile.target.extra_body


def test_text_is_read_as_in_a_profile_unless_text_is_what_the_key_takes(small):
    resolved = resolve(
        small,
        environ={
            "HXBENCH_TARGET__MODEL": "yes",
            "HXBENCH_TARGET__EXTRA_BODY": '{"stop": ["a"], "min_p": 0.5}',
            "HXBENCH_OBJECTIVES__THROUGHPUT_TOKENS": ">= 50",
            "HXBENCH_WORKLOAD__SALT": "false",
            "HXBENCH_CHECKS": "[TC-L1-COMP-SMALL-001]",
        },
    )
    assert "yes" == resolved.profile.target.model
    assert {"stop": ["a"], "min_p": 0.5} == resolved.profile.target.extra_body
    assert 50.0 == resolved.profile.objectives[1].limit
    assert resolved.profile.workload.salt is False
    assert ("TC-L1-COMP-SMALL-001",) == resolved.profile.checks


def test_the_names_of_the_sources_are_read_and_our_own_win(small):
    environ = {
        "TEST_SEED": "42", "TEST_TEMPERATURE": "0.5", "TEST_TIMEOUT": "300", "TEST_MODE": "MOCK",
        "HXBENCH_WORKLOAD__SEED": "7", "HXBENCH_MODEL_DIR": "/m", "HXBENCH_OUTPUTS": "/o",
    }  # fmt: skip
    resolved = resolve(small, environ=environ)
    assert (7, 0.5, 300.0) == (
        resolved.profile.workload.seed, resolved.profile.workload.temperature, resolved.profile.limits.total,
    )  # fmt: skip
    assert ["HXBENCH_WORKLOAD__SEED", "TEST_TEMPERATURE", "TEST_TIMEOUT"] == [
        resolved.origins[key] for key in ("workload.seed", "workload.temperature", "limits.total")
    ]
    assert 300.0 == resolve(small, environ={"TEST_TIMEOUT": "5 min"}).profile.limits.total


@pytest.mark.parametrize(
    ("expected", "environ"),
    [
        ("HXBENCH_LOAD__USRES: load.usres: unknown key; did you mean users", {"HXBENCH_LOAD__USRES": "2"}),
        ("HXBENCH_USERS: users: unknown key; did you mean load.users", {"HXBENCH_USERS": "2"}),
        ("HXBENCH_LAOD__USERS: laod: unknown key; did you mean load", {"HXBENCH_LAOD__USERS": "2"}),
        ("HXBENCH_LOAD__RATE: load.rate: expected a number above 0, got -2", {"HXBENCH_LOAD__RATE": "-2"}),
        ("HXBENCH_LOAD__USERS: has no value; write null or leave the key out", {"HXBENCH_LOAD__USERS": ""}),
        ("TEST_SEED: workload.seed: expected a whole number, got \"abc\"", {"TEST_SEED": "abc"}),
        ("TEST_TIMEOUT: limits.total: expected a number above 0, got -1 s", {"TEST_TIMEOUT": "-1"}),
        ("HXBENCH_LOAD: load: expected a mapping, got 3", {"HXBENCH_LOAD": "3"}),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_be_used_is_named(small, expected, environ):
    assert expected == refused(small, environ=environ)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abc", "http://user:pass@h", "https://h/v1?api_key=abc", "hf_abcdefghijklmnop", "Bearer abc",
        "eyJhbGci.x", "ghp_abcdefghijklmnop",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "key", ["target.server", "target.api_key_env", "target.extra_body.x", "load.users", "name"]
)
def test_a_secret_is_refused_and_never_repeated(small, secret, key):
    message = refused(small, overrides={key: (secret, "--set")})
    assert f"--set: {key}: looks like a secret" in message
    assert secret not in message


def test_a_secret_in_a_key_is_not_repeated_either(small):
    message = refused(small, overrides={"target.headers_env": ({"sk-abc": "A"}, "--set")})
    assert message.startswith("--set: target.headers_env: in a key: looks like a secret")
    assert "sk-abc" not in message


def test_a_message_names_file_line_and_key(write):
    assert "x.yaml:5: load.users: expected a number of 1 or more, got -2" == refused(
        write(SMALL.replace("2\n", "-2\n"))
    )
    assert "x.yaml:6: load.measrue: unknown key; did you mean measure" == refused(
        write(SMALL.replace("measure", "measrue"))
    )
    checks = SMALL + "checks:\n- TC-L1-COMP-SMALL-001\n- 3\n"
    assert "x.yaml:12: checks.1: expected one line of text, got 3" == refused(write(checks))


def test_a_message_tells_of_further_mistakes(write):
    wrong = SMALL.replace("2\n", "-2\n").replace("name: small", "name: Small")
    expected = (
        'x.yaml:2: name: expected lower-case letters, digits and . _ - (64 at most), got "Small" (and 1 more)'
    )
    assert expected == refused(write(wrong))


def test_a_pattern_of_checks_that_matches_nothing_is_refused(write):
    expected = (
        "x.yaml:10: checks: TC-L1-COMP-SMOL-*: matches no case; "
        "there are TC-L1-COMP-SMALL-001 to TC-L1-COMP-SMALL-012"
    )
    assert expected == refused(write(SMALL + "checks: [TC-L1-COMP-SMOL-*]\n"))


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        10**19,
        -(10**400),
        1e-5,
        {1, 2},
        b"x",
        {3: 4},
        ["\x00"],
        "\ud800",
        "\uffff",
        {"\x07": 1},
    ],
)
def test_what_a_profile_cannot_hold_is_refused_in_any_layer(small, value):
    assert refused(small, overrides={"target.extra_body": ({"x": value}, "--set")}).startswith(
        "--set: target.extra_body.x"
    )


def test_what_is_nested_too_deep_is_refused(small):
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    message = refused(small, overrides={"target.extra_body": ({"x": deep}, "--set")})
    assert "--set: target.extra_body.x: is nested more than 20 deep" == message


@pytest.mark.parametrize(
    ("expected", "source"),
    [
        ("smollm2: no such file or shipped profile; did you mean smollm2-135m", "smollm2"),
        ("none.yaml: cannot be read: No such file or directory", "none.yaml"),
        ("folder/none: cannot be read: No such file or directory", "folder/none"),
        ("/: is a folder, expected a YAML file", "/"),
        (f"{'x' * 200}: no such file or shipped profile; expected one of ", "x" * 5000),
    ],
)
def test_a_source_that_is_no_profile_is_refused(write, expected, source):
    assert expected in refused(source)


def test_a_bare_name_is_a_shipped_profile_unless_a_file_has_it(small):
    assert "parameters/smollm2-135m.yaml" == resolve("smollm2-135m").origins["name"]
    shutil.copy(small, "smollm2-135m")
    assert "small" == resolve("smollm2-135m").profile.name


def test_missing_keys_are_missed_in_the_profile_not_in_what_lies_over_it(write):
    base, more = write("name: a"), write("load: {users: 3}", "y.yaml")
    assert "x.yaml: target.model: required, missing" == refused(base, load=more)


@pytest.mark.parametrize(
    ("name", "users", "a_second", "measure"),
    [("baseline", 100, 10, 300.0), ("stress", 1000, 50, 600.0), ("spike", 5000, 100, 60.0)],
)
def test_the_shipped_loads_are_those_of_the_requirement(name, users, a_second, measure):
    load = resolve("smollm2-135m", load=name).profile.load
    assert ("closed", users, a_second, measure) == (
        load.loop, load.users, load.users / load.ramp_up, load.measure,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "first", "last", "seconds"), [("step", 1, 16, 300.0), ("soak", 1, 1, 8 * 3600.0)]
)
def test_the_shipped_loads_in_stages(name, first, last, seconds):
    load = resolve("smollm2-135m", load=name).profile.load
    assert ("open", first, last, seconds) == (
        load.loop, load.slopes[0][1].begin, load.slopes[-1][1].end, load.measured_s,
    )  # fmt: skip


def test_a_load_that_is_not_shipped_is_refused_with_those_that_are():
    with pytest.raises(ProfileError) as caught:
        resolve("smollm2-135m", load="stres")
    assert "--load: stres: no such file or shipped load; did you mean stress" == str(caught.value)


def test_a_scaled_load_is_held_against_the_limits_as_it_will_be():
    overrides = {"load.users": (100, "--users"), "load.scale": (60.0, "--scale")}
    overrides |= {"limits.requests": (5000, "--set"), "load.measure": ("60 s", "--duration")}
    with pytest.raises(ProfileError) as caught:
        resolve("smollm2-135m", overrides=overrides)
    assert "--users: load.users: 6000 requests are above limits.requests, 5000" == str(caught.value)


TEXTS = ("prompts", "classes", "prompt_tokens", "prefix")


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ({"prompt_tokens"}, {"workload.prompt_tokens": 9}),
        ({"prompt_tokens"}, {"workload.prompt_tokens": {"distribution": "uniform", "from": 5, "to": 9}}),
        (
            {"prompt_tokens", "prefix"},
            {"workload.prompt_tokens": 9, "workload.prefix": {"tokens": 4, "shared_by": 2}},
        ),
        ({"prompts", "classes"}, {"workload.prompts": "mixed"}),
        (set(), {"load.trace": "sample"}),
    ],
)
def test_a_later_layer_that_says_what_is_asked_takes_back_what_said_it_before(write, expected, given):
    before = write(
        "target: {model: m}\nload: {requests: 9}\n"
        "workload: {prompts: short, classes: {short: 100 %}, output_tokens: 4}\n"
    )
    resolved = resolve(before, overrides={key: (value, "--set") for key, value in given.items()})
    assert expected == {key for key in TEXTS if getattr(resolved.profile.workload, key) is not None}
    assert ("trace" in str(given)) == (resolved.profile.load.requests is None)


def test_a_set_of_prompts_takes_back_lengths_and_a_rate_takes_back_a_trace(write):
    made_up = write("target: {model: m}\nworkload: {prompt_tokens: 9, prefix: {tokens: 4, shared_by: 2}}\n")
    workload = resolve(made_up, overrides={"workload.prompts": ("short", "--prompts")}).profile.workload
    assert ("short", None, None) == (workload.prompts, workload.prompt_tokens, workload.prefix)
    traced = write("target: {model: m}\nload: {trace: sample}\n", "trace.yaml")
    for key, value in (("load.rate", 2), ("load.users", 2)):
        resolved = resolve(traced, overrides={key: (value, "--set")})
        assert (None, "short") == (resolved.profile.load.trace, resolved.profile.workload.prompts)
