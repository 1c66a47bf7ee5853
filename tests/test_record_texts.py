"""Texts of a stated length: counted by the server's tokenizer, written before the load, said as written."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest

import hxbench as hx
from hxbench.errors import InputError, ProfileError, TargetError
from hxbench.plan.asking import prompts_of
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.record import texts, tokenizer
from hxbench.record.preflight import Client
from hxbench.servers.model import model_file
from hxbench.workbench import Run
from tests.servers import Behaviour, Request, Server, plain

SPREAD = {"distribution": "uniform", "from": 20, "to": 60}


def resolved(**given: Any) -> Any:
    overrides = {
        "target.model": "m", "load.requests": 8, "load.warmup": "0 s", "workload.output_tokens": 1,
    } | {key.replace("__", "."): value for key, value in given.items()}  # fmt: skip
    return resolve(
        overrides={key: (value, "a test") for key, value in overrides.items() if value is not None}
    )


def written(folder: Path, **given: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The facts and the lines of the file that the texts of a profile come to, by words."""
    (folder / "journal").mkdir(parents=True)
    (folder / "records").mkdir()
    profile = resolved(**given).profile
    prompts = prompts_of(profile)
    plans = [build(profile, prompts, trial + 1) for trial in range(profile.load.trials)]
    facts = texts.write(folder, profile, texts.planned(profile, prompts, plans), None)
    return facts, [json.loads(line) for line in (folder / texts.FILE).read_text().splitlines()]


def counted(of_text: Callable[[Any], Any]) -> Behaviour:
    """A server that counts a word as two tokens, of what `of_text` finds in the request."""

    def answer(request: Request) -> Any:
        text = of_text(request.document)
        return [plain(200, json.dumps({"tokens": [7] * 2 * len(text.split())}) if text else '{"tokens": []}')]

    return Behaviour(tokenize=answer)


def counter(server: Server) -> Any:
    profile: Profile = resolved(target__server=server.url).profile
    with closing(Client(server.url, profile)) as client:
        count = tokenizer.counter(client, "m")
        found = None if count is None else count("one two three")
        assert [] == client.exchanges
        return found


@pytest.mark.parametrize(
    ("expected", "behaviour"),
    [
        (6, counted(lambda asked: asked.get("content", ""))),
        (6, counted(lambda asked: asked["prompt"] if asked.get("model") == "m" else "")),
        (None, Behaviour()),
        (None, Behaviour(tokenize=lambda _: [plain(200, "[1, 2]")])),
        (None, Behaviour(tokenize=lambda _: [plain(200, '{"tokens": 3}')])),
        (None, Behaviour(tokenize=lambda _: [plain(200, "no JSON")])),
    ],
    ids=["llama.cpp", "vllm", "none", "a list", "a number", "no json"],
)
def test_the_servers_own_tokenizer_counts_where_it_has_one(
    expected: int | None, behaviour: Behaviour
) -> None:
    with Server(behaviour) as server:
        assert expected == counter(server)


def test_vllm_is_asked_for_the_texts_own_tokens() -> None:
    with Server(counted(lambda asked: asked.get("prompt", ""))) as server:
        counter(server)
        asked = server.requests[-1].document
    assert {"model": "m", "prompt": "one two three", "add_special_tokens": False} == asked


def test_a_tokenizer_that_stops_counting_ends_the_run_before_its_load(tmp_path: Path) -> None:
    answers = iter([plain(200, '{"tokens": [1]}')])
    with Server(Behaviour(tokenize=lambda _: [next(answers, plain(500, "{}"))])) as server:
        with pytest.raises(TargetError) as caught:
            hx.run(resolved(target__server=server.url, workload__prompt_tokens=9), tmp_path / "run")
        assert 1 == len(server.chats)
    assert f"{server.url}/tokenize: counted no tokens, though it did a moment ago" == str(caught.value)
    assert not (tmp_path / "run").exists()


def test_prompts_are_exact_by_the_tokenizer_and_said_as_they_are_written(tmp_path: Path) -> None:
    with Server(counted(lambda asked: asked.get("content", ""))) as server:
        given = {"target__server": server.url, "workload__prompt_tokens": 18, "keep__text": "full"}
        run = hx.run(resolved(**given), tmp_path / "run")
        said = {
            request.headers["x-request-id"]: request.document["messages"]
            for request in server.chats
            if "x-request-id" in request.headers
        }
    facts = run.records.facts["prompts"]
    assert (8, 8, 8, 144, 0) == tuple(
        facts[key] for key in ("requests", "made_up", "exact", "tokens", "shared_tokens")
    )
    assert [9] * 8 == [len(messages[0]["content"].split()) for messages in said.values()]
    file = (run.path / texts.FILE).read_text().splitlines()
    assert [each["messages"] for each in map(json.loads, file)] == [said[name] for name in sorted(said)]
    note = "All prompts made up to a length have it by the server's tokenizer, its template apart."
    assert note in run.certificate["notes"]


def test_lengths_that_cannot_be_had_are_counted(tmp_path: Path) -> None:
    with Server(counted(lambda asked: asked.get("content", ""))) as server:
        run = hx.run(resolved(target__server=server.url, workload__prompt_tokens=9), tmp_path / "run")
    assert 0 == run.records.facts["prompts"]["exact"]
    note = "0 of 8 prompts made up to a length have it by the server's tokenizer, its template apart."
    assert note in run.certificate["notes"]


def with_lengths(run: Run) -> pd.DataFrame:
    """The requests that ended well, with the tokens that each was to have."""
    asked = pd.read_json(run.path / texts.MADE_OF, lines=True)
    good = run.requests[run.requests["outcome"] == "ok"]
    return good.merge(asked, on="request_id", suffixes=("", "_asked"))


def test_without_a_tokenizer_lengths_are_by_words_and_the_certificate_says_so(tmp_path: Path) -> None:
    given = {"target__server": "reference", "workload__prompt_tokens": SPREAD, "load__requests": 40}
    run = hx.run(resolved(**given), tmp_path / "run")
    requests = with_lengths(run)
    assert 40 == len(requests)
    assert requests["prompt_tokens_asked"].tolist() == requests["prompt_tokens"].tolist()
    assert 10 < requests["prompt_tokens"].nunique()
    assert run.records.facts["prompts"]["exact"] is None
    note = "Prompt lengths are by words, not checked: the server has no tokenizer to ask."
    assert note in hx.open(tmp_path / "run").certificate["notes"]
    assert not (run.path / "journal").exists()


def test_a_set_of_prompts_needs_no_writing(tmp_path: Path) -> None:
    run = hx.run(resolved(target__server="reference"), tmp_path / "run")
    assert run.records.facts["prompts"] is None
    assert not [note for note in run.certificate["notes"] if "length" in note]
    assert not (run.path / texts.MADE_OF).exists()
    assert {"short": 8} == run.summary()["counts"]["by_class"]


def test_a_trace_is_replayed_when_it_says_with_what_it_says(tmp_path: Path) -> None:
    trace = tmp_path / "own.jsonl"
    lines = [
        {"at": "0 s", "prompt": "one two", "max_tokens": 3},
        {"at": 0.4, "prompt_tokens": 25, "max_tokens": 2},
        {"timestamp": 200, "input_length": 600, "output_length": 4, "hash_ids": [1, 2]},
        {"timestamp": 300, "input_length": 520, "output_length": 4, "hash_ids": [1, 3]},
    ]
    trace.write_text("\n".join(map(json.dumps, lines)))
    given = {"target__server": "reference", "load__trace": str(trace), "load__requests": None}
    run = hx.run(resolved(**given), tmp_path / "run")
    requests = run.requests.sort_values("due_ns")
    assert [3, 4, 4, 2] == requests["output_tokens"].tolist()
    assert [3, 600, 520, 25] == requests["prompt_tokens"].tolist()  # the first with its mark
    first = requests["due_ns"].iloc[0]
    assert [0.0, 0.2, 0.3, 0.4] == [(due - first) / 1e9 for due in requests["due_ns"]]
    assert 512 == run.records.facts["prompts"]["shared_tokens"]
    assert str(trace) == run.certificate["measurement"]["trace"]


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    def bodies(name: str, **more: Any) -> str:
        given = {"load__trace": "mooncake", "load__requests": None, **more}
        facts, _ = written(tmp_path / name, **given)
        return str(facts["sha256"])

    assert bodies("a") == bodies("b")
    assert bodies("a again", workload__seed=42) != bodies("c")
    assert bodies("own", load__trace="sample") == bodies("own again", load__trace="sample")
    assert bodies("own seed", load__trace="sample", workload__seed=42) != bodies(
        "own third", load__trace="sample"
    )


def test_blocks_of_one_id_are_one_text_in_a_trial_and_another_in_the_next(tmp_path: Path) -> None:
    given = {"load__trace": "mooncake", "load__requests": None, "load__trials": 3}
    facts, lines = written(tmp_path / "run", **given)
    beginnings = [" ".join(line["messages"][0]["content"].split()[:512]) for line in lines]
    assert (30, 3) == (len(lines), len(set(beginnings)))
    assert 3 * 9 * 512 == facts["shared_tokens"]


def test_without_a_salt_the_texts_are_the_same(tmp_path: Path) -> None:
    _, salted = written(tmp_path / "a", workload__prompt_tokens=20)
    _, plain_ones = written(tmp_path / "b", workload__prompt_tokens=20, workload__salt=False)
    assert (8, 1) == tuple(
        len({line["messages"][0]["content"] for line in lines}) for lines in (salted, plain_ones)
    )
    assert 8 == len({line["messages"][0]["content"].split()[0] for line in salted})


def test_more_text_than_a_worker_can_hold_is_refused_before_anything_starts(tmp_path: Path) -> None:
    given = {"target__server": "reference", "workload__prompt_tokens": 100_000, "load__requests": 501}
    with pytest.raises(ProfileError) as caught:
        hx.run(resolved(**given), tmp_path / "run")
    assert (
        "unnamed: limits.requests: the prompts of 501 requests come to 50 100 000 tokens, at most 50 000 000 "
        "are written; lower it" == str(caught.value)
    )
    assert not (tmp_path / "run").exists()
    profile = resolved(**given | {"load__requests": 500}).profile
    prompts = prompts_of(profile)
    assert 500 == len(texts.planned(profile, prompts, [build(profile, prompts, 1)]))


@pytest.mark.parametrize("cache", [True, False])
def test_a_shared_prefix_is_answered_from_the_cache_where_there_is_one(
    tmp_path: Path, cache: bool, unavailable: Callable[[str], NoReturn]
) -> None:
    try:
        model_file("smollm2-135m", print)
    except InputError as error:
        unavailable(str(error))
    given = {
        "target__server": "embedded", "target__model": "smollm2-135m", "workload__prompt_tokens": 40,
        "workload__prefix": {"tokens": 32, "shared_by": 4}, "target__embedded__prompt_cache": cache,
        "target__extra_body": {"cache_prompt": cache},
    }  # fmt: skip
    requests = with_lengths(hx.run(resolved(**given), tmp_path / "run"))
    assert 8 == len(requests)
    template = requests["prompt_tokens"] - requests["prompt_tokens_asked"]
    assert 1 == template.nunique()  # the chat template's own tokens: each text is exact
    cached = requests.sort_values("request_id")["cached_tokens"]
    if cache:
        others = [number % 4 != 0 for number in range(8)]
        assert all(cached[others] >= 32)
        assert all(cached[[not each for each in others]] < 32)
    else:
        assert [0] * 8 == cached.tolist()
