"""What each request of a trial asks: its prompt and how many tokens. Pure, seeded, standard library only."""

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from hxbench.plan.workload import Prompt

if TYPE_CHECKING:
    from hxbench.plan.profile import Profile

Asked = tuple[Prompt, int]  # and the output tokens


def affordable(profile: "Profile", prompts: Sequence[Prompt], trial: int) -> list[Asked]:
    """Returns prompt and output tokens of as many requests as a trial's share of the limits allows."""
    limits, trials, seed = profile.limits, profile.load.trials, profile.workload.seed
    order = Random(f"prompts {seed} {trial}")  # noqa: S311 - to be repeated, not to be secret
    lengths = Random(f"lengths {seed} {trial}")  # noqa: S311 - as above
    chosen: list[Asked] = []
    left = limits.tokens // trials
    for prompt in islice(_shuffled(prompts, order), limits.requests // trials):
        tokens = (prompt.max_tokens or profile.workload.output_tokens).draw(lengths)
        left -= tokens
        if left < 0:
            break
        chosen.append((prompt, tokens))
    return chosen


def _shuffled(prompts: Sequence[Prompt], generator: Random) -> Iterator[Prompt]:
    """Yields all prompts in a random order, then all of them again in another, without end."""
    while prompts:
        yield from generator.sample(prompts, len(prompts))
