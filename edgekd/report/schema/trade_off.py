"""Quality against latency."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.document import Document


class Candidate(Document):
    """A point of the trade-off."""

    program: str
    latency: Quantity
    quality: Quantity
    on_front: bool
    """Whether no other program is both faster and better."""


class TradeOff(Document):
    """Quality against latency on one target, with the budget."""

    target: str
    latency_name: str
    """Which percentile: that of the gate, else the median."""
    quality_name: str
    points: list[Candidate]
    latency_limit_ms: float | None
    """Largest latency that the gates allow."""
    quality_floor: float | None
    """Smallest quality that the gates allow."""
