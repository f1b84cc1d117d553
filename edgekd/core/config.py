"""The frozen base of every option set."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, core_schema

LONGEST_NAME, LONGEST_PATH = 255, 3000
"""Bytes that a file system takes; the folder of the pipeline comes before a path."""


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
Count = Annotated[int, Field(ge=0), _Number]
PositiveCount = Annotated[int, Field(ge=1), _Number]
Number = Annotated[float, Field(allow_inf_nan=False), _Number]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), _Number]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), _Number]
Share = Annotated[float, Field(ge=0, le=1), _Number]
"""A share of a whole, between 0 and 1."""
Decay = Annotated[float, Field(ge=0, lt=1), _Number]
"""What a running average keeps of itself in each step: never all."""


def _own(value: str) -> Path:
    """Return a path with the home folder in it; ValueError where no file can have that name."""
    if "\0" in value:
        raise ValueError("a path holds no NUL character")
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:  # there is no such user
        raise ValueError(f"'{value}': {error}".rstrip(".")) from error
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise ValueError(f"a name in a path has at most {LONGEST_NAME} bytes")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(f"a path has at most {LONGEST_PATH} bytes")
    return path


class LocalPath(str):
    """A file or folder of the user: `~` is their home, a relative path is beside the pipeline.

    What it holds, and not where it lies, decides whether a kept result still stands.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def place(value: str, info: ValidationInfo) -> LocalPath:
            context: Any = info.context or {}
            return cls(Path(context.get("beside", ".")).joinpath(_own(value)))

        return core_schema.with_info_after_validator_function(place, core_schema.str_schema())
