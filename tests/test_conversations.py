"""Conversations: planned whole, asked turn by turn, and broken off where a turn fails; on real servers."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hxbench import workbench
from hxbench.errors import ProfileError
from hxbench.judge.consistency import contradictions
from hxbench.judge.metrics import per_request
from hxbench.plan.layers import Resolved, resolve
from hxbench.plan.schedule import Planned, build
from hxbench.plan.workload import load_prompts, request_messages
from hxbench.servers import reference
from hxbench.servers.pacing import Pace
from hxbench.workbench import Run
from tests import servers
from tests.servers import Behaviour, Request, Server

TALK = {
    "id": "talk",
    "system": "S",
    "turns": [{"user": "U0", "assistant": "A0"}, {"user": "U1", "assistant": "A1"}, {"user": "U2"}],
}
PLAIN = {"id": "plain", "prompt": "P"}


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., str]:
    def write(*lines: Any) -> str:
        path = tmp_path / "own.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        return str(path)

    return write


def resolved(prompts: str, **changed: Any) -> Resolved:
    given = {
        "target.model": "m", "workload.prompts": prompts, "workload.output_tokens": 2, "load.warmup": "0 s",
        "limits.requests": 60, "load.requests": 30,
    }  # fmt: skip
    return resolve(None, overrides={key: (value, "--set") for key, value in (given | changed).items()})


def planned(prompts: str, **changed: Any) -> list[Planned]:
    return build(resolved(prompts, **changed).profile, load_prompts(prompts), 1)


def test_each_turn_holds_the_turns_before_with_the_files_own_answers(own: Callable[..., str]) -> None:
    (talk,) = load_prompts(own(TALK))
    said = [[message["content"] for message in request_messages(talk, "0f", turn)] for turn in range(3)]
    assert [
        ["[0f] S", "U0"],
        ["[0f] S", "U0", "A0", "U1"],
        ["[0f] S", "U0", "A0", "U1", "A1", "U2"],
    ] == said
    roles = [message["role"] for message in request_messages(talk, None, 2)]
    assert ["system", "user", "assistant", "user", "assistant", "user"] == roles


def test_an_answer_to_the_last_turn_may_stand_in_the_file_and_is_never_sent(own: Callable[..., str]) -> None:
    turns = [{"user": "U0", "assistant": "A0"}, {"user": "U1", "assistant": "A1"}]
    (talk,) = load_prompts(own({"turns": turns}))
    assert (2, ["U0", "A0", "U1"]) == (talk.turns, [each["content"] for each in talk.messages])
    assert ["U0"] == [each["content"] for each in request_messages(talk, None)]


def test_a_conversation_of_one_turn_is_a_prompt(own: Callable[..., str]) -> None:
    (talk,) = load_prompts(own({"turns": [{"user": "U"}], "expected": "x"}))
    assert (1, ({"role": "user", "content": "U"},)) == (talk.turns, talk.messages)


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("expected one of prompt, messages, turns, prompt_tokens", {"prompt": "a", "turns": []}),
        ("turns: expected a list", {"turns": "a"}),
        ("turns: is empty", {"turns": []}),
        ("turns.0: expected an object of user and assistant", {"turns": ["a"]}),
        ("turns.0: expected an object of user and assistant", {"turns": [{"assistant": "a"}]}),
        ("turns.0: expected an object of user and assistant", {"turns": [{"user": "a", "tool": "b"}]}),
        ("turns.0.user: expected some text", {"turns": [{"user": " "}]}),
        (
            "turns.0.assistant: required before a further turn, missing",
            {"turns": [{"user": "a"}, {"user": "b"}]},
        ),
        ("turns.1.assistant: expected some text",
         {"turns": [{"user": "a", "assistant": "b"}, {"user": "a", "assistant": 3}]}),
        ("system: expected some text", {"system": "", "turns": [{"user": "a"}]}),
        ("system: has no place without turns", {"system": "a", "prompt": "b"}),
        ("expected: has no place in a conversation of several turns", {**TALK, "expected": "x"}),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused_with_its_line(
    own: Callable[..., str], expected: str, line: dict[str, Any]
) -> None:
    path = own(PLAIN, line)
    with pytest.raises(ProfileError) as caught:
        load_prompts(path)
    assert f"{path}:2: {expected}" == str(caught.value)


def test_the_shipped_conversations_have_two_to_four_turns() -> None:
    found = load_prompts("conversations")
    assert [3, 2, 4, 3, 2, 4] == [prompt.turns for prompt in found]
    # a system text of its own takes the place of a template's, which all would share in a cache
    assert {"system"} == {prompt.messages[0]["role"] for prompt in found}


def test_the_turns_of_a_conversation_stand_together_under_the_id_of_the_first(
    own: Callable[..., str],
) -> None:
    rows = planned(own(TALK, PLAIN))
    assert 30 == len(rows)
    assert {None} == {row.user for row in rows}
    for conversation, turns in groupby(rows, key=lambda row: row.conversation):
        mine = list(turns)
        assert conversation == mine[0].request_id
        assert list(range(len(mine))) == [row.turn for row in mine]
        assert {"talk": 3, "plain": 1}[mine[0].prompt_id] == len(mine) or mine[-1] is rows[-1]
    assert len(rows) == len({row.request_id for row in rows})


def test_turns_count_as_requests_and_tokens_and_the_last_conversation_may_be_cut(
    own: Callable[..., str],
) -> None:
    timed = {"load.requests": None, "load.measure": "9 s"}
    assert [0, 1, 2, 0, 1, 2, 0] == [
        row.turn for row in planned(own(TALK), **timed, **{"limits.requests": 7})
    ]
    assert [0, 1, 2, 0, 1] == [row.turn for row in planned(own(TALK), **timed, **{"limits.tokens": 11})]


@pytest.mark.parametrize(
    "load",
    [{"load.requests": 7, "load.users": 2}, {"load.requests": None, "load.measure": "4 s"}],
    ids=["by number", "by time"],
)
def test_no_conversation_is_split_between_warm_up_and_measure(
    own: Callable[..., str], load: dict[str, Any]
) -> None:
    rows = planned(own(TALK), **load, **{"load.warmup": "1 s", "limits.requests": 32})
    first = {phase: next(mine).turn for phase, mine in groupby(rows, key=lambda row: row.phase)}
    assert {"warmup": 0, "measure": 0} == first
    if load["load.requests"]:
        assert 7 == sum(row.phase == "measure" for row in rows)


@pytest.mark.parametrize(("requests", "users"), [(5, 2), (8, 3)])
def test_fewer_conversations_than_users_are_refused(
    own: Callable[..., str], requests: int, users: int
) -> None:
    given = {"load.requests": None, "load.measure": "9 s", "load.users": users}
    assert 3 * users == len(planned(own(TALK), **given, **{"limits.requests": 3 * users}))
    short = {"limits.requests": 3 * users - 3}
    with pytest.raises(ProfileError, match=r"^unnamed: load: needs \d+ or more requests a trial"):
        planned(own(TALK), **given, **short)


def test_in_an_open_loop_conversations_are_refused(own: Callable[..., str]) -> None:
    path = own(PLAIN, TALK)
    with pytest.raises(ProfileError) as caught:
        planned(path, **{"load.rate": 1, "load.requests": 5})
    assert str(caught.value) == (
        f"unnamed: load.loop: open has no place for conversations, and prompt talk of {path} has several "
        "turns: one can only be asked after the answer to the one before; use loop: closed"
    )


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Run]:
    def measure(url: str, prompts: str, **changed: Any) -> Run:
        given = {"target.server": url, "load.requests": 6, "limits.requests": 12} | changed
        return workbench.run(resolved(prompts, **given), tmp_path / "run")

    return measure


def asked(server: Server) -> list[list[str]]:
    """The messages of each request of the load, in the order they came."""
    return [[message["content"] for message in each.document["messages"]] for each in loaded(server)]


def loaded(server: Server) -> list[Request]:
    return [each for each in server.chats if "x-request-id" in each.headers]


def test_the_same_seed_sends_the_same_bytes_whatever_a_server_answers(
    own: Callable[..., str], tmp_path: Path
) -> None:
    prompts, seen = own(TALK, PLAIN), []
    for number, tokens in enumerate((1, 5)):
        with Server(Behaviour(chat=lambda _, n=tokens: servers.stream(n))) as server:
            made = resolved(prompts, **{"target.server": server.url, "load.requests": 8})
            workbench.run(made, tmp_path / str(number))
            seen.append([each.body for each in loaded(server)])
    assert 8 == len(seen[0])
    assert seen[0] == seen[1]


def test_a_conversation_has_one_salt_and_each_conversation_another(
    own: Callable[..., str], measured: Callable[..., Run]
) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(2))) as server:
        measured(server.url, own(TALK))
        found = asked(server)
    assert ["U0", "U1", "U2"] * 2 == [texts[-1] for texts in found]
    salts = [texts[0] for texts in found]
    assert (1, 1, 2) == (len({*salts[:3]}), len({*salts[3:]}), len({*salts}))


def refusing(turn: str, answer: Callable[[], Iterable[Any]]) -> Callable[[Request], Iterable[Any]]:
    def chat(request: Request) -> Iterator[Any]:
        is_it = request.document["messages"][-1]["content"] == turn
        yield from answer() if is_it else servers.stream(2)

    return chat


@pytest.mark.parametrize(
    "answer",
    [lambda: [servers.plain(503, "{}")], lambda: [servers.RESET]],
    ids=["status", "connection"],
)
def test_a_failed_turn_ends_its_conversation_and_what_is_left_belongs_to_no_n(
    own: Callable[..., str], measured: Callable[..., Run], answer: Callable[[], Iterable[Any]]
) -> None:
    with Server(Behaviour(chat=refusing("U1", answer))) as server:
        run = measured(server.url, own(TALK))
        said = [texts[-1] for texts in asked(server)]
    rows = per_request(run.records)
    assert ["ok", "failed", "cancelled"] * 2 == rows["outcome"].to_list()
    assert [True, True, False] * 2 == rows["attempted"].to_list()
    assert 0.5 == run.summary()["error_rate"]
    assert [] == contradictions(run.records)
    assert "U2" not in said
    assert 2 == said.count("U0")


def test_the_reference_server_takes_conversations_with_users_who_think(
    measured: Callable[..., Run], tmp_path: Path
) -> None:
    server = reference.start(Pace(), tmp_path / "reference.log")
    try:
        run = measured(
            server.url, "conversations",
            **{"load.users": 3, "load.requests": 30, "limits.requests": 40, "target.model": "reference",
               "load.think_time": {"distribution": "exponential", "mean": "100 ms"}},
        )  # fmt: skip
    finally:
        server.stop()
    rows = per_request(run.records)
    assert 30 == int(rows["attempted"].sum()) == int((rows["outcome"] == "ok").sum())
    thought = gaps(rows)
    load, seed = run.records.profile.load, run.records.profile.workload.seed
    meant = [load.thinking_s(seed, request_id) for request_id in thought.index]
    assert all(late >= 0 for late in thought - meant)
    lag = rows["send_lag_s"].dropna()
    assert lag.median() < 0.05  # of the thinking, some 70 ms, there is nothing in it


def gaps(rows: pd.DataFrame) -> pd.Series:
    """Seconds from each answer to the next turn of its conversation, by the earlier request's id."""
    found = {}
    for _, turns in rows.groupby("conversation"):
        in_order = turns.sort_values("turn")
        later = in_order["dispatched_s"].to_numpy()[1:]
        found |= dict(zip(in_order["request_id"], later - in_order["done_s"].to_numpy()[:-1], strict=False))
    return pd.Series(found)


def test_on_the_embedded_server_later_turns_find_their_conversation_in_the_cache(
    measured: Callable[..., Run], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("embedded")  # skips, or fails in CI, where the model cannot be had
    run = measured(
        "embedded", "conversations",
        **{"target.model": "smollm2-135m", "target.embedded.prompt_cache": True, "load.requests": 18,
           "target.embedded.slots": 1, "target.embedded.context": 2048, "limits.requests": 20,
           "target.extra_body": {"ignore_eos": True}},
    )  # fmt: skip
    rows = per_request(run.records).set_index("request_id")
    assert {"ok"} == {*rows["outcome"]}
    later = rows[rows["turn"] > 0]
    assert len(later) > 8
    assert (later["cached_tokens"] > 0.5 * later["prompt_tokens"].astype(float) - 30).all()
    assert (later["cached_tokens"] > 0).all()
    threat = next(each for each in run.certificate["ledger"] if each["id"] == "cached_share")
    assert "ok" == threat["state"]
