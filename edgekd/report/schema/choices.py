"""What stages chose: candidates by measurement, examples to be labelled."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.document import Document


class Tried(Document):
    """A candidate that a stage measured to choose among several."""

    name: str
    became: str
    """`chosen`, or why it was not."""
    quantities: dict[str, Quantity]
    """On the validation split, by gate name; what it was not measured by is absent."""
    restarts: int
    """Fresh processes in which it was timed."""


class Choice(Document):
    """What a stage chose by measurement, and among what."""

    stage: str
    targets: list[str]
    says: str
    quality_name: str
    max_drop: float
    """Most that the quality may fall, in its own unit."""
    tried: list[Tried]
    """The fastest first; those that were not timed last."""
    marks: list[str]
    """Why its latencies need care: `kept from an earlier run`."""


class Selected(Document):
    """Which training examples a stage chose to be labelled."""

    stage: str
    strategy: str
    seed: int | None
    taken: list[int]
    """Ids of the training split, in the order in which they were chosen."""
    classes: dict[str, int]
    """How many of them turned out to be of each class."""
    labelled: int
    """All that are labelled now."""
    left: int
    """The rest of the training split."""
    learned: dict[str, Quantity]
    """The score on the test split of each stage that learned from the labels so far."""
