"""What each request of a trial asks: its prompt and how many tokens. Pure, seeded, standard library only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from hxbench.errors import ProfileError
from hxbench.plan import trace
from hxbench.plan.synthesis import Part
from hxbench.plan.workload import UNWRITTEN, Prompt, load_prompts

if TYPE_CHECKING:
    from hxbench.plan.profile import Profile, Workload

DEALT = 20  # requests in which each class has its share, to within one
MADE_UP = "synthetic"

Asked = tuple[Prompt, int]  # and the output tokens


def prompts_of(profile: "Profile") -> tuple[Prompt, ...]:
    """Returns what a profile's requests choose from: a trace, texts to be made up, or a set of prompts.

    Raises: ProfileError when a file is not as it should be, or has no prompt of a class.
    """
    workload = profile.workload
    if profile.load.trace is not None:
        return trace.load_trace(profile.load.trace)
    if workload.prompt_tokens is not None:
        return (Prompt(MADE_UP, UNWRITTEN, MADE_UP, tokens=workload.prompt_tokens),)
    prompts = load_prompts(str(workload.prompts))
    there = sorted({prompt.prompt_class for prompt in prompts})
    for name in workload.classes or ():
        if name not in there:
            raise ProfileError(
                f"{profile.name}: workload.classes.{name}: no prompt of {workload.prompts} is of this class; "
                f"there are: {', '.join(there)}"
            )
    return prompts


def are_written(prompts: Sequence[Prompt]) -> bool:
    """Whether each request says a text of its own, which is written down before the first one is sent."""
    return any(prompt.tokens or prompt.due_ns is not None for prompt in prompts)


def affordable(profile: "Profile", prompts: Sequence[Prompt], trial: int) -> list[Asked]:
    """Returns prompt and output tokens of as many requests as a trial's share of the limits allows.

    Where texts are written, each request has a prompt of its own, which says of what parts it is made.
    """
    limits, trials, seed = profile.limits, profile.load.trials, profile.workload.seed
    lengths, inputs = (Random(f"{name} {seed} {trial}") for name in ("lengths", "inputs"))  # noqa: S311 - to be repeated
    written = are_written(prompts)
    chosen: list[Asked] = []
    left = limits.tokens // trials
    for number, prompt in enumerate(islice(_chosen(profile, prompts, trial), limits.requests // trials), 1):
        tokens = (prompt.max_tokens or profile.workload.output_tokens).draw(lengths)
        left -= tokens
        if left < 0:
            break
        own = _own(prompt, profile.workload, trial, number, inputs) if written else prompt
        chosen.append((own, tokens))
    return chosen


def _chosen(profile: "Profile", prompts: Sequence[Prompt], trial: int) -> Iterator[Prompt]:
    if profile.load.trace is not None:
        return iter(prompts)
    order = Random(f"prompts {profile.workload.seed} {trial}")  # noqa: S311 - to be repeated, not to be secret
    if profile.workload.classes is None:
        return _shuffled(prompts, order)
    return _by_class(profile.workload.classes, prompts, order)


def _shuffled(prompts: Sequence[Prompt], generator: Random) -> Iterator[Prompt]:
    """Yields all prompts in a random order, then all of them again in another, without end."""
    while prompts:
        yield from generator.sample(prompts, len(prompts))


def _by_class(shares: Mapping[str, float], prompts: Sequence[Prompt], generator: Random) -> Iterator[Prompt]:
    """Yields prompts without end, of each class its share; within a class as `_shuffled` does."""
    of_class = {
        name: _shuffled([prompt for prompt in prompts if prompt.prompt_class == name], generator)
        for name in shares
    }
    for name in _dealt(shares, generator):
        yield next(of_class[name])


def _dealt(shares: Mapping[str, float], generator: Random) -> Iterator[str]:
    """Yields names without end: in each DEALT as many as their shares say, in a random order.

    What a share leaves over counts in the next, so that in the long run the shares are exact.
    """
    due = dict.fromkeys(shares, 0.0)
    while True:
        names = []
        for _ in range(DEALT):
            for name, share in shares.items():
                due[name] += share
            names.append(max(due, key=lambda name: due[name]))
            due[names[-1]] -= 1
        generator.shuffle(names)
        yield from names


def _own(prompt: Prompt, workload: "Workload", trial: int, number: int, lengths: Random) -> Prompt:
    """Returns the prompt of one request, under an id of its own that is no longer than an id may be."""
    parts = prompt.parts
    if prompt.tokens is not None:
        key = f"request {number}" if workload.salt else prompt.id
        parts = _parts(workload, prompt.tokens.draw(lengths), number, key)
    return replace(prompt, id=f"{prompt.id[:100]}-t{trial}-{number:06d}", parts=parts)


def _parts(workload: "Workload", tokens: int, number: int, key: str) -> tuple[Part, ...]:
    """Returns the prefix that requests in a row share, where there is one, and the request's own words."""
    if workload.prefix is None:
        return (Part(key, tokens),)
    shared, group = workload.prefix.tokens, (number - 1) // workload.prefix.shared_by
    return (Part(f"prefix {group}", shared), Part(key, tokens - shared))
