"""How often work that is under way is kept, so that a run which ends early goes on from there."""

from edgekd.core.config import Config, Positive, PositiveCount


class Checkpoint(Config):
    """When a stage that trains writes down its state; it never shapes a result."""

    every_s: Positive = 30
    """Seconds between two checkpoints, so the most work that a kill costs; longer where writing
    one takes more than a twentieth of that."""
    every_steps: PositiveCount | None = None
    """Optimizer steps between two checkpoints, in addition to `every_s`."""
