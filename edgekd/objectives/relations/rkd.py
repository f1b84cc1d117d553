"""Distances and angles between the examples of a batch, as the teacher has them.

Only how examples lie to each other is taught, so widths may differ. The triples take memory with
the cube of the batch: `angle: 0` leaves them out. Of several processes, and of a batch that is
learned from in parts, the relations are those of the part.
"""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Features, OtherFeatures, PerExample
from edgekd.ops.similarities import angles, relative_distances

PAPER = Paper("Relational Knowledge Distillation", "1904.05068", "equations 5 to 9")


class RKD(Config):
    """What each relation counts."""

    distance: NonNegative = 25.0
    """Weight of the distances of pairs."""
    angle: NonNegative = 50.0
    """Weight of the angles of triples."""


@objective(config=RKD, paper=PAPER, tries=(["cross_entropy", {"kind": "rkd", "tap": "vectors"}],))
def rkd(config: RKD, *, student_feature: Features, teacher_feature: OtherFeatures) -> PerExample:
    r"""Return the part of each example i in $w_d L_D + w_a L_A$; their mean is the loss.

    $L_D$ is the mean of $\ell(d^s_{ij}, d^t_{ij})$ over j, d the Euclidean distance over its mean
    in the batch; $L_A$ that of $\ell(\cos^s_{jik}, \cos^t_{jik})$ over j and k, the angle at i;
    $\ell$ is Huber's loss with $\delta = 1$. Pairs of an example with itself count as equal.
    """
    student, teacher = student_feature.float(), teacher_feature.float()
    pairs = F.smooth_l1_loss(
        relative_distances(student), relative_distances(teacher), reduction="none"
    )
    loss = config.distance * pairs.mean(1)
    if config.angle:
        triples = F.smooth_l1_loss(angles(student), angles(teacher), reduction="none")
        loss = loss + config.angle * triples.mean((1, 2))
    return loss
