"""What the schedules of a run ask for, in sum."""

from collections.abc import Sequence
from dataclasses import dataclass

from hxbench.plan.profile import Profile
from hxbench.plan.schedule import Planned

Plans = Sequence[Sequence[Planned]]  # one a trial


@dataclass(frozen=True)
class Look:
    """What has been asked for when the limits are looked at, after so many trials."""

    trials: int
    measured: int
    seconds: float | None  # warm-up included; None when the server decides


@dataclass(frozen=True)
class Outline:
    """What a load asks for when it ends at the last of its planned `looks`.

    `at_most` when a closed loop by time takes as many as it comes to.
    """

    measured: int
    at_most: bool
    warmup: int
    trials: int
    output_tokens: int  # of the measured requests
    seconds: float | None  # warm-up included; None when the server decides
    output_cost: float | None  # USD; None without a price
    looks: tuple[Look, ...]


def outline(profile: Profile, plans: Plans) -> Outline:
    """Returns what the schedules of all trials ask for."""
    load = profile.load
    rows = [row for plan in plans for row in plan]
    measured = [row for row in rows if row.phase == "measure"]
    tokens = sum(row.max_tokens for row in measured)
    return Outline(
        measured=len(measured),
        at_most=load.loop == "closed" and load.requests is None,
        warmup=len(rows) - len(measured),
        trials=load.trials,
        output_tokens=tokens,
        seconds=_seconds(profile, plans),
        output_cost=None if profile.cost is None else tokens * profile.cost.output_per_million / 1e6,
        looks=tuple(_look(profile, plans[:trials]) for trials in profile.looks_after),
    )


def _look(profile: Profile, plans: Plans) -> Look:
    measured = sum(row.phase == "measure" for plan in plans for row in plan)
    return Look(len(plans), measured, _seconds(profile, plans))


def _seconds(profile: Profile, plans: Plans) -> float | None:
    load = profile.load
    if load.measured_s is not None:
        return len(plans) * (load.warmup + load.measured_s)
    if load.loop == "closed":
        return None
    return sum(max(row.due_offset_ns or 0 for row in plan) / 1e9 for plan in plans if plan)
