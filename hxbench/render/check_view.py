"""What a memory check and an alert drill have in common: a folder that is opened, judged anew, and shown."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from hxbench.judge.results import document
from hxbench.judge.verdicts import Verdict
from hxbench.plan.layers import resolve, written_sha256
from hxbench.plan.profile import Profile
from hxbench.records import run_directory
from hxbench.records.kinds import Kind
from hxbench.render.run_view import Result
from hxbench.render.tables import Table, aligned, verdict_table


class Check(ABC):
    """A recorded check. Nothing here needs a server; every number comes anew from the records."""

    kind: ClassVar[Kind]

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def profile(self) -> Profile:
        return resolve(self.path / "profile.yaml").profile

    @cached_property
    def profile_sha256(self) -> str:
        return written_sha256(self.path / "profile.yaml")

    @property
    def facts(self) -> Mapping[str, Any]:
        return run_directory.facts(self.path)

    @property
    def ending(self) -> Mapping[str, Any]:
        """How the recording ended: its state, why, and the signal that stopped it if one did."""
        return run_directory.ending(self.path)

    @property
    def signal(self) -> int | None:
        """The signal that stopped it; None when it went on to its end."""
        number = self.ending.get("signal")
        return None if number is None else int(number)

    @property
    @abstractmethod
    def found(self) -> Sequence[Verdict]:
        """The verdicts."""

    @property
    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """What they rest on, in base units."""

    @property
    @abstractmethod
    def contradictions(self) -> Sequence[str]:
        """One sentence for each thing in the records that cannot have been measured."""

    @property
    def verdicts(self) -> Table:
        """The verdicts as ready text, what did not pass first."""
        return verdict_table({"verdicts": [each.as_dict() for each in self.found], "catalogue": []})

    @cached_property
    def document(self) -> dict[str, Any]:
        """What result.json holds: status, verdicts, and the numbers that they rest on."""
        return document(self, self.kind)

    def result(self) -> Result:
        """Returns the last output of a notebook: what it came to, for whoever runs it headless."""
        return Result(self.document)

    def __repr__(self) -> str:
        rows = self.verdicts.drop(columns=["Interval", "n"])
        table = aligned([list(rows.columns), *rows.to_numpy().tolist()])
        return "\n".join([*table, f"{self.kind.called} {self.path}"])

    def _repr_html_(self) -> str:
        return self.verdicts._repr_html_()
