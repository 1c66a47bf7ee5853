"""Foreign text made safe to stand in a page: markup is rebuilt from an allow-list, never passed on.

What comes out is only what was written here: listed tags with listed attributes, balanced, and escaped
text. So it does not matter whether a browser would have read the input as this tokeniser did.
"""

import re
from html import escape, unescape
from typing import Any

import mistune
from markupsafe import Markup

TEXT_LIMIT = 20_000  # characters of one output shown in a page; the notebook keeps all

_DEPTH = 100  # nested tags; deeper ones appear as text
_VOID = frozenset({"br", "hr", "img"})
_TAGS = frozenset(
    ("a", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h2",
     "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "section", "small", "span",
     "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul")
)  # fmt: skip
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)\b([^<>]*)>")  # linear: never looks beyond the next bracket
_ATTRIBUTE = re.compile(r"""([A-Za-z-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"']+)""")
_CLASS = re.compile(r"hx-[a-z0-9-]+|dataframe")
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")
_LINK = re.compile(r"(?:https?://|mailto:|#|\.{0,2}/?[\w-])[^\s\"'<>]*", re.IGNORECASE)
_SCHEME = re.compile(r"(?!https?:|mailto:)[^/?#]*:", re.IGNORECASE)
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SCROLL = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'


def clean(html: str) -> Markup:
    """Return `html` reduced to harmless markup; other tags appear as text, style sheets vanish."""
    cleaner, end = _Cleaner(), 0
    for token in _TAG.finditer(html):
        cleaner.text(unescape(html[end : token.start()]))
        cleaner.tag(token)
        end = token.end()
    cleaner.text(unescape(html[end:]))
    return Markup(cleaner.result())  # noqa: S704


def markdown(text: str) -> Markup:
    """Return Markdown as harmless markup; HTML inside it appears as text."""
    render: Any = mistune.create_markdown(escape=True, plugins=["table"])
    return clean(render(text))


def plain(text: str) -> str:
    """Return terminal text as it would stand there: no colours, overwritten lines gone, cut when endless."""
    lines = (line.rsplit("\r", 1)[-1] for line in _ANSI.sub("", text).replace("\r\n", "\n").split("\n"))
    shown = _CONTROL.sub("�", "\n".join(lines))
    if len(shown) <= TEXT_LIMIT:
        return shown
    return f"{shown[:TEXT_LIMIT]}\n[cut here: {len(shown)} characters in all, the notebook holds them]"


class _Cleaner:
    def __init__(self) -> None:
        self._out: list[str] = []
        self._open: list[str] = []
        self._in_style = False

    def result(self) -> str:
        return "".join(self._out) + "".join(_closing(tag) for tag in reversed(self._open))

    def text(self, text: str) -> None:
        if not self._in_style:
            self._out.append(escape(text))

    def tag(self, token: re.Match[str]) -> None:
        name = token[2].lower()
        name = "h2" if name == "h1" else name  # the page has its own
        if name == "style":
            self._in_style = not token[1]
        elif name not in _TAGS:
            self.text(token[0])
        elif token[1]:
            self._end(name)
        else:
            self._start(name, token)

    def _start(self, name: str, token: re.Match[str]) -> None:
        attributes = {
            key.lower(): unescape(value.strip("\"'")) for key, value in _ATTRIBUTE.findall(token[3])
        }
        foreign = name == "img" and not _IMAGE.fullmatch(attributes.get("src", ""))
        if foreign or self._in_style or len(self._open) >= _DEPTH:
            self.text(token[0])
            return
        self._out.append(f"{_SCROLL if name == 'table' else ''}<{name}{_kept(name, attributes)}>")
        if name not in _VOID:
            self._open.append(name)

    def _end(self, name: str) -> None:
        while name in self._open:
            last = self._open.pop()
            self._out.append(_closing(last))
            if last == name:
                break


def _closing(tag: str) -> str:
    return "</table></div>" if tag == "table" else f"</{tag}>"


def _kept(tag: str, attributes: dict[str, str]) -> str:
    kept = {"class": " ".join(name for name in attributes.get("class", "").split() if _CLASS.fullmatch(name))}
    if tag in ("td", "th"):
        kept |= {name: _digits(attributes.get(name, "")) for name in ("colspan", "rowspan")}
        kept["scope"] = attributes.get("scope", "") if attributes.get("scope") in ("row", "col") else ""
    elif tag == "img":
        kept |= {"src": attributes["src"], "alt": attributes.get("alt") or "Image"}
    elif tag == "a":
        kept |= _link(attributes.get("href", "").strip())
    return "".join(f' {name}="{escape(value)}"' for name, value in kept.items() if value)


def _digits(text: str) -> str:
    return text if re.fullmatch(r"[1-9][0-9]{0,2}", text) else ""


def _link(href: str) -> dict[str, str]:
    if _SCHEME.match(href) or not _LINK.fullmatch(href):
        return {}
    return {"href": href, "rel": "noopener noreferrer"}
