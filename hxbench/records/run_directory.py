"""A run's folder as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from hxbench.plan.profile import Profile


@dataclass(frozen=True)
class Records:
    """Everything one run wrote down; the frames have the columns of `schemas`, with nullable types."""

    path: Path
    profile: "Profile"
    document: Mapping[str, Any]
    profile_sha256: str
    schedule: pd.DataFrame
    requests: pd.DataFrame
    reads: pd.DataFrame
    series: pd.DataFrame
    clock: pd.DataFrame
    phases: pd.DataFrame
    exchanges: Sequence[Mapping[str, Any]]
    ending: Mapping[str, Any]
    facts: Mapping[str, Any]
