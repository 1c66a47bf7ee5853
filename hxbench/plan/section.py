"""What every section of a profile is: frozen, strict, without keys it does not know."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yields what is not as by default: a profile has a hundred settings, of which few are given."""
        for name, value in super().__repr_args__():
            if name is None or value != type(self).model_fields[name].get_default(call_default_factory=True):
                yield name, value


def said(written: Any) -> Any:
    """Returns a field whose default is written as in a profile."""
    return Field(default=written, validate_default=True)
