"""Whatever is written as a profile, the answer is a profile or one line that says what is wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hxbench.errors import ProfileError
from hxbench.plan import yaml_text
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.profile import Profile
from hxbench.plan.workload import load_prompts
from hxbench.shipped import shipped

GOOD = shipped("parameters", "smollm2-135m.yaml").read_text()
TREE = yaml_text.loads(GOOD, "good").value
KEYS = [
    "target",
    "server",
    "load",
    "users",
    "rate",
    "loop",
    "measure",
    "objectives",
    "ttft",
    "p95",
    "memory",
    "checks",
]
SCALARS = [
    "1",
    "-1",
    "0",
    "1 s",
    "5 GB",
    "1 %",
    "yes",
    "1e3",
    "~",
    "null",
    "true",
    "&a x",
    "*a",
    "!!int 3",
    "<<",
    "2024-01-01",
]

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(max_size=12) | st.sampled_from(SCALARS) | st.binary(max_size=3)
)  # fmt: skip
keys = st.sampled_from(KEYS) | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
lines = st.lists(
    st.tuples(
        st.sampled_from(["", "  ", "    ", "- ", "\t"]),
        st.sampled_from(KEYS) | st.text(max_size=5),
        st.sampled_from([": ", ":", " ", ": {", ": [", ": |"]),
        st.sampled_from(SCALARS) | st.text(max_size=8),
    ).map("".join),
    max_size=8,
).map("\n".join)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.yaml"


def answer(*arguments: Any, **options: Any) -> Resolved | str:
    try:
        return resolve(*arguments, **options)
    except ProfileError as error:
        message = str(error)
    assert message
    assert message.isprintable()
    return message


def check(found: Resolved | str) -> None:
    if isinstance(found, Resolved):
        assert found.profile == Profile.model_validate(found.document)
        assert (
            found.document == yaml_text.loads(json.dumps(found.document, ensure_ascii=False), "again").value
        )
        assert found.origins
    else:
        assert len(found) < 2000


@settings(max_examples=150, deadline=None)
@given(lines | st.text(max_size=80))
@example('"\\UFFFFFFFF": 1')
@example("? " + "x" * 2000 + "\n: 1")
def test_any_text_gives_a_profile_or_one_line(path, text):
    path.write_text(text, errors="surrogatepass")
    check(answer(path))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_profile_or_one_line(path, data):
    path.write_bytes(data)
    check(answer(path))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 30), st.sampled_from(SCALARS) | st.text(max_size=6))
def test_any_edit_of_a_good_profile_gives_a_profile_or_one_line(path, start, length, text):
    path.write_text(GOOD[:start] + text + GOOD[start + length :], errors="surrogatepass")
    check(answer(path))


def places(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = (
        [place for key in tree for place in places(tree[key], (*path, key))] if isinstance(tree, dict) else []
    )
    return [path, *inner]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(TREE)[1:]), values)
def test_any_value_at_any_key_gives_a_profile_or_one_line(place, value):
    check(answer("smollm2-135m", overrides={".".join(place): (copy.deepcopy(value), "--set")}))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=20), st.text(max_size=12) | st.sampled_from(SCALARS))
def test_any_variable_gives_a_profile_or_one_line(name, value):
    check(answer("smollm2-135m", environ={f"HXBENCH_{name}": value}))
    check(answer("smollm2-135m", environ={"TEST_TIMEOUT": value, "HXBENCH_LOAD__WARMUP": value}))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30))
def test_any_name_is_a_profile_or_one_line(name):
    check(answer(name))


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "prompt", "messages", "max_tokens", "expected"]), values))
)
def test_any_prompts_are_prompts_or_one_line(path, objects):
    own = path.with_suffix(".jsonl")
    own.write_text("\n".join(map(str, objects)).replace("'", '"'), errors="surrogatepass")
    try:
        found = [prompt.id for prompt in load_prompts(own)]
    except ProfileError as error:
        found = [str(error)]
    assert found
    assert "\n" not in found[0]
