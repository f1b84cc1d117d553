"""How often the program chooses the same class as the reference."""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.ops.shapes import Logits, PerExample


class Agreement(Config):
    """Has no options."""


@measure(config=Agreement, unit="share", better="higher", bounds=(0.0, 1.0))
def agreement(_config: Agreement, *, student_logits: Logits, teacher_logits: Logits) -> PerExample:
    """Return 1 for each example on which both choose the same class, else 0."""
    return (student_logits.argmax(-1) == teacher_logits.argmax(-1)).float()
