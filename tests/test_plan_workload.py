import json
import re

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.lengths import Lengths, fixed
from hxbench.plan.workload import Prompt, load_prompts, request_messages, salt

KEYS = "expected one of id, prompt, messages, turns, system, prompt_tokens, class, max_tokens, expected"
TEXTS = "own.jsonl:1: expected one of prompt, messages, turns, prompt_tokens"


@pytest.fixture
def refused(tmp_path):
    def text_of(content: str | bytes) -> str:
        path = tmp_path / "own.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ProfileError) as caught:
            load_prompts(path)
        return str(caught.value).replace(str(path), "own.jsonl")

    return text_of


def test_the_short_set_has_64_different_prompts_with_stable_ids():
    prompts = load_prompts("short")
    assert [f"short-{number:03d}" for number in range(1, 65)] == [prompt.id for prompt in prompts]
    texts = {prompt.messages[0]["content"] for prompt in prompts}
    assert 64 == len(texts)
    assert {"short"} == {prompt.prompt_class for prompt in prompts}
    assert all(8 <= len(text.split()) <= 15 for text in texts)


def test_each_question_looks_for_an_answer_that_it_does_not_give_away():
    for prompt in load_prompts("questions"):
        assert prompt.expected
        assert not re.search(prompt.expected, prompt.messages[0]["content"], re.IGNORECASE)


def test_own_prompts_may_say_everything_or_only_the_text(tmp_path):
    path = tmp_path / "own.jsonl"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    full = {"id": "a", "messages": messages, "class": "chat", "max_tokens": 5, "expected": "hello"}
    path.write_text(f"{json.dumps(full)}\n\n" + '{"prompt": "Why?"}')
    expected = (
        Prompt("a", tuple(messages), "chat", fixed(5), "hello"),
        Prompt("own-003", ({"role": "user", "content": "Why?"},), "own"),
    )
    assert expected == load_prompts(str(path))


def test_a_prompt_may_say_how_many_tokens_it_has_in_place_of_its_text(tmp_path):
    path = tmp_path / "own.jsonl"
    spread = {"distribution": "uniform", "from": 50, "to": 150}
    path.write_text(json.dumps({"prompt_tokens": spread, "max_tokens": spread}))
    (prompt,) = load_prompts(str(path))
    assert (Lengths(50, 150), Lengths(50, 150)) == (prompt.tokens, prompt.max_tokens)
    assert ({"role": "user", "content": ""},) == prompt.messages


@pytest.mark.parametrize(
    ("expected", "content"),
    [
        ("own.jsonl: holds no prompts", "\n\n"),
        ("own.jsonl:2: is not JSON: Expecting value, column 1", '{"prompt": "a"}\nprompt'),
        ("own.jsonl:1: is not JSON: NaN is not allowed", '{"prompt": NaN}'),
        ("own.jsonl:1: is not JSON: duplicate key", '{"prompt": "a", "prompt": "b"}'),
        ('own.jsonl:1: expected an object such as {"prompt": "..."}', '["a"]'),
        (TEXTS, "{}"),
        (TEXTS, '{"prompt": "a", "messages": []}'),
        ("own.jsonl:1: prompt: expected text", '{"prompt": 3}'),
        ("own.jsonl:1: prompt: expected some text", '{"prompt": " "}'),
        ("own.jsonl:1: messages: is empty", '{"messages": []}'),
        ("own.jsonl:1: messages: expected objects of role and content", '{"messages": ["a"]}'),
        ("own.jsonl:1: messages: expected objects of role and content", '{"messages": [{"role": "user"}]}'),
        (
            "own.jsonl:1: messages: expected a role of system, developer, user, assistant",
            '{"messages": [{"role": ["x"], "content": "a"}]}',
        ),
        ("own.jsonl:1: messages: expected some text", '{"messages": [{"role": "user", "content": 1}]}'),
        (
            f"own.jsonl:1: promt: unknown key; {KEYS}",
            '{"promt": "a"}',
        ),
        (
            f"own.jsonl:1: a key: unknown key; {KEYS}",
            '{"a\\nb": "a"}',
        ),
        (TEXTS, '{"prompt": "a", "prompt_tokens": 9}'),
        ("own.jsonl:1: max_tokens: expected a whole number, got true", '{"prompt": "a", "max_tokens": true}'),
        (
            "own.jsonl:1: max_tokens: expected a number of 1 or more, got 0",
            '{"prompt": "a", "max_tokens": 0}',
        ),
        (
            "own.jsonl:1: max_tokens.to: expected a number above 50, got 50",
            '{"prompt": "a", "max_tokens": {"distribution": "uniform", "from": 50, "to": 50}}',
        ),
        (
            "own.jsonl:1: prompt_tokens: expected a number of at most 131072, got 131073",
            '{"prompt_tokens": 131073}',
        ),
        ("own.jsonl:1: id: expected up to 128 printable characters", '{"prompt": "a", "id": ""}'),
        ("own.jsonl:1: class: expected up to 128 printable characters", '{"prompt": "a", "class": "b\\n"}'),
        (
            "own.jsonl:1: expected: is no regular expression: nothing to repeat at position 0",
            '{"prompt": "a", "expected": "*"}',
        ),
        (
            "own.jsonl:2: id: own-002 stands on an earlier line too",
            '{"prompt": "a", "id": "own-002"}\n{"prompt": "b"}',
        ),
        ("own.jsonl: is not UTF-8, in line 1 or soon after", b"\xff"),
    ],
)
def test_a_line_that_is_no_prompt_is_refused_with_file_and_line(refused, expected, content):
    assert expected == refused(content)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"prompt": "\\ud800"}', '{"prompt": %s}' % ("1" * 5000)])
def test_what_python_cannot_hold_is_no_json(refused, text):
    assert refused(text).startswith("own.jsonl:1: is not JSON: ")


def test_a_line_without_an_end_is_refused_before_it_is_held(refused):
    assert "own.jsonl:2: is above 1048576 characters" == refused('{"prompt": "a"}\n' + "x" * ((1 << 20) + 1))


def test_a_set_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ProfileError) as caught:
        load_prompts("shrot")
    expected = "workload.prompts: data/prompts/shrot.jsonl: no such file comes with hxbench; there are: "
    assert str(caught.value).startswith(expected)
    assert "short.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        ("/dev/null: is no regular file, expected JSON lines", "/dev/null"),
        ("/none.jsonl: cannot be read: No such file or directory", "/none.jsonl"),
        ("workload.prompts: is no file name", "a\0.jsonl"),
    ],
)
def test_a_path_that_is_no_file_is_refused(expected, name):
    with pytest.raises(ProfileError) as caught:
        load_prompts(name)
    assert expected == str(caught.value)


def test_the_salt_stands_in_front_of_the_first_text_and_the_prompt_stays_as_it_is():
    prompt = Prompt("a", ({"role": "system", "content": "S"}, {"role": "user", "content": "U"}), "c")
    expected = [{"role": "system", "content": "[0f] S"}, {"role": "user", "content": "U"}]
    assert expected == request_messages(prompt, "0f")
    assert "S" == prompt.messages[0]["content"]
    assert list(prompt.messages) == request_messages(prompt, None)


def test_each_request_of_each_seed_has_a_salt_of_its_own():
    salts = {salt(seed, f"t1-{number:06d}") for seed in (1, 2) for number in range(100)}
    assert 200 == len(salts)
    assert salt(1, "t1-000001") == salt(1, "t1-000001")
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in salts)
