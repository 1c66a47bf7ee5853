"""XML whose every text is legal and escaped, whatever it quotes."""

import re
from typing import Any
from xml.etree import ElementTree

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def element(tag: str, text: str | None = None, **attributes: Any) -> ElementTree.Element:
    """Returns an element; what XML does not allow in a text is replaced, `_` in a name becomes `-`."""
    legal = {name.replace("_", "-"): _legal(value) for name, value in attributes.items()}
    made = ElementTree.Element(tag, legal)
    made.text = None if text is None else _legal(text)
    return made


def document(root: ElementTree.Element) -> str:
    """Returns an XML file, indented."""
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _legal(value: Any) -> str:
    return _ILLEGAL.sub("�", str(value))
