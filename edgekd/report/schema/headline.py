"""The first screen: the verdict, one sentence, the key figures."""

from typing import Literal

from edgekd.core.quantity import Quantity
from edgekd.report.schema.document import Document

Outcome = Literal["pass", "fail", "inconclusive", "not_judged"]


class KeyFigure(Document):
    """A number for the first screen, with the reference's beside it."""

    label: str
    measured: Quantity
    reference: Quantity | None
    """The same of the reference program, where it was measured."""
    marks: list[str]
    """What must be known of it: `emulated`, `kept from an earlier run`, `invalid`."""


class Headline(Document):
    """What a hurried reader takes away."""

    verdict: Outcome
    words: str
    """The verdict in words."""
    sentence: str
    """What was made, what it costs, what was lost."""
    program: str | None
    """The candidate that the sentence and the key figures are about."""
    target: str | None
    """The target on which its latency was taken."""
    figures: list[KeyFigure]
