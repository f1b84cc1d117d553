"""Squared error between the student's and the teacher's probabilities, for self-distillation.

A model of the same kind is trained again on a blend of labels and its own answers: `brier` with the
share of the labels as its weight, and this with the rest; both together have the gradient of one
squared error against the blended target. A stage `mixed_targets` finds the best share in closed
form and keeps such targets: then this term stands alone.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Logits, PerExample

PAPER = Paper(
    "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen Regularization Imposed by "
    "Self-Distillation",
    "2102.13088",
    "section 5",
)


class SelfKD(Config):
    """Has no options."""


@objective(
    config=SelfKD,
    paper=PAPER,
    tries=([{"kind": "brier", "weight": 0.5}, {"kind": "selfkd", "weight": 0.5}],),
)
def selfkd(_config: SelfKD, *, student_logits: Logits, teacher_logits: Logits) -> PerExample:
    r"""Return the mean over the C classes of $(p_c - q_c)^2$ per example, q the teacher's."""
    probs = student_logits.float().softmax(-1)
    return (probs - teacher_logits.detach().float().softmax(-1)).square().mean(-1)
