"""How much of recall at 1 the program loses against the reference, on the same queries.

Paired query by query, as accuracy_drop is example by example: the interval is narrower than that
of two separate recalls.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.ops.neighbours import nearer_than_answer
from edgekd.ops.shapes import Embedding, Ids, OtherEmbedding, PerExample


class RecallAt1Drop(Config):
    """Has no options."""


@measure(
    config=RecallAt1Drop, unit="share_difference", better="lower", bounds=(-1.0, 1.0), together=True
)
def recall_at_1_drop(
    _config: RecallAt1Drop,
    *,
    student_embedding: Embedding,
    teacher_embedding: OtherEmbedding,
    ids: Ids,
    answers: Ids,
) -> PerExample:
    """Return 1 where only the reference finds the answer, -1 where only the program, else 0."""
    found, reference = (
        (nearer_than_answer(embedding, ids, answers) < 1).float()
        for embedding in (student_embedding, teacher_embedding)
    )
    return reference - found
