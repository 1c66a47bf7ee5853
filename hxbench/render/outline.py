"""What a run is about to ask for, as a sentence."""

from hxbench import units
from hxbench.plan.outline import Outline


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
