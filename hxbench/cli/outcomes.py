"""What became of each of several profiles or runs: a line each, and the worst of their exit statuses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from hxbench.cli import failures

_FROM_WORST = (4, 1, 3, 0)
_NOT_DONE = 4  # of one among several: others were started, so it is not 2


@dataclass(frozen=True)
class Outcome:
    """What became of one: `said` is why it came to no certificate."""

    name: str
    run: Path | None
    status: int = 0
    said: str | None = None

    def rendered(self, status: int, said: str | None) -> "Outcome":
        """Returns the outcome of its rendering; one that wrote no certificate is not done."""
        if said is None and status in _FROM_WORST:
            return replace(self, status=status)
        return self.not_done(said or f"its rendering ended with status {status}")

    def not_done(self, why: str) -> "Outcome":
        """Returns the outcome of one that came to nothing after all."""
        return replace(self, status=_NOT_DONE, said=why)

    def certificate(self) -> dict[str, Any] | None:
        """Returns what the rendering wrote; None of one that is not done."""
        if self.run is None or self.said is not None:
            return None
        made: dict[str, Any] = json.loads((self.run / "certificate.json").read_text(encoding="utf-8"))
        return made


def broken(name: str, error: Exception) -> Outcome:
    """Returns the outcome of one that an error ended, and says it."""
    said, _ = failures.line_and_status(error)
    say(said)
    return Outcome(name, None, _NOT_DONE, said.removeprefix("hxbench: "))


def shown(done: Sequence[Outcome], *, as_json: bool) -> int:
    """Prints one line for each and returns the worst exit status."""
    click.echo(_as_json(done) if as_json else _as_text(done))
    return min((each.status for each in done), key=_FROM_WORST.index)


def _as_json(done: Sequence[Outcome]) -> str:
    rows = [
        {
            "name": each.name,
            "run": None if each.run is None else str(each.run),
            "exit_status": each.status,
            "error": each.said,
            "certificate": each.certificate(),
        }
        for each in done
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def _as_text(done: Sequence[Outcome]) -> str:
    from hxbench.render.tables import aligned

    return "\n".join(aligned([_row(each) for each in done]))


def _row(outcome: Outcome) -> list[str]:
    from hxbench.render import wording
    from hxbench.render.status import looks

    certificate = outcome.certificate()
    if certificate is None or outcome.run is None:
        return [
            "! NOT DONE",
            outcome.name,
            outcome.said or "",
            "" if outcome.run is None else str(outcome.run),
        ]
    look, page = looks(certificate["status"]), outcome.run / "certificate.html"
    return [f"{look.symbol} {look.word}", outcome.name, wording.counts(certificate), str(page)]


def say(text: str) -> None:
    """Says a line to whoever watches; stdout is for what was asked."""
    click.echo(text, err=True)
