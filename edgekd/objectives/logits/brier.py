"""Squared error of the student's probabilities against the labels: the Brier score.

It stands in for cross-entropy where errors are to count evenly, as in self-distillation beside
`selfkd`, and is kinder to wrong labels.
"""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import ClassShares, Labels, Logits, PerExample

PAPER = Paper(
    "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen Regularization Imposed by "
    "Self-Distillation",
    "2102.13088",
    "section 5",
)


class Brier(Config):
    """Has no options."""


@objective(config=Brier, paper=PAPER, mixed_labels=True)
def brier(_config: Brier, *, student_logits: Logits, labels: Labels | ClassShares) -> PerExample:
    r"""Return the mean over the C classes of $(p_c - y_c)^2$ per example."""
    probs = student_logits.float().softmax(-1)
    hard = not labels.is_floating_point()
    target = F.one_hot(labels.long(), probs.shape[-1]) if hard else labels
    return (probs - target).square().mean(-1)
