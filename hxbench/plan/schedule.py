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
    """One request as planned; `due_offset_ns` counts from the trial's start and is null in a closed loop."""

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

    Closed loop: as many rows as the limits allow, for users to take; those never taken are no requests.
    Open loop: one row for each arrival.
    Raises: ProfileError when the load needs more requests or output tokens than the limits of the run,
    of which each trial has an equal share.
    """
    affordable = asking.affordable(profile, prompts, trial)
    if profile.load.loop == "closed":
        places: list[Place] = _to_be_taken(profile, len(affordable))
    else:
        due = _due(profile, prompts, trial)
        places = list(islice(due, len(affordable) + 1))
        _refuse_above(len(affordable), profile, len(places))
    return [
        _row(profile, trial, number, place, asked)
        for number, (place, asked) in enumerate(zip(places, affordable, strict=False), start=1)
    ]


def _due(profile: "Profile", prompts: Sequence[Prompt], trial: int) -> Iterator[Place]:
    if profile.load.trace is not None:
        return trace.places(profile.load, prompts)
    return arrivals.places(profile.load, profile.workload.seed, trial)


def _to_be_taken(profile: "Profile", affordable: int) -> list[Place]:
    """Returns the rows of a closed loop: those to warm up with, then those to measure."""
    load, users = profile.load, profile.load.scaled_users
    _refuse_above(affordable, profile, (load.requests or users) + (users if load.warmup else 0))
    warm = _warm_rows(load, users, affordable)
    measured = load.requests or affordable - warm
    return [*[Place("warmup", MAIN, None)] * warm, *[Place("measure", MAIN, None)] * measured]


def _warm_rows(load: "Load", users: int, affordable: int) -> int:
    """Returns how many rows the warm-up may take, at least one a user: its share of the time.

    Where a number of requests is measured, their time is unknown: as many rows as are measured.
    """
    if not load.warmup:
        return 0
    if load.measure is None:
        measured = load.requests or 0
        return min(affordable - measured, max(users, measured))
    return max(users, int(affordable * load.warmup / (load.warmup + load.measure)))


def _refuse_above(affordable: int, profile: "Profile", needed: int) -> None:
    if needed > affordable:
        limits = profile.limits
        raise ProfileError(
            f"{profile.name}: load: needs {needed} or more requests a trial, warm-up included; "
            f"the limits of the run (limits.requests {limits.requests}, limits.tokens {limits.tokens}) "
            f"allow {affordable}"
        )


def _row(profile: "Profile", trial: int, number: int, place: Place, asked: Asked) -> Planned:
    prompt, max_tokens = asked
    request_id = f"t{trial}-{number:06d}"
    digest = hashlib.sha256(f"sampling {profile.workload.seed} {request_id}".encode()).digest()
    return Planned(
        request_id=request_id,
        trial=trial,
        phase=place.phase,
        stage=place.stage,
        user=None,
        conversation=request_id,
        turn=0,
        due_offset_ns=place.due_offset_ns,
        prompt_id=prompt.id,
        prompt_class=prompt.prompt_class,
        max_tokens=max_tokens,
        seed=int.from_bytes(digest[:4]) >> 1,
    )
