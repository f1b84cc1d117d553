"""A network that tells parts of each class apart, and gives the scores of the classes.

What it tells is at its module `network`, [batch, classes * parts], the parts of a class side by
side; a class scores the logarithm of the sum of their exponentials, so that its probability is the
sum of theirs. A term as `lelp` teaches the parts: `tap: {student: network}`.
"""

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from edgekd.core.kinds import model
from edgekd.core.refs import UseModel
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.models.inner import Around, check_inner, has_weights, settled_around

PAPER = Paper(
    "Linear Projections of Teacher Embeddings for Few-Class Distillation", "2409.20449", "its head"
)


MOST_INPUTS = 3


class Subclasses(Around):
    """Which network, and in how many parts it divides a class."""

    of: UseModel
    """The network; its head gets `parts` times as many outputs."""
    parts: Annotated[int, Field(ge=1, le=1024)] = 4
    """Of each class."""


def settle(config: Subclasses, module: nn.Module) -> Subclasses:
    """Return options that need no outside folder, where the network has such."""
    return settled_around(config, module.get_submodule("network"))


@model(config=Subclasses, paper=PAPER, settle=settle, has_weights=has_weights, check=check_inner)
def subclasses(config: Subclasses, signature: Signature) -> nn.Module:
    """Return the network with a wider head; ValueError where the task has more than scores.

    So it is where it has more than three inputs.
    """
    if [port.name for port in signature.outputs] != ["logits"]:
        raise ValueError("subclasses gives scores of classes, and this task asks for other outputs")
    if len(signature.inputs) > MOST_INPUTS:
        raise ValueError(
            f"subclasses takes {MOST_INPUTS} inputs, this task {len(signature.inputs)}"
        )
    (port,) = signature.outputs
    classes = int(port.shape[-1])
    wider = replace(port, shape=(*port.shape[:-1], classes * config.parts))
    network: nn.Module = config.of.build()(replace(signature, outputs=(wider,)))
    return Grouped(network, classes, config.parts)


class Grouped(nn.Module):
    """Adds up the probabilities of the parts of each class."""

    def __init__(self, network: nn.Module, classes: int, parts: int):
        super().__init__()
        self.network, self.classes, self.parts = network, classes, parts

    def forward(
        self, first: Tensor, second: Tensor | None = None, third: Tensor | None = None
    ) -> Tensor:
        """Return the scores of the classes, [*batch, classes].

        The inputs are the network's own; each has a name, since exporters follow no `*inputs`.
        """
        inputs = [given for given in (first, second, third) if given is not None]
        scores: Tensor = self.network(*inputs)
        return scores.reshape(*scores.shape[:-1], self.classes, self.parts).logsumexp(-1)
