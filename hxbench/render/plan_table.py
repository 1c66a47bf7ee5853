"""What a profile will ask for, as text for the terminal."""

from hxbench import units
from hxbench.judge.forecast import POWER, Forecast
from hxbench.plan.outline import Outline
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
    return [
        f"the share missing is of what the limit allows; at {units.share(POWER)} power, "
        f"times an inflation of {units.number(found.inflation)}",
        sentence(found.outline),
        "prompt tokens are not known before a server counts them",
        _cost(found.outline),
        *(hopeless or ["every limit can be decided by so many requests"]),
    ]


def _cost(outline: Outline) -> str:
    if outline.output_cost is None:
        return "cost is not known: the profile has no cost.output_per_million"
    most = "at most " if outline.at_most else ""
    return (
        f"output tokens cost {most}{units.number(outline.output_cost)} USD, prompts and warm-up come on top"
    )
