"""What a profile will ask for, as text for the terminal."""

from hxbench import units
from hxbench.judge.forecast import POWER, Forecast, Outline

_HEADS = ("no miss", "1/4 missing", "1/2 missing")


def sentence(outline: Outline) -> str:
    """Returns what a run is about to ask for, in one line."""
    most = "at most " if outline.at_most else ""
    trials = f" in {outline.trials} trials" if outline.trials > 1 else ""
    warm = f", up to {units.count(outline.warmup)} more to warm up" if outline.warmup else ""
    tokens = f"{most}{units.count(outline.output_tokens)} output tokens"
    length = "the server decides how long" if outline.seconds is None else _length(outline.seconds)
    return f"planned {most}{units.count(outline.measured)} requests{trials}{warm}; {tokens}; {length}"


def _length(seconds: float) -> str:
    return f"{units.duration(seconds)} of load"


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
