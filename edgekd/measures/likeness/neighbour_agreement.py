"""How often the reference's nearest neighbour of an example is among the program's nearest few."""

from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import measure
from edgekd.ops.neighbours import nearer_than_nearest
from edgekd.ops.shapes import Embedding, OtherEmbedding, PerExample


class NeighbourAgreement(Config):
    """How many are few."""

    among: PositiveCount = 10
    """The program's nearest neighbours that are looked at."""


@measure(config=NeighbourAgreement, unit="share", better="higher", bounds=(0.0, 1.0), together=True)
def neighbour_agreement(
    config: NeighbourAgreement, *, student_embedding: Embedding, teacher_embedding: OtherEmbedding
) -> PerExample:
    """Return 1 for each example whose nearest neighbour in the reference is found, else 0."""
    return (nearer_than_nearest(student_embedding, teacher_embedding) < config.among).float()
