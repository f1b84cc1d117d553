"""Which of the batch's other examples lie near: the teacher's view of it, taught by a divergence.

Only the order and spacing of neighbours is taught and no direction, so student and teacher may
have different widths. Departs from the paper: its anchors are a queue of many thousand examples,
here they are the other examples of the batch; larger batches tell more. Where several processes
train together, or a batch is learned from in parts, the neighbours are those of the part.
"""

from jaxtyping import Float
from torch import Tensor

from edgekd.core.config import Config, Positive
from edgekd.core.kinds import objective
from edgekd.core.registry import Paper
from edgekd.ops.divergence import divergence
from edgekd.ops.neighbours import cosines
from edgekd.ops.shapes import Embedding, OtherEmbedding, PerExample

PAPER = Paper(
    "CompRess: Self-Supervised Learning by Compressing Representations", "2010.14713", "section 3"
)


class EmbeddingNeighbours(Config):
    """Options of the divergence."""

    temperature: Positive = 0.04
    """Divides the cosines; lower looks at the nearest neighbours alone."""


@objective(
    config=EmbeddingNeighbours, paper=PAPER, tries=(["embedding_cosine", "embedding_neighbours"],)
)
def embedding_neighbours(
    config: EmbeddingNeighbours, *, student_embedding: Embedding, teacher_embedding: OtherEmbedding
) -> PerExample:
    r"""Return $\sum_j q_{ij} (\log q_{ij} - \log p_{ij})$ for each example i, over j other than i.

    $q_{ij}$ and $p_{ij}$ are the softmax over j of the cosine between i and j, divided by the
    temperature, in the teacher's and in the student's space. An example alone has no neighbours: 0.
    """
    student, teacher = (
        _apart(cosines(embedding, embedding) / config.temperature).log_softmax(-1)
        for embedding in (student_embedding, teacher_embedding)
    )
    return divergence(teacher, student)


def _apart(square: Float[Tensor, "n n"]) -> Float[Tensor, "n others"]:
    """Return the rows of a square without their own column; by shape, so no device is waited for.

    After the first number, every (n + 1)th lies on the diagonal.
    """
    count = len(square)
    return square.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
