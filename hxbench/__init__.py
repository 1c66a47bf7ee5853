"""Says, with evidence, whether an LLM inference server is good enough to ship."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hxbench.drill import Drill, alerts, open_alerts
    from hxbench.folders import judge, render, sign, verify
    from hxbench.footprint import Memory, memory, open_memory
    from hxbench.sweeping import Sweep, open_sweep, sweep
    from hxbench.workbench import Run, certify, open, plan, run

__version__ = "0.1.0"
_ELSEWHERE = {
    **dict.fromkeys(("Sweep", "open_sweep", "sweep"), "sweeping"),
    **dict.fromkeys(("Memory", "memory", "open_memory"), "footprint"),
    **dict.fromkeys(("Drill", "alerts", "open_alerts"), "drill"),
    **dict.fromkeys(("judge", "render", "sign", "verify"), "folders"),
}  # than in workbench
__all__ = [
    "Drill",
    "Memory",
    "Run",
    "Sweep",
    "alerts",
    "certify",
    "judge",
    "memory",
    "open",
    "open_alerts",
    "open_memory",
    "open_sweep",
    "plan",
    "render",
    "run",
    "sign",
    "sweep",
    "verify",
]


class _Face(ModuleType):
    """This package: `judge`, `plan` and `render` stay functions when the rooms of that name come in."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"hxbench.{_ELSEWHERE.get(name, 'workbench')}"), name)
    raise AttributeError(f"module 'hxbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
