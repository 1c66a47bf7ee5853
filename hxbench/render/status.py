"""How a status and a verdict look: a word for the eye that sees no colour, a symbol, a style class."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    word: str
    symbol: str
    style: str
    meaning: str


_LOOKS = {
    "CERTIFIED": Look("CERTIFIED", "✓", "good", "Every required case passed."),
    "CONDITIONAL": Look("CONDITIONAL", "◐", "unsure", "Nothing failed, but not everything could be decided."),
    "FAILED": Look("FAILED", "✕", "bad", "At least one required case failed."),
    "INCOMPLETE": Look(
        "INCOMPLETE", "!", "bad", "The run or its evidence is not whole; nothing is certified."
    ),
    "MEASURED": Look("MEASURED", "–", "none", "Measured, and not judged."),
    "PASS": Look("PASS", "✓", "good", ""),
    "FAIL": Look("FAIL", "✕", "bad", ""),
    "INCONCLUSIVE": Look("INCONCLUSIVE", "?", "unsure", ""),
    "SKIPPED": Look("SKIPPED", "–", "none", ""),
}


def looks(word: str) -> Look:
    """Returns the look of a status or verdict; a word nobody knows never looks good."""
    known = _LOOKS.get(word)
    return known if known is not None else Look(word[:40], "?", "unsure", "")
