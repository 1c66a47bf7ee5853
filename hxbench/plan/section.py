"""What every section of a profile is: frozen, strict, without keys it does not know."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def said(written: Any) -> Any:
    """Returns a field whose default is written as in a profile."""
    return Field(default=written, validate_default=True)
