"""How often a query's own answer is the nearest of all answers: retrieval, without a teacher.

Queries and answers are examples of the same split; the more answers there are, the harder it is.
"""

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.ops.neighbours import nearer_than_answer
from edgekd.ops.shapes import Embedding, Ids, PerExample


class RecallAt1(Config):
    """Has no options."""


@measure(config=RecallAt1, unit="share", better="higher", bounds=(0.0, 1.0), together=True)
def recall_at_1(
    _config: RecallAt1, *, student_embedding: Embedding, ids: Ids, answers: Ids
) -> PerExample:
    """Return 1 for each query that finds its own answer first, else 0; answers have none."""
    return (nearer_than_answer(student_embedding, ids, answers) < 1).float()
