"""What a profile will ask for, as text for the terminal."""

from hxbench import units
from hxbench.judge.forecast import POWER, Forecast
from hxbench.plan.outline import Outline
from hxbench.render.outline import sentence

_HEADS = ("no miss", "1/4 missing", "1/2 missing")


def as_text(found: Forecast) -> str:
    """Returns what each gate needs, what is planned, what it costs, and what it cannot decide."""
    worth = units.number(found.inflation)
    lines = [
        f"{'requests needed to pass':<28}" + "".join(f"{head:>13}" for head in _HEADS),
        *(
            f"  {each.gate:<26}"
            + "".join(f"{units.count(n):>13}" for n in (each.fewest, each.missing_quarter, each.missing_half))
            for each in found.needs
        ),
        f"  the share missing is of what the limit allows; at {units.share(POWER)} power, "
        f"times an inflation of {worth}",
        "",
        sentence(found.outline),
        "prompt tokens are not known before a server counts them",
        _cost(found.outline),
    ]
    hopeless = [f"cannot be decided: {each}" for each in found.unanswerable]
    return "\n".join([*lines, *(hopeless or ["every limit can be decided by so many requests"])])


def _cost(outline: Outline) -> str:
    if outline.output_cost is None:
        return "cost is not known: the profile has no cost.output_per_million"
    most = "at most " if outline.at_most else ""
    return (
        f"output tokens cost {most}{units.number(outline.output_cost)} USD, prompts and warm-up come on top"
    )
