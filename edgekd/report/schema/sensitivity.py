"""What single layers in 8 bits cost."""

from edgekd.core.quantity import Quantity
from edgekd.report.schema.document import Document


class LayerCost(Document):
    """What a model loses with one layer alone in 8 bits."""

    path: str
    """As `named_modules()` spells it; empty for the operators outside of any layer."""
    score: Quantity
    lost: Quantity
    """What of the fp32 model's score is lost over the same examples, with its paired interval."""
    error: float
    """Size of the outputs' error over that of the outputs, both as root mean squares."""
    excluded: bool
    """Whether it was left in fp32 to keep the budget."""


class Sensitivity(Document):
    """What a stage that quantized found of each layer, by simulation on validation examples."""

    stage: str
    measure: str
    examples: int
    fp32: Quantity
    """The score of the model in fp32 on these examples."""
    layers: list[LayerCost]
    """The most sensitive first."""
    between: LayerCost
    """All operators outside of layers together, which no exclusion reaches."""
    budget: float | None = None
    """What of the score quantization may cost; None where no budget was set."""
    kept: bool | None = None
    """Whether the simulated model keeps it."""
    tried: int | None = None
    """How many choices of layers were scored."""
