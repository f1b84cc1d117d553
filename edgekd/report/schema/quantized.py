"""What quantization cost and gained."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.document import Document


class Quantized(Document):
    """What quantization cost and gained: a candidate against the same model in fp32."""

    program: str
    target: str
    stage: str
    """The stage whose model was quantized."""
    parent: str | None
    """The program of that model in fp32; None, and nothing else, where it was not measured."""
    form: str
    """Precision and runtime of the parent."""
    accuracy: Quantity | None
    """The candidate's minus the parent's, on the split of the check."""
    paired: bool
    """Whether the interval compares the answers to each example, and not two scores."""
    size: Quantity | None
    """The candidate's size over the parent's."""
    latency: Quantity | None
    """Its median latency over the parent's, restarts paired; None where not taken in turns."""
    simulated: Quantity | None
    """The change on the validation split that the stage which quantized found by simulation."""
