"""How alike program and reference rank all examples by nearness to each: Spearman's correlation.

Needs no labels and no equal widths. Values of different examples share what they are compared
with, so an interval that takes them for independent is somewhat too narrow.
"""

from edgekd.core.config import Config, PositiveCount
from edgekd.core.kinds import measure
from edgekd.ops.neighbours import rank_correlation
from edgekd.ops.shapes import Embedding, OtherEmbedding, PerExample


class RankAgreement(Config):
    """What is ranked."""

    most: PositiveCount = 2000
    """Examples that each is compared with; of more, evenly spaced ones."""


@measure(config=RankAgreement, unit="", better="higher", bounds=(-1.0, 1.0), together=True)
def rank_agreement(
    config: RankAgreement, *, student_embedding: Embedding, teacher_embedding: OtherEmbedding
) -> PerExample:
    """Return for each example the correlation of the ranks of the others' cosines, in [-1, 1]."""
    return rank_correlation(student_embedding, teacher_embedding, config.most)
