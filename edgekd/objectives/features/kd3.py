"""The student's projected feature drawn to the teacher's, more so where their scores differ.

For a student of model `shared_classifier`, whose scores are then the teacher's as well: `tap:
{student: projector, teacher: <its last map>}`. It asks for no labels. Of maps that differ in size
the larger is averaged down. The rest of KD^3: `train: {select: blended_confidence}`, and
`view_contrast` at weight 0.001 with the augmentation `mix_distribution`.
"""

import torch

from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.features import apart, at_same_places
from edgekd.ops.projectors import width_of
from edgekd.ops.shapes import Features, Logits, OtherFeatures, PerExample

PAPER = Paper(
    "Distribution Shift Matters for Knowledge Distillation with Webly Collected Images",
    "2307.11469",
    "its weighted feature alignment",
)


@objective(config=Config, paper=PAPER, only_weighs=("student_logits",), teaches="shared_classifier")
def kd3(
    config: Config,  # noqa: ARG001
    *,
    student_feature: Features,
    teacher_feature: OtherFeatures,
    student_logits: Logits,
    teacher_logits: Logits,
) -> PerExample:
    r"""Return $\sigma(\|z_s - z_t\|_2)\,\overline{(P(f_s) - f_t)^2}$, the weight without gradient.

    StageError where the widths differ.
    """
    own, wanted = at_same_places(student_feature.float(), teacher_feature.float())
    widths = [width_of(feature.shape[1:]) for feature in (own, wanted)]
    if widths[0] != widths[1]:
        raise StageError(
            f"the student's feature is {widths[0]} wide and the teacher's {widths[1]}.",
            "Let the student be {kind: shared_classifier, ...} and tap {student: projector}.",
        )
    gap = (student_logits.float() - teacher_logits.float()).detach()
    weight: PerExample = torch.linalg.vector_norm(gap, dim=-1).sigmoid()
    return weight * apart(own, wanted)
