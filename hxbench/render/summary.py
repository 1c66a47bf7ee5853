"""The certificate as Markdown, for a CI job's summary."""

import re
from collections.abc import Mapping
from typing import Any

from hxbench.render import wording
from hxbench.render.status import looks
from hxbench.render.tables import verdict_table

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~#&$!@])")


def markdown(certificate: Mapping[str, Any]) -> str:
    """Returns status, reason and a table of verdicts, what did not pass first; foreign text stays text."""
    look, model = looks(certificate["status"]), certificate["target"]["model"]
    table = verdict_table(certificate).drop(columns=["n"])
    lines = [
        f"## {look.symbol} {_text(look.word)}: {_text(model)}, {_text(wording.scope(certificate))}",
        "",
        _text(certificate["status_reason"]),
        "",
        _row(table.columns.tolist()),
        _row(["---"] * len(table.columns), escaped=True),
        *(_row(cells) for cells in table.values.tolist()),
        "",
        f"{_text(wording.counts(certificate))}. Run {_text(certificate['run'])}, profile "
        f"{_text(certificate['profile']['name'])} (SHA-256 {_text(certificate['profile']['sha256'])}).",
    ]
    return "\n".join([*lines, *(f"\n> {_text(note)}" for note in certificate["notes"]), ""])


def _row(cells: list[str], *, escaped: bool = False) -> str:
    return f"| {' | '.join(cells if escaped else map(_text, cells))} |"


def _text(value: Any) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(str(value).split()))
