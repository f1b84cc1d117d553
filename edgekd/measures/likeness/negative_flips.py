"""How often the program is wrong where the reference is right: what an update breaks for users."""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Labels, Logits, PerExample

PAPER = Paper("Positive-Congruent Training", "2011.09161", "equation 1")


class NegativeFlips(Config):
    """Has no options."""


@measure(config=NegativeFlips, paper=PAPER, unit="share", better="lower", bounds=(0.0, 1.0))
def negative_flips(
    _config: NegativeFlips, *, student_logits: Logits, teacher_logits: Logits, labels: Labels
) -> PerExample:
    """Return 1 for each example that only the reference classifies rightly, else 0."""
    right, reference = (logits.argmax(-1) == labels for logits in (student_logits, teacher_logits))
    return (reference & ~right).float()
