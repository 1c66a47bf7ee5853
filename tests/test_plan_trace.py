"""Traces: both formats, each message, and when their requests are due."""

import json
from pathlib import Path
from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.asking import prompts_of
from hxbench.plan.layers import resolve
from hxbench.plan.lengths import fixed
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import Planned, build
from hxbench.plan.synthesis import Part
from hxbench.plan.trace import load_trace

CAKE = {"timestamp": 1500, "input_length": 600, "output_length": 7, "hash_ids": [3, 9]}
TIME = "expected a time from 0 s to 7 days, got"
SHIPPED = ("sample", "mooncake")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("own.jsonl")


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def profile(trace: Path | str, **given: Any) -> Profile:
    overrides = {"target.model": "m", "load.trace": str(trace), "load.warmup": "0 s"} | {
        key.replace("__", "."): value for key, value in given.items()
    }
    return resolve(overrides={key: (value, "x") for key, value in overrides.items()}).profile


def planned(trace: Path | str, **given: Any) -> list[Planned]:
    made = profile(trace, **given)
    return build(made, prompts_of(made), 1)


def refused(trace: Path | str, **given: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        planned(trace, **given)
    return str(caught.value)


def test_a_line_of_ours_is_a_prompt_with_its_time(own):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    write(
        own,
        {"at": "1.5 s", "prompt": "Why?", "max_tokens": 4},
        {"at": 2, "messages": messages},
        {"at": 0.25, "prompt_tokens": 30},
    )
    first, second, third = load_trace("own.jsonl")
    assert [250_000_000, 1_500_000_000, 2_000_000_000] == [each.due_ns for each in (first, second, third)]
    assert ("own-003", fixed(30)) == (first.id, first.tokens)
    assert ("own-001", "own", fixed(4), "Why?") == (
        second.id, second.prompt_class, second.max_tokens, second.messages[0]["content"],
    )  # fmt: skip
    assert tuple(messages) == third.messages


def test_a_line_of_mooncake_is_made_of_blocks_of_512_tokens(own):
    write(own, CAKE, {"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [3]})
    whole, longer = load_trace("own.jsonl")
    assert (Part("block 3", 512),) == whole.parts
    assert (Part("block 3", 512), Part("block 9", 88)) == longer.parts
    assert (1_500_000_000, fixed(7)) == (longer.due_ns, longer.max_tokens)


def test_without_hash_ids_a_prompt_shares_nothing(own):
    write(own, {key: CAKE[key] for key in CAKE if key != "hash_ids"})
    (prompt,) = load_trace("own.jsonl")
    assert (fixed(600), ()) == (prompt.tokens, prompt.parts)


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("is not JSON: Expecting value, column 1", "x"),
        ("expected a key at, or timestamp as in Mooncake's traces", {"prompt": "a"}),
        ('at: expected a duration such as 500 ms, got soon', {"at": "soon", "prompt": "a"}),
        ('at: expected seconds, or text such as "1.5 s", got true', {"at": True, "prompt": "a"}),
        (f"at: {TIME} -1", {"at": -1, "prompt": "a"}),
        (f"at: {TIME} 604800.5", {"at": 604800.5, "prompt": "a"}),
        (f"at: {TIME} Infinity", '{"at": 1e999, "prompt": "a"}\n'),
        ("expected one of prompt, messages, prompt_tokens", {"at": 1}),
        ("max_tokens: expected a whole number, got 1.5", {"at": 1, "prompt": "a", "max_tokens": 1.5}),
        ("timestamp: expected milliseconds, got \"1\"", CAKE | {"timestamp": "1"}),
        (f"timestamp: {TIME} -1", CAKE | {"timestamp": -1}),
        ("input_length: expected a whole number from 1 to 131072, got 0", CAKE | {"input_length": 0}),
        ("output_length: expected a whole number from 1 to 1000000, got 0", CAKE | {"output_length": 0}),
        ("hash_ids: expected 2, one for 512 tokens of the prompt, got 1", CAKE | {"hash_ids": [3]}),
        ("hash_ids: expected a list of whole numbers, got 3", CAKE | {"hash_ids": 3}),
        ("hash_ids: expected a list of whole numbers, got a list", CAKE | {"hash_ids": [3, "9"]}),
        ("'hash_id': unknown key; did you mean hash_ids", CAKE | {"hash_id": [3, 9]}),
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_refused_with_file_and_line(own, expected, line):
    assert f"own.jsonl:1: {expected}" == refused(write(own, line))


def test_an_empty_trace_is_refused(own):
    assert "own.jsonl: holds no requests" == refused(write(own, "\n"))


def test_the_schedule_follows_the_trace_in_the_order_of_its_times(own):
    write(own, {"at": 3, "prompt": "c"}, {"at": 1, "prompt": "a", "max_tokens": 9}, {"at": 2, "prompt": "b"})
    rows = planned(own, workload__output_tokens=5)
    assert [1, 2, 3] == [(row.due_offset_ns or 0) / 1e9 for row in rows]
    assert ["own-002-t1-000001", "own-003-t1-000002", "own-001-t1-000003"] == [row.prompt_id for row in rows]
    assert [9, 5, 5] == [row.max_tokens for row in rows]
    assert {"measure"} == {row.phase for row in rows}


def test_what_is_due_in_the_warm_ups_time_warms_up(own):
    write(own, *({"at": at, "prompt": "a"} for at in (0, 0.999, 1, 2)))
    assert ["warmup", "warmup", "measure", "measure"] == [
        row.phase for row in planned(own, load__warmup="1 s")
    ]


def test_a_trace_shorter_than_its_warm_up_is_refused(own):
    write(own, {"at": 1, "prompt": "a"})
    assert 1 == len(planned(own, load__warmup="1 s"))
    assert (
        "load.trace: own.jsonl: its last request is due at 1 s, within load.warmup, 1.1 s: nothing would be "
        "measured; shorten the warm-up" == refused(own, load__warmup="1.1 s")
    )


def test_a_trace_above_the_limits_is_refused_as_any_load(own):
    write(own, *({"at": at, "prompt": "a", "max_tokens": 10} for at in range(5)))
    assert 5 == len(planned(own, limits__requests=5, limits__tokens=50))
    needs = "unnamed: load: needs 5 or more requests a trial, warm-up included; the limits of the run"
    few, short = "(limits.requests 4, limits.tokens 50)", "(limits.requests 9, limits.tokens 49)"
    assert f"{needs} {few} allow 4" == refused(own, limits__requests=4, limits__tokens=50)
    assert f"{needs} {short} allow 4" == refused(own, limits__requests=9, limits__tokens=49)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_traces_can_be_followed(name):
    rows = planned(name, load__warmup="5 s")
    assert {"warmup", "measure"} >= {row.phase for row in rows}
    assert rows[-1].phase == "measure"


def test_a_trace_that_is_not_there_is_named_with_those_that_are():
    assert (
        "load.trace: data/traces/smaple.jsonl: no such file comes with hxbench; there are: mooncake.jsonl, "
        "sample.jsonl" == refused("smaple")
    )
