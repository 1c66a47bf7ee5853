"""How long a user of a closed loop thinks before the next request: always the same time, or drawn."""

from random import Random
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import CoreSchema

from hxbench import units
from hxbench.plan.fields import DURATION, Duration
from hxbench.plan.section import Section


class Thinking(Section):
    distribution: Literal["constant", "exponential"]
    mean: Duration

    def after(self, seed: int, request_id: str) -> float:
        """Returns the seconds of thought after a request's answer: the same for the same seed and request."""
        if self.distribution == "constant":
            return self.mean
        generator = Random(f"thinking {seed} {request_id}")  # noqa: S311 - to be repeated, not to be secret
        return generator.expovariate(1 / self.mean)

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> Any:
        return units.exact(self.mean, "duration") if self.distribution == "constant" else write(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [DURATION.__get_pydantic_json_schema__(), mapping]}


def _constant(written: Any) -> Any:
    """Returns a bare duration as the distribution that it stands for."""
    if isinstance(written, dict | Thinking):
        return written
    DURATION.read(written)
    return {"distribution": "constant", "mean": written}


ThinkTime = Annotated[Thinking, BeforeValidator(_constant)]
