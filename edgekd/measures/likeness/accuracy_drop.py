"""How much accuracy the program loses against the reference, on the same examples.

Paired example by example: most examples are answered alike, so the interval is much narrower
than that of two separate accuracies.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.ops.shapes import Labels, Logits, PerExample


class AccuracyDrop(Config):
    """Has no options."""


@measure(config=AccuracyDrop, unit="share_difference", better="lower", bounds=(-1.0, 1.0))
def accuracy_drop(
    _config: AccuracyDrop, *, student_logits: Logits, teacher_logits: Logits, labels: Labels
) -> PerExample:
    """Return 1 where only the reference is right, -1 where only the program is, else 0."""
    right, reference = (logits.argmax(-1) == labels for logits in (student_logits, teacher_logits))
    return reference.float() - right.float()
