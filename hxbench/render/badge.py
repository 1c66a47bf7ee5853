"""The certificate as a badge: an SVG without script or font of its own."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from hxbench.render import wording
from hxbench.render.status import looks
from hxbench.render.xml_text import document, element

_HEIGHT = 20
_CHARACTER = 6.6  # of 11 px sans-serif, about; `textLength` makes whatever font there is fit
_PADDING = 8
_LONGEST = 40  # characters of a model's name
_LEFT = "#3a424b"
_RIGHT = {"good": "#146c2e", "bad": "#b3201c", "unsure": "#855300", "none": "#59636e"}  # page.css, on white


def svg(certificate: Mapping[str, Any]) -> str:
    """Returns the model beside the status, in words and by symbol; its accessible name says the same."""
    look, model = looks(certificate["status"]), _cut(str(certificate["target"]["model"]))
    name = f"hxbench: {model}, {wording.scope(certificate)}: {look.word}"
    parts = ((f"hxbench {model}", _LEFT), (f"{look.symbol} {look.word}", _RIGHT[look.style]))
    widths = [round(len(text) * _CHARACTER + 2 * _PADDING) for text, _ in parts]
    root = element(
        "svg", xmlns="http://www.w3.org/2000/svg", width=sum(widths), height=_HEIGHT, role="img",
        aria_label=name,
    )  # fmt: skip
    root.append(element("title", name))
    x = 0
    for (text, colour), width in zip(parts, widths, strict=True):
        root.extend(_half(text, colour, x, width))
        x += width
    return document(root)


def _half(text: str, colour: str, x: int, width: int) -> list[ElementTree.Element]:
    inner = width - 2 * _PADDING
    return [
        element("rect", x=x, width=width, height=_HEIGHT, fill=colour),
        element(
            "text", text, x=x + _PADDING, y=14, textLength=inner, lengthAdjust="spacingAndGlyphs",
            fill="#ffffff", font_family="Verdana, DejaVu Sans, sans-serif", font_size=11,
        ),
    ]  # fmt: skip


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
