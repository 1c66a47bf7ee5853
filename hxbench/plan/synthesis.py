"""Text of a stated number of tokens, made of common words by a seed. Standard library only."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import NamedTuple

TRIES = 64  # of a text; where each word is a token, the first is right
# Each is one token in the usual vocabularies of English, with a space before it and without.
WORDS = """
    able about above act age air all also always among animal answer any area art ask away back ball base
    bed before begin best better bird black blue board boat body book both box boy brother build buy came
    car care center change check child city class clear close cold color come common cook cool country
    course cover cut dark day deep dog door down draw dream drive dry early earth east eat end energy enough
    event ever every exact face fact family farm fast father feel field figure find fine fire first fish
    floor follow food force form free friend front full game girl give glass gold good green ground group
    grow hair half hand happy hard head heart heat help high hill history home horse hot hour house hundred
    idea keep king know land language large late learn leave left letter level life light line list little
    live long look love low machine main make many map mark matter mean measure mind minute money month moon
    mother move music name nature near new night north note number object ocean old open order page paper
    part past pattern people person picture piece place plan plane plant play point power press problem
    product quick quiet rain reach read ready reason red rest rich right river road rock room round rule run
    sea season second seed see sense ship short shop show side simple sing sky sleep slow small snow song
    soon sound south space special spring square stand star start state step stone stop story street strong
    sun system table talk team test thing think time top town train travel tree true turn type unit value
    voice walk wall warm watch water wave way weather week west wheel white wild wind window winter woman
    wood word work world write year young
""".split()  # noqa: SIM905 - each in quotes would be no list of words

Count = Callable[[str], int]  # the tokens of a text


class Part(NamedTuple):
    """So many tokens of text; parts of one key begin with the same words."""

    key: str
    tokens: int


class Written(NamedTuple):
    text: str
    exact: bool  # it has as many tokens as were asked for


class Writer:
    """Writes the texts of a trial; `count` tells the tokens of a text, as the server counts them."""

    def __init__(self, seed: str, count: Count) -> None:
        self._seed, self._count = seed, count
        self._shared: dict[Part, str] = {}

    def write(self, parts: Sequence[Part]) -> Written:
        """Returns one text of all parts; the last is fitted so that the whole has as many tokens as they."""
        *shared, last = parts
        before = [self._of_shared(part) for part in shared]
        return self._fitted(before, last, sum(part.tokens for part in parts))

    def _of_shared(self, part: Part) -> str:
        if part not in self._shared:
            self._shared[part] = self._fitted([], part, part.tokens).text
        return self._shared[part]

    def _fitted(self, before: list[str], last: Part, tokens: int) -> Written:
        """Adds words or takes some away until it fits, as many as the words so far suggest."""
        coming = words(f"{self._seed} {last.key}")
        own = list(islice(coming, last.tokens))
        text = ""
        for _ in range(TRIES):
            text = " ".join([*before, *own])
            counted = self._count(text)
            if counted == tokens:
                return Written(text, exact=True)
            change = max(1, round(abs(tokens - counted) * len(own) / max(counted, len(own))))
            if counted < tokens:
                own += islice(coming, change)
            else:
                own = own[: max(0, len(own) - change)] or [next(coming)]
        return Written(text, exact=False)


def words(seed: str) -> Iterator[str]:
    """Yields words without end, the same ones for the same seed."""
    generator = Random(f"words {seed}")  # noqa: S311 - to be repeated, not to be secret
    while True:
        yield generator.choice(WORDS)


def count_words(text: str) -> int:
    """Returns the number of words: what stands in for tokens where there is nobody to ask."""
    return len(text.split())
