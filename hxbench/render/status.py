"""How a status, a verdict and a threat look: a word for the eye that sees no colour, a symbol, a style."""

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
    "broken": Look("broken", "✕", "bad", ""),
    "unknown": Look("unknown", "?", "unsure", ""),
    "ok": Look("ok", "✓", "good", ""),
    "up": Look("up", "✓", "good", ""),
    "down": Look("down", "✕", "bad", ""),
    # how a count compares with the client's
    "equal": Look("equal", "✓", "good", ""),
    "differs": Look("differs", "✕", "bad", ""),
    "within": Look("within", "◐", "unsure", ""),
    "reset": Look("reset", "?", "unsure", ""),
    "not asked": Look("not asked", "–", "none", ""),
    # the marks of a dashboard, which are no verdicts
    "green": Look("green", "●", "good", ""),
    "yellow": Look("yellow", "▲", "unsure", ""),
    "red": Look("red", "■", "bad", ""),
    "not measured": Look("not measured", "–", "none", ""),
    "not certified here": Look("not certified here", "–", "none", ""),
}
# Of the styles where no page's style sheet is: towards the colour of the text around, dark or light.
_HUES = {"good": "#1a7f37", "bad": "#c62f28", "unsure": "#9a6700", "none": "currentColor"}
COLOURS = "".join(
    f".hx-{style}{{color:{hue};color:color-mix(in srgb,{hue} 65%,currentColor);font-weight:600}}"
    for style, hue in _HUES.items()
)


def coloured(table: str) -> str:
    """Returns a table's HTML with each cell that holds a symbol and its word in the style of both."""
    for look in _LOOKS.values():
        cell = f"{look.symbol} {look.word}"
        for text in (cell, cell.replace(" ", "\u00a0")):
            table = table.replace(f"<td>{text}</td>", f'<td class="hx-{look.style}">{text}</td>')
    return table


def looks(word: str) -> Look:
    """Returns the look of a status, a verdict or a threat's state; a word nobody knows never looks good."""
    known = _LOOKS.get(word)
    return known if known is not None else Look(word[:40], "?", "unsure", "")


def labelled(word: str) -> str:
    """Returns a word with its symbol, as a cell of a table holds it."""
    look = looks(word)
    return f"{look.symbol} {look.word}"
