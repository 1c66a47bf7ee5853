"""What requests ask: classes by their shares, budgets by class, texts by their parts; all by the seed."""

import hashlib
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.asking import DEALT, affordable, prompts_of
from hxbench.plan.layers import resolve
from hxbench.plan.profile import Profile
from hxbench.plan.schedule import build
from hxbench.plan.synthesis import Part

BUDGETS = {"short": (50, 150), "medium": (150, 300), "long": (300, 500), "complex": (500, 1000)}
SHARES = {"short": "40 %", "medium": "30 %", "long": "20 %", "complex": "10 %"}
SPREAD = {"distribution": "uniform", "from": 50, "to": 150}


def profile(**given: Any) -> Profile:
    overrides = {"target.model": "m", "load.requests": 200, "load.warmup": "0 s", "workload.seed": 42} | {
        key.replace("__", "."): value for key, value in given.items()
    }
    return resolve(overrides={key: (value, "x") for key, value in overrides.items()}).profile


def rows(**given: Any) -> list[Any]:
    made = profile(**given)
    return build(made, prompts_of(made), 1)


def asked(count: int, **given: Any) -> list[Any]:
    made = profile(**given)
    return [prompt for prompt, _ in islice(affordable(made, prompts_of(made), 1), count)]


def test_the_mixed_set_asks_for_the_tokens_of_each_class():
    prompts = prompts_of(profile(workload__prompts="mixed"))
    assert dict.fromkeys(BUDGETS, 16) == Counter(prompt.prompt_class for prompt in prompts)
    assert 64 == len({prompt.messages[0]["content"] for prompt in prompts})
    assert [f"mixed-short-{number:02d}" for number in range(1, 17)] == [each.id for each in prompts[:16]]
    drawn: dict[str, list[int]] = {name: [] for name in BUDGETS}
    for row in rows(workload__prompts="mixed", load__requests=1600):
        drawn[row.prompt_class].append(row.max_tokens)
    for name, (least, most) in BUDGETS.items():
        assert least <= min(drawn[name]) < least + 15
        assert most - 15 < max(drawn[name]) <= most


def test_seed_42_asks_the_same_on_every_machine():
    given = rows(workload__prompts="mixed", workload__classes=SHARES)
    text = "\n".join(f"{row.prompt_id} {row.prompt_class} {row.max_tokens} {row.seed}" for row in given)
    assert "19606fac93a6a91a" == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_classes_come_by_their_shares_in_the_long_run_and_soon():
    names = [row.prompt_class for row in rows(workload__prompts="mixed", workload__classes=SHARES)]
    assert {"short": 80, "medium": 60, "long": 40, "complex": 20} == Counter(names)
    assert {"short": 8, "medium": 6, "long": 4, "complex": 2} == Counter(names[:DEALT])
    assert names[:DEALT] != names[DEALT : 2 * DEALT]


def test_shares_that_do_not_divide_are_exact_in_the_long_run():
    shares = {"short": "97.3 %", "complex": "2.7 %"}
    names = [
        row.prompt_class
        for row in rows(workload__prompts="mixed", workload__classes=shares, load__requests=1000)
    ]
    assert {"short": 973, "complex": 27} == Counter(names)
    assert [0, 1] == sorted({Counter(names[n : n + DEALT])["complex"] for n in range(0, 1000, DEALT)})


def test_within_a_class_each_prompt_comes_once_before_any_comes_again():
    given = rows(
        workload__prompts="mixed", workload__classes={"long": "50 %", "short": "50 %"}, load__requests=64
    )
    ids = Counter(row.prompt_id for row in given)
    assert {2} == set(ids.values())
    assert 32 == len(ids)


def test_a_class_that_no_prompt_has_is_refused_with_those_there_are():
    with pytest.raises(ProfileError) as caught:
        prompts_of(profile(workload__prompts="mixed", workload__classes={"tiny": "100 %"}))
    assert (
        "unnamed: workload.classes.tiny: no prompt of mixed is of this class; "
        "there are: complex, long, medium, short" == str(caught.value)
    )


def test_lengths_of_prompts_are_drawn_by_the_seed_and_apart_from_those_of_answers():
    given = {"workload__prompt_tokens": SPREAD, "load__requests": 40}
    lengths = [sum(part.tokens for part in prompt.parts) for prompt in asked(40, **given)]
    assert all(50 <= length <= 150 for length in lengths)
    assert 20 < len(set(lengths))
    spread = asked(40, **given, workload__output_tokens=SPREAD)
    assert lengths == [sum(part.tokens for part in prompt.parts) for prompt in spread]
    other = asked(40, **given, workload__seed=43)
    assert lengths != [sum(part.tokens for part in prompt.parts) for prompt in other]


def test_each_request_has_a_prompt_of_its_own_that_the_schedule_names():
    given = {"workload__prompt_tokens": 9, "load__requests": 3}
    assert ["synthetic-t1-000001", "synthetic-t1-000002", "synthetic-t1-000003"] == [
        row.prompt_id for row in rows(**given)
    ]
    assert {"synthetic"} == {row.prompt_class for row in rows(**given)}
    assert [(Part("request 1", 9),), (Part("request 2", 9),)] == [each.parts for each in asked(2, **given)]


def test_without_a_salt_texts_of_one_length_are_one_text():
    prompts = asked(2, workload__prompt_tokens=9, workload__salt=False)
    assert {(Part("synthetic", 9),)} == {each.parts for each in prompts}


def test_so_many_requests_in_a_row_share_a_prefix_that_counts():
    prompts = asked(5, workload__prompt_tokens=9, workload__prefix__tokens=6, workload__prefix__shared_by=4)
    assert [f"prefix {group}" for group in (0, 0, 0, 0, 1)] == [each.parts[0].key for each in prompts]
    assert {(6, 3)} == {tuple(part.tokens for part in each.parts) for each in prompts}


def test_a_set_may_hold_texts_and_lengths_side_by_side(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"id": "%s", "prompt": "Hi", "class": "a"}\n{"prompt_tokens": 30, "class": "b", "max_tokens": 5}\n'
        % ("i" * 128)
    )
    made = asked(DEALT, workload__prompts=str(path), workload__classes={"a": "50 %", "b": "50 %"})
    assert {("a", 0), ("b", 30)} == {(each.prompt_class, sum(p.tokens for p in each.parts)) for each in made}
    assert {"i" * 100, "own-002"} == {each.id.partition("-t1-")[0] for each in made}


def test_a_seeded_order_is_not_that_of_the_table():
    first = [row.prompt_class for row in rows(workload__prompts="mixed", workload__classes=SHARES)][:DEALT]
    assert sorted(first, key=list(SHARES).index) != first
