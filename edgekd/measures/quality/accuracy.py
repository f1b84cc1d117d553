"""How often the class with the highest score is the true one."""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.ops.shapes import Labels, Logits, PerExample


class Accuracy(Config):
    """Has no options."""


@measure(config=Accuracy, unit="share", better="higher", bounds=(0.0, 1.0))
def accuracy(_config: Accuracy, *, student_logits: Logits, labels: Labels) -> PerExample:
    """Return 1 for each example whose highest score is that of its true class, else 0."""
    return (student_logits.argmax(-1) == labels).float()
