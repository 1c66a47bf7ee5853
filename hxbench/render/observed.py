"""What the watchers of a run say of it: Prometheus, the server's own metrics, and what a CI wrote down."""

from pathlib import Path
from typing import Protocol

import pandas as pd

from hxbench.render import tables
from hxbench.render.cards import Certificate
from hxbench.render.frames import Frames
from hxbench.render.panels import Panels


class Judged(Protocol):
    """What it is made from."""

    @property
    def frames(self) -> Frames: ...
    @property
    def certificate(self) -> Certificate: ...


class Observed:
    """The part of a run that the notebook `observability` shows."""

    @property
    def services(self: Judged) -> pd.DataFrame | None:
        """Whether Prometheus found each service up; None of a run that asked for none."""
        return tables.service_table(self.frames.services())

    @property
    def asked(self: Judged) -> pd.DataFrame | None:
        """What Prometheus was asked and how much it gave; None of a run without one."""
        return tables.asked_table(self.certificate)

    @property
    def reconciled(self: Judged) -> pd.DataFrame:
        """What client, server and Prometheus counted of this run, side by side, as ready text."""
        return tables.reconciled_table(self.frames.reconciled())

    def panels(self: Judged, **files: str | Path) -> Panels:
        """Returns the four panels of a dashboard and their marks; `files` as `render.panels.Panels` takes."""
        return Panels(self.certificate, **files)
