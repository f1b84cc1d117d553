"""Centred kernel alignment: the examples of a batch lie to each other as the teacher has them.

Shapes may differ. With weight 0 nothing is taught, and the history tells epoch by epoch how far
the features of both are alike. Of several processes, and of a batch that is learned from in parts,
it is that of the part.
"""

from jaxtyping import Float
from torch import Tensor

from edgekd.core.config import Config
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.shapes import Features, OtherFeatures
from edgekd.ops.similarities import aligned

PAPER = Paper("Similarity of Neural Network Representations Revisited", "1905.00414", "section 3")


class CKA(Config):
    """Has no options."""


@objective(config=CKA, paper=PAPER)
def cka(
    _config: CKA, *, student_feature: Features, teacher_feature: OtherFeatures
) -> Float[Tensor, ""]:
    r"""Return $1 - \|Y^\top X\|_F^2 / (\|X^\top X\|_F \|Y^\top Y\|_F)$ of the centred features.

    X and Y are the flattened features of student and teacher, in [0, 1]: 0 where each is the other
    turned and scaled. Of a batch of n examples in d dimensions where n is not much larger than d,
    it comes out too near to 0.
    """
    flat = (feature.float().flatten(1) for feature in (student_feature, teacher_feature))
    return 1 - aligned(*flat).mean()
