"""How trainings went, and what they took."""

from edgekd.report.schema.document import Document


class Epoch(Document):
    """One pass over the training data."""

    epoch: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    spreads: dict[str, float] = {}
    """Standard deviation over the epoch's batches of each term, where the training told it."""
    validation: dict[str, float]


class TrainingCost(Document):
    """What a training took, when it was run; a run that was interrupted counts from its last."""

    precision: str
    """What the student multiplied in, and why."""
    samples_per_s: float
    """Examples per second of training; the first step, scoring and checkpoints do not count."""
    time_shares: dict[str, float]
    """Of a step: data, teacher, student, objective, optimizer."""
    first_step_s: float
    peak_memory_mib: float
    """Of one process."""
    processes: int = 1
    """How many trained together."""


class Training(Document):
    """How a stage's training went."""

    stage: str
    monitor: str
    """The validation score that chose the epoch."""
    best_epoch: int
    epochs: list[Epoch]
    cost: TrainingCost | None = None
