"""Says, with evidence, whether an LLM inference server is good enough to ship."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hxbench.workbench import Run, certify, judge, open, plan, render, run, sign, verify

__version__ = "0.1.0"
__all__ = ["Run", "certify", "judge", "open", "plan", "render", "run", "sign", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("hxbench.workbench"), name)
    raise AttributeError(f"module 'hxbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
