"""Which examples of a batch are alike, as the teacher has it: similarity-preserving distillation.

Only scalar products within the batch are taught, so shapes may differ. Of several processes, and
of a batch that is learned from in parts, they are those of the part.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.features import apart
from edgekd.ops.shapes import Features, OtherFeatures, PerExample
from edgekd.ops.similarities import similarities

PAPER = Paper("Similarity-Preserving Knowledge Distillation", "1907.09682", "equations 2 to 4")


class SPKD(Config):
    """Has no options; the weight that belongs to it is large: 3,000 in the authors' trials."""


@objective(
    config=SPKD,
    paper=PAPER,
    tries=(["cross_entropy", {"kind": "spkd", "weight": 300, "tap": "vectors"}],),
)
def spkd(_config: SPKD, *, student_feature: Features, teacher_feature: OtherFeatures) -> PerExample:
    r"""Return $\frac1b \sum_j (\tilde G^s_{ij} - \tilde G^t_{ij})^2$ for each of the b examples i.

    $G = F F^\top$ of the flattened features F, and the tilde divides each row by its Euclidean
    norm. The mean over i is the paper's $\frac1{b^2} \|\tilde G^t - \tilde G^s\|_F^2$.
    """
    return apart(similarities(student_feature.float()), similarities(teacher_feature.float()))
