"""What a profile will ask for, as text for the terminal."""

from hxbench import units
from hxbench.judge.forecast import POWER, Forecast
from hxbench.plan.outline import Look, Outline
from hxbench.render.outline import sentence

HEADS = ["Requests needed to pass", "no miss", "1/4 missing", "1/2 missing"]


def as_text(found: Forecast) -> str:
    """Returns what each gate needs, what is planned, what it costs, and what it cannot decide."""
    lines = [
        f"{name:<28}" + "".join(f"{cell:>13}" for cell in cells) for name, *cells in (HEADS, *rows(found))
    ]
    needs, *rest = remarks(found)
    return "\n".join([*lines, needs, "", *rest])


def rows(found: Forecast) -> list[list[str]]:
    """Returns a row a gate: its name, and the requests it needs without a miss and with some."""
    return [
        [f"  {each.gate}", *map(units.count, (each.fewest, each.missing_quarter, each.missing_half))]
        for each in found.needs
    ]


def remarks(found: Forecast) -> list[str]:
    """Returns what belongs below the table, a sentence a line; the first says what the table means."""
    hopeless = [f"cannot be decided: {each}" for each in found.unanswerable]
    trials = found.outline.trials
    several = f" and Student's factor of {trials} trials" if trials > 1 else ""
    return [
        f"the share missing is of what the limit allows; at {units.share(POWER)} power, "
        f"times an inflation of {units.number(found.inflation)}{several}",
        sentence(found.outline),
        *_samples(found),
        *_looks(found),
        "prompt tokens are not known before a server counts them",
        _cost(found.outline),
        *(hopeless or ["every limit can be decided by so many requests"]),
    ]


def _samples(found: Forecast) -> list[str]:
    """Returns what limits on Prometheus' values need, which no number of requests decides."""
    if not found.samples:
        return []
    planned = found.samples[0].planned
    in_all = "as many as the server takes time for" if planned is None else units.count(planned)
    needed = ", ".join(f"{each.gate} {each.needed}" for each in found.samples)
    return [f"samples of Prometheus in each window: {in_all}; needed: {needed}"]


def _looks(found: Forecast) -> list[str]:
    """Returns where the run may end, of one that is looked at more than once."""
    looks = found.outline.looks
    if len(looks) < 2:
        return []
    ends = ", or ".join(_asked_by(look, at_most=found.outline.at_most) for look in looks)
    passing, failing = units.share(found.alpha_pass), units.share(found.alpha_fail)
    return [
        f"ends at the first look that decides every limit: {ends}",
        f"each of the {len(looks)} looks errs with {passing} for a PASS, {failing} for all FAILs",
    ]


def _asked_by(look: Look, *, at_most: bool) -> str:
    most = "at most " if at_most else ""
    length = "" if look.seconds is None else f" in {units.duration(look.seconds)}"
    return f"after {look.trials} trials ({most}{units.count(look.measured)} requests{length})"


def _cost(outline: Outline) -> str:
    if outline.output_cost is None:
        return "cost is not known: the profile has no cost.output_per_million"
    most = "at most " if outline.at_most else ""
    return (
        f"output tokens cost {most}{units.number(outline.output_cost)} USD, prompts and warm-up come on top"
    )
