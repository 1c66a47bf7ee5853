"""The frame of every page: jinja with escaping on, the files in assets/, and the content-security policy."""

import base64
import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from hxbench import units
from hxbench.render import wording

_ASSETS = files("hxbench.render") / "assets"
# Control characters, those that turn the direction of the text after them, those of no width (but the two
# that join letters in some scripts), and halves of surrogate pairs, which no file takes.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_BUNDLE = "plotly-cartesian.min.js.gz"


def render(template: str, **values: Any) -> str:
    """Returns a page from assets/TEMPLATE; every value is escaped unless it is Markup.

    Characters that are not seen themselves are replaced: they could show one word as another.
    """
    return _UNSEEN.sub("�", _environment().get_template(template).render(**values))


@cache
def asset(name: str) -> str:
    """Returns the text of a file in assets/."""
    return (_ASSETS / name).read_text("utf-8")


@cache
def plotly_packed() -> str:
    """Returns the compressed plotly bundle in base64, as the page carries it."""
    return base64.b64encode((_ASSETS / _BUNDLE).read_bytes()).decode("ascii")


@cache
def plotly_bundle() -> str:
    """Returns plotly's cartesian bundle as the browser runs it."""
    return gzip.decompress((_ASSETS / _BUNDLE).read_bytes()).decode("utf-8")


def policy(*scripts: str) -> str:
    """Returns a content-security policy under which only these scripts run and nothing is fetched."""
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": units.count, "number": units.number, "together": wording.together}
    environment.globals["asset"] = asset
    return environment
