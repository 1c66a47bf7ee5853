"""The schedule: each request of a trial, decided before the first one is sent. Standard library only.

Pure and seeded: the same profile, prompts and trial give the same rows on every machine.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from hxbench.errors import ProfileError
from hxbench.plan import arrivals, asking, trace
from hxbench.plan.arrivals import MAIN, Place
from hxbench.plan.asking import Asked
from hxbench.plan.workload import Prompt

if TYPE_CHECKING:
    from hxbench.plan.profile import Load, Profile


@dataclass(frozen=True)
class Planned:
    """One request as planned; `due_offset_ns` counts from the trial's start and is null in a closed loop.

    So is `user`: whoever comes free takes the next conversation. A `conversation` is called as its first
    request.
    """

    request_id: str
    trial: int
    phase: str
    stage: str
    user: int | None
    conversation: str
    turn: int
    due_offset_ns: int | None
    prompt_id: str
    prompt_class: str
    max_tokens: int
    seed: int


def build(profile: "Profile", prompts: Sequence[Prompt], trial: int) -> list[Planned]:
    """Returns the rows of a trial (counted from 1), warm-up first, in the order in which they are taken.

    Closed loop: as many rows as the limits allow, for users to take; those never taken are no requests. The
    turns of a conversation stand one after the other, all in one phase; the last one may be cut off.
    Open loop: one row for each arrival.
    Raises: ProfileError when an open loop has conversations, and when the load needs more requests or output
    tokens than the limits of the run, of which each trial has an equal share.
    """
    affordable = asking.affordable(profile, prompts, trial)
    if profile.load.loop == "closed":
        places: list[Place] = _to_be_taken(profile, affordable)
    else:
        _refuse_turns(profile, prompts)
        due = _due(profile, prompts, trial)
        places = list(islice(due, len(affordable) + 1))
        _refuse_above(len(affordable), profile, len(places))
    rows: list[Planned] = []
    for place, asked in zip(places, affordable, strict=False):
        rows.append(_row(profile, trial, place, asked, rows))
    return rows


def _due(profile: "Profile", prompts: Sequence[Prompt], trial: int) -> Iterator[Place]:
    if profile.load.trace is not None:
        return trace.places(profile.load, prompts)
    return arrivals.places(profile.load, profile.workload.seed, trial)


def _refuse_turns(profile: "Profile", prompts: Sequence[Prompt]) -> None:
    several = next((prompt.id for prompt in prompts if prompt.turns > 1), None)
    if several is not None:
        raise ProfileError(
            f"{profile.name}: load.loop: open has no place for conversations, and prompt {several} of "
            f"{profile.workload.prompts} has several turns: one can only be asked after the answer to the "
            "one before; use loop: closed"
        )


def _to_be_taken(profile: "Profile", affordable: Sequence[Asked]) -> list[Place]:
    """Returns the rows of a closed loop: those to warm up with, then those to measure."""
    load, users, most = profile.load, profile.load.scaled_users, len(affordable)
    begins = [number for number, (_, turn, _) in enumerate(affordable) if turn == 0]
    one_each = [*begins, most][min(users, len(begins))]  # rows of a conversation for each user
    needed = one_each + max(users - len(begins), 0)
    _refuse_above(most, profile, (load.requests or needed) + (needed if load.warmup else 0))
    warm = max(begin for begin in begins if begin <= _warm_rows(load, one_each, most))
    measured = load.requests or most - warm
    return [*[Place("warmup", MAIN, None)] * warm, *[Place("measure", MAIN, None)] * measured]


def _warm_rows(load: "Load", fewest: int, affordable: int) -> int:
    """Returns how many rows the warm-up may take, at least the fewest: its share of the time.

    Where a number of requests is measured, their time is unknown: as many rows as are measured.
    """
    if not load.warmup:
        return 0
    if load.measured_s is None:
        measured = load.requests or 0
        return min(affordable - measured, max(fewest, measured))
    return max(fewest, int(affordable * load.warmup / (load.warmup + load.measured_s)))


def _refuse_above(affordable: int, profile: "Profile", needed: int) -> None:
    if needed > affordable:
        limits = profile.limits
        raise ProfileError(
            f"{profile.name}: load: needs {needed} or more requests a trial, warm-up included; "
            f"the limits of the run (limits.requests {limits.requests}, limits.tokens {limits.tokens}) "
            f"allow {affordable}"
        )


def _row(profile: "Profile", trial: int, place: Place, asked: Asked, earlier: Sequence[Planned]) -> Planned:
    prompt, turn, max_tokens = asked
    request_id = f"t{trial}-{len(earlier) + 1:06d}"
    digest = hashlib.sha256(f"sampling {profile.workload.seed} {request_id}".encode()).digest()
    return Planned(
        request_id=request_id,
        trial=trial,
        phase=place.phase,
        stage=place.stage,
        user=None,
        conversation=earlier[-1].conversation if turn else request_id,
        turn=turn,
        due_offset_ns=place.due_offset_ns,
        prompt_id=prompt.id,
        prompt_class=prompt.prompt_class,
        max_tokens=max_tokens,
        seed=int.from_bytes(digest[:4]) >> 1,
    )
