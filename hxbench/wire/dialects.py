"""The API dialects by the names that profiles call them."""

from collections.abc import Callable
from functools import partial

from hxbench.wire import anthropic, completions, openai
from hxbench.wire.dialect import Answer, Dialect

DIALECTS: dict[str, Dialect] = {
    "openai-chat": openai.DIALECT,
    "openai-completions": completions.DIALECT,
    "anthropic-messages": anthropic.DIALECT,
}


def answers(protocol: str, *, stream: bool) -> Callable[[], Answer]:
    """Returns what makes a new, empty answer for each request of a run."""
    return partial(DIALECTS[protocol].answer, stream=stream)
