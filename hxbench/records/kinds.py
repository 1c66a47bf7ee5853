"""What a folder of evidence may be beside a run: it has a note of what was asked, and a notebook shows it.

A new kind is a line here, and one in `hxbench.folders` that says who opens it.
"""

from dataclasses import dataclass
from pathlib import Path

from hxbench.records.run_directory import ALERTS_NOTE, MEMORY_NOTE, SWEEP_NOTE

RESULT = "result.json"  # what such a folder came to, as certificate.json is what a run came to


@dataclass(frozen=True)
class Kind:
    """What a sentence calls it, the file that marks its folder, its notebook, and who opens it in Python.

    `cleared` are the notebook's parameters that would measure: empty, it opens what is there.
    """

    called: str
    note: str
    notebook: str
    opener: str
    cleared: tuple[str, ...] = ()

    @property
    def named(self) -> str:
        """Returns what it is called, with its article."""
        return f"{'an' if self.called[0] in 'aeiou' else 'a'} {self.called}"

    @property
    def page(self) -> str:
        """Returns the name of its page."""
        return f"{self.notebook}.html"

    @property
    def parameters(self) -> dict[str, str]:
        """Returns those of its notebook, which lies in a folder within."""
        return {"run_dir": "..", **dict.fromkeys(self.cleared, "")}


MEMORY = Kind("memory check", MEMORY_NOTE, "memory", "hx.open_memory")
SWEEP = Kind("sweep", SWEEP_NOTE, "benchmark", "hx.open_sweep", ("users", "rates"))
ALERTS = Kind("alert drill", ALERTS_NOTE, "alerts", "hx.open_alerts")
KINDS = (MEMORY, SWEEP, ALERTS)


def kind_of(folder: Path) -> Kind | None:
    """Returns what a folder is by its note; None of a run, and of anything else."""
    return next((kind for kind in KINDS if (folder / kind.note).is_file()), None)
