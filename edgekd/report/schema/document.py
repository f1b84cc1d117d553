"""What every part of the report is made of."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A frozen, closed part of the report; the text under a field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
