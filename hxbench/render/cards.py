"""What a certificate, a verification and a plan show of themselves in a notebook and at a prompt."""

from dataclasses import fields
from html import escape
from typing import Any, TypeVar

from hxbench import units
from hxbench.judge.forecast import Forecast
from hxbench.judge.verify import Verification
from hxbench.render import plan_table, run_view, terminal
from hxbench.render.tables import Table

Card = TypeVar("Card")


class Certificate(dict[str, Any]):
    """The certificate as certificate.json holds it; shown as its card, and the keys that lead further."""

    def __repr__(self) -> str:
        return f"{run_view.card_text(self)}\nkeys: {', '.join(self)}"

    def _repr_html_(self) -> str:
        keys = " ".join(f"<code>{escape(key)}</code>" for key in self)
        return f"{run_view.card_html(self)}<p>Keys: {keys}</p>"


class VerificationCard(Verification):
    """A verification that shows a row a group of checks, and each fault."""

    def __repr__(self) -> str:
        return terminal.verification_text(self)

    def _repr_html_(self) -> str:
        rows = [
            [f"{'✕' if each.faults else '✓'} {each.name}", each.says, "; ".join(each.faults) or units.ABSENT]
            for each in self.groups
        ]
        last = repr(self).splitlines()[-1]
        notes = "".join(f"<p>note: {escape(note)}</p>" for note in self.notes)
        return (
            f"<p>{escape(last)}</p>{Table(rows, columns=['Checks', 'What', 'Faults'])._repr_html_()}{notes}"
        )


class ForecastCard(Forecast):
    """A forecast that shows how many requests each gate needs, and what a run would ask for."""

    def __repr__(self) -> str:
        return plan_table.as_text(self)

    def _repr_html_(self) -> str:
        table = Table(plan_table.rows(self), columns=plan_table.HEADS)
        return table._repr_html_() + "".join(f"<p>{escape(line)}</p>" for line in plan_table.remarks(self))


def card(kind: type[Card], found: Any) -> Card:
    """Returns a result as the kind of it that shows itself."""
    return kind(**{field.name: getattr(found, field.name) for field in fields(found)})
