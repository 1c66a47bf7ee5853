"""Texts of a stated length: as long as asked by whatever counts them, the same for the same seed."""

from itertools import islice

import pytest

from hxbench.plan.synthesis import TRIES, WORDS, Part, Writer, count_words, words


class Counting:
    """Counts tokens by `of_word`, and how often it was asked."""

    def __init__(self, of_word):
        self.of_word, self.asked = of_word, 0

    def __call__(self, text):
        self.asked += 1
        return sum(map(self.of_word, text.split()))


def one(_: str) -> int:
    return 1


def test_words_are_short_plain_and_different():
    assert len(WORDS) == len(set(WORDS))
    assert all(word.isascii() and word.islower() and len(word) <= 8 for word in WORDS)


def test_where_a_word_is_a_token_a_text_is_right_at_once():
    count = Counting(one)
    text, exact = Writer("1", count).write([Part("a", 512)])
    assert (512, True, 1) == (len(text.split()), exact, count.asked)


@pytest.mark.parametrize("tokens", [1, 2, 7, 100, 1001])
@pytest.mark.parametrize(
    "of_word",
    [
        lambda word: 1 + len(word) // 4,
        lambda word: 1 + (word in ("able", "young")),
        lambda word: 3 - len(word) % 3,
    ],
    ids=["by four letters", "two words cost more", "one to three"],
)
def test_a_text_is_fitted_to_tokens_that_are_no_words(of_word, tokens):
    seen = [Writer(str(seed), Counting(of_word)).write([Part("a", tokens)]) for seed in range(20)]
    for text, exact in seen:
        assert exact == (tokens == sum(map(of_word, text.split())))
    assert sum(exact for _, exact in seen) >= 19


def test_a_text_that_cannot_have_its_length_says_so_after_some_tries():
    count = Counting(lambda _: 2)
    assert not Writer("1", count).write([Part("a", 7)]).exact
    assert TRIES == count.asked
    assert not Writer("1", lambda _: 0).write([Part("a", 7)]).exact


def test_a_text_comes_from_its_seed_and_key_alone():
    def text(seed: str, key: str) -> str:
        return Writer(seed, count_words).write([Part(key, 20)]).text

    assert text("1", "a") == text("1", "a")
    assert 3 == len({text("1", "a"), text("2", "a"), text("1", "b")})


def test_parts_of_one_key_are_one_text_and_shorter_ones_its_beginning():
    writer = Writer("1", count_words)
    long, short = (writer.write([Part("a", 30), Part(own, 10)]).text.split() for own in "bc")
    assert long[:30] == short[:30]
    assert long[30:] != short[30:]
    assert long[:12] == writer.write([Part("a", 12)]).text.split()


def test_a_shared_part_is_counted_once_and_the_whole_is_fitted():
    count = Counting(lambda word: 1 + len(word) // 4)
    writer = Writer("1", count)
    one_text, other = (writer.write([Part("shared", 64), Part(own, 36)]) for own in "ab")
    assert [100, 100] == [sum(map(count.of_word, each.text.split())) for each in (one_text, other)]
    before = count.asked
    writer.write([Part("shared", 64), Part("a", 36)])
    alone = Counting(count.of_word)
    Writer("1", alone).write([Part("shared", 64), Part("a", 36)])
    assert count.asked - before < alone.asked


def test_words_go_on_without_end():
    assert 1000 == len(list(islice(words("1"), 1000)))
