"""Cosine distance between the student's and the teacher's embedding of the same example.

Every direction of the teacher's space is taught, so the student's embeddings can be compared with
the teacher's own, as those that an index already holds. Needs no labels. Both must be equally
wide: a narrower student ends in a projection that stays part of it.
"""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.ops.shapes import Embedding, OtherEmbedding, PerExample


class EmbeddingCosine(Config):
    """Has no options."""


@objective(config=EmbeddingCosine, tries=(["embedding_cosine"],))
def embedding_cosine(
    _config: EmbeddingCosine, *, student_embedding: Embedding, teacher_embedding: OtherEmbedding
) -> PerExample:
    r"""Return $1 - \cos(s, t)$ per example, from 0 to 2; StageError where widths differ."""
    own, wanted = student_embedding.shape[-1], teacher_embedding.shape[-1]
    if own != wanted:
        raise StageError(
            f"the student's embedding has {own} numbers and the teacher's {wanted}.",
            "End the student with a projection to the teacher's width, or take "
            "embedding_neighbours, which compares no directions.",
        )
    return 1 - F.cosine_similarity(student_embedding, teacher_embedding, dim=-1)
