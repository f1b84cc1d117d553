"""The teacher's scores as a target in which the true class counts more: OFA's loss of the head.

For networks of different families. Gamma above 1 trusts the label more and the teacher's other
classes less; at 1 it is the divergence of `kd` at temperature 1, but for a constant. The power of
the other classes is that of the authors' code; in their paper it is 1. Cross-entropy belongs beside
it, and `ofa_branch` for features inside of the student.
"""

from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import ClassShares, Labels, Logits, PerExample
from edgekd.ops.targets import EnhancedTarget, enhanced, weighted_cross_entropy

PAPER = Paper(
    "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
    "2310.19444",
    "its target enhancement loss",
)


class OFA(EnhancedTarget):
    """Options of the target."""


@objective(
    config=OFA,
    paper=PAPER,
    mixed_labels=True,
    tries=(["cross_entropy", "ofa"], ["cross_entropy", {"kind": "ofa", "gamma": 1.5}]),
)
def ofa(
    config: OFA,
    *,
    student_logits: Logits,
    teacher_logits: Logits,
    labels: Labels | ClassShares,
) -> PerExample:
    r"""Return $-\sum_c w_c \log p_c$ per example, w = $(q + y)^\gamma - y$ with y the true class.

    p and q are the student's and the teacher's softened probabilities. Of mixed labels the class
    with the larger share is the true one.
    """
    weights = enhanced(config, teacher_logits, labels)
    return weighted_cross_entropy(student_logits, weights, config.temperature)
