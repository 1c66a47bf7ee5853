"""What one notebook cell shows, as harmless markup; nothing of it is ever run."""

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from markupsafe import Markup

from hxbench.render.markup import clean, markdown, plain
from hxbench.render.plot_data import PLOTLY_MIME, Plot, plot

_HTML_LIMIT = 200_000  # characters; a larger output is shown as its plain text
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


def shown(output: Any, where: str) -> Markup | Plot | None:
    """Returns one output of a cell as markup or as a figure; None when it has nothing a page can show."""
    if output.output_type == "stream":
        return _stream(output.name, output.text)
    if output.output_type == "error":
        return _error(output)
    data = output.get("data", {})
    if PLOTLY_MIME in data:
        return plot(data[PLOTLY_MIME], where)
    best = next((kind for kind in _KINDS if kind in data and _fits(kind, data[kind])), None)
    return None if best is None else _KINDS[best](_joined(data[best]))


def _fits(kind: str, value: Any) -> bool:
    if kind == "text/html":
        return len(_joined(value)) <= _HTML_LIMIT
    return not kind.startswith("image/") or _BASE64.fullmatch(_joined(value)) is not None


def _joined(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def _stream(name: str, text: Any) -> Markup:
    body = escape(plain(_joined(text)).strip("\n"))
    if name == "stderr":
        return Markup(f'<details class="log"><summary>Log</summary><pre>{body}</pre></details>')  # noqa: S704
    return Markup(f"<pre>{body}</pre>")  # noqa: S704


def _error(output: Mapping[str, Any]) -> Markup:
    headline = escape(plain(f"{output['ename']}: {output['evalue']}".strip()))
    trace = escape(plain("\n".join(output.get("traceback", []))))
    return Markup(  # noqa: S704
        f'<div class="error"><pre>{headline}</pre>'
        f"<details><summary>Traceback</summary><pre>{trace}</pre></details></div>"
    )


def _image(kind: str) -> Callable[[str], Markup]:
    return lambda text: Markup(f'<img alt="Image" src="data:{kind};base64,{"".join(text.split())}">')  # noqa: S704


def _text(text: str) -> Markup:
    return Markup(f"<pre>{escape(plain(text))}</pre>")  # noqa: S704


# the best first
_KINDS: dict[str, Callable[[str], Markup]] = {
    "text/html": clean,
    "text/markdown": markdown,
    "image/png": _image("image/png"),
    "image/jpeg": _image("image/jpeg"),
    "text/plain": _text,
}
