"""What was made from one stage of the file, compared over seeds."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.document import Document


class SeedScore(Document):
    """A model's score on the test split."""

    stage: str
    seed: int | None
    score: Quantity | None
    """None where the stage failed."""
    failure: str = ""
    """Why."""


class Arm(Document):
    """Stages that differ in nothing but their seed."""

    name: str
    """The first of them."""
    setting: str
    """What sets the arm apart in its group: `no_kd`, `train.learning_rate 0.01`."""
    control: bool
    scores: list[SeedScore]
    mean: Quantity | None
    """With the interval of the mean over seeds, by Student's t; None where all failed."""
    deviation: Quantity | None
    """Standard deviation over seeds; None of one."""
    difference: Quantity | None
    """Mean difference to the group's first arm over equal seeds; None for the first."""
    p: float | None
    """Two-sided, of Student's paired t-test, with Holm's correction over the group."""
    words: str
    """What the difference shows."""


class Comparison(Document):
    """All that was made from one stage of the file, scored on the test split."""

    stage: str
    measure: str
    tests: int
    """How many were made, which is what `p` is corrected for."""
    arms: list[Arm]
    """The first is what the others are compared with."""
