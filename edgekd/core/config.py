"""The frozen base of every option set."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Config(BaseModel):
    """Options that are closed (no unknown keys), frozen, and not silently converted.

    Values come from YAML, where a number is a number and a list arrives as a tuple, so a wrong
    type is an error and never a guess. The text under a field is its help.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


def _not_a_truth_value(value: object) -> object:
    """Refuse `true` where a number is wanted: Python would take it for 1."""
    if isinstance(value, bool):
        raise ValueError("expected a number, found true or false")
    return value


_Number = BeforeValidator(_not_a_truth_value)
Count = Annotated[int, _Number, Field(ge=0)]
PositiveCount = Annotated[int, _Number, Field(ge=1)]
Number = Annotated[float, _Number, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, _Number, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, _Number, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, _Number, Field(ge=0, le=1)]
"""A share of a whole, between 0 and 1."""
