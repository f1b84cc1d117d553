"""How often a query's own answer is among the ten nearest: retrieval, without a teacher.

Queries and answers are examples of the same split; the more answers there are, the harder it is.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.ops.neighbours import nearer_than_answer
from edgekd.ops.shapes import Embedding, Ids, PerExample


class RecallAt10(Config):
    """Has no options."""


@measure(config=RecallAt10, unit="share", better="higher", bounds=(0.0, 1.0), together=True)
def recall_at_10(
    _config: RecallAt10, *, student_embedding: Embedding, ids: Ids, answers: Ids
) -> PerExample:
    """Return 1 for each query that finds its own answer among the first ten, else 0."""
    return (nearer_than_answer(student_embedding, ids, answers) < 10).float()
