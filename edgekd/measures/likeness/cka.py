"""How alike the scores of program and reference lie to each other: linear CKA of the logits.

It sees neither a turn nor a scale nor a shift of all examples. Values of different examples share
what they are compared with, so an interval that takes them for independent is somewhat too narrow.
Features inside a model are compared while it trains, by the objective of this name.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Logits, PerExample
from edgekd.ops.similarities import aligned

PAPER = Paper("Similarity of Neural Network Representations Revisited", "1905.00414", "section 3")


class CKA(Config):
    """Has no options."""


@measure(config=CKA, paper=PAPER, unit="", better="higher", bounds=(0.0, 1.0), together=True)
def cka(_config: CKA, *, student_logits: Logits, teacher_logits: Logits) -> PerExample:
    """Return what each example adds to the alignment; their mean is it, in [0, 1]."""
    rows = (logits.flatten(0, -2).double() for logits in (student_logits, teacher_logits))
    return aligned(*rows).view(student_logits.shape[:-1]).float()
