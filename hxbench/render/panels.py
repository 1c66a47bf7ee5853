"""The panels and marks of a run as tables, frame and metrics."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hxbench.judge.panels import LEVELS, MARKS, NAMES, NOT_HERE, Number, levels, performance
from hxbench.render import ci_files, openmetrics, wording
from hxbench.render.status import labelled
from hxbench.render.tables import Table

# what a CI wrote -> how it is read, what it is
_READ: dict[str, tuple[ci_files.Read, str]] = {
    "coverage": (ci_files.coverage, "the JSON of `coverage json`"),
    "audit": (ci_files.audit, "the JSON of `pip-audit --format json`"),
    "security": (ci_files.security, "JUnit XML of security tests"),
    "compliance": (ci_files.compliance, "JUnit XML of a compliance list"),
}
_OF = {
    "vulnerability_count": "audit",
    "security_test_pass_rate": "security",
    "compliance_score": "compliance",
}


class Panels:
    """The four panels of a dashboard for one run, and the marks on their numbers."""

    def __init__(
        self,
        certificate: Mapping[str, Any],
        *,
        coverage: str | Path = "",
        audit: str | Path = "",
        security: str | Path = "",
        compliance: str | Path = "",
    ) -> None:
        """Takes files that a CI wrote, empty for none.

        The JSON of `coverage json` and of `pip-audit --format json`, JUnit XML of security tests and of a
        compliance list.
        Raises: InputError when a file is not what it is said to be.
        """
        self._certificate = certificate
        files = {"coverage": coverage, "audit": audit, "security": security, "compliance": compliance}
        found = [*performance(certificate)]
        for kind, path in files.items():
            found += _READ[kind][0](Path(path)) if str(path) else ()
        known = {each.name: each for each in found}
        self.numbers = [known.get(name) or Number(name, None, _wanted(name)) for name in NAMES]
        """Each number by its name in base units; of one that was not measured None."""

    @property
    def frame(self) -> pd.DataFrame:
        """panel, name, value (in the unit of the name), mark, says; NaN and no mark where not measured."""
        rows = [[each.panel, each.name, each.exported, _mark(each), each.says] for each in self.numbers]
        columns = ["panel", "name", "value", "mark", "says"]
        return pd.DataFrame(rows, columns=columns).astype({"value": "float64"})

    @property
    def marks(self) -> Table:
        """Green, yellow or red of each number that has marks, as ready text. Marks are no verdicts."""
        rows = [
            [_words(each.name), wording.amount(each.value, each.unit), *_edges(each), labelled(_mark(each))]
            for each in self.numbers
            if each.name in MARKS
        ]
        return Table(rows, columns=["What", "Measured", "Green", "Yellow", "Red", "Mark"])

    @property
    def table(self) -> Table:
        """The four panels as ready text."""
        return Table(list(self._rows()), columns=["Panel", "Name", "Value", "What it is"])

    def metrics(self) -> str:
        """Returns the panels as OpenMetrics text, by these names; what was not measured has no sample."""
        return openmetrics.panels_text(self._certificate, self.numbers)

    def _rows(self) -> Iterator[list[str]]:
        for each in self.numbers:
            value = "not measured" if each.value is None else wording.amount(each.value, each.unit)
            yield [each.panel.capitalize(), each.name, value, each.says]
        for level, status in levels(self._certificate).items():
            says = "of this run" if status else "no certificate of this level was made here"
            yield ["Certification", f"level {level} of {len(LEVELS)}", labelled(status or NOT_HERE), says]

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def _wanted(name: str) -> str:
    kind = _OF.get(name, "coverage")
    return f"give {kind}: {_READ[kind][1]}"


def _mark(number: Number) -> str:
    return MARKS[number.name].of(number.value) if number.name in MARKS else ""


def _edges(number: Number) -> tuple[str, str, str]:
    """Returns up to where a mark is green, the number within yellow, and from where it is red."""
    mark = MARKS[number.name]
    first, last = ("≤", "≥") if mark.green < mark.red else ("≥", "≤")
    green, yellow, red = (wording.amount(each, mark.unit) for each in (mark.green, mark.yellow, mark.red))
    return f"{first} {green}", yellow, f"{last} {red}"


def _words(name: str) -> str:
    return name.removesuffix("_ms").removesuffix("_percentage").replace("_", " ").capitalize()
