"""Another model whose feature is added what a teacher's prototypes say of it, place by place.

A linear map, `query`, brings the feature at a place to the teacher's width, the prototypes nearest
to it are blended, and a second map, `value`, brings that back to be added: ProC-KD's task-adaptive
augmentation. `value` begins at 0, so the model begins as the one that it is made of. The prototypes
are found by the objective `prock`, which puts them here before the first step: tap `query`, as in
`{kind: prock, projector: false, tap: {student: stages.query, teacher: stages}}`. They do not learn,
and like both maps they are part of what is exported. Only the abstract was read: the equations are
this project's.
"""

from typing import cast

import torch
from torch import Tensor, nn

from edgekd.core.config import PositiveCount
from edgekd.core.kinds import model
from edgekd.core.refs import UseModel
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.models.inner import Around, check_inner, has_weights, settled_around
from edgekd.ops.features import MAP, TOKENS
from edgekd.ops.named import call_by_name
from edgekd.ops.projectors import linear, width_of
from edgekd.ops.prototypes import Recall

PAPER = Paper(
    "Prototype-guided Cross-task Knowledge Distillation for Large-scale Models",
    "2212.13180",
    "its feature augmentation",
)


class Prototyped(Around):
    """Which model, and where prototypes are added to its feature."""

    of: UseModel
    """The model."""
    at: str = "stages"
    """Path of the module in it whose feature, a map or tokens, is added to."""
    prototypes: PositiveCount = 32
    """How many there are, as in `prock`."""
    width: PositiveCount
    """Of the teacher's feature: its channels, or numbers of a token."""


@model(
    config=Prototyped, paper=PAPER, settle=settled_around, has_weights=has_weights,
    check=check_inner,
)  # fmt: skip
def prototyped(config: Prototyped, signature: Signature) -> nn.Module:
    """Return the model with prototypes added; ValueError where it has no such feature."""
    network: nn.Module = config.of.build()(signature)
    inside = {name for name, _ in network.named_modules() if name}
    if config.at not in inside:
        raise ValueError(f"{config.of.kind} has no module '{config.at}'")
    shape = _shape_at(network, config.at, signature)
    if len(shape) + 1 not in (MAP, TOKENS):
        raise ValueError(f"'{config.at}' gives {list(shape)}: neither a map nor tokens")
    network.set_submodule(config.at, Augmented(network.get_submodule(config.at), shape, config))
    return network


class Augmented(nn.Module):
    """A module and, beside it, what prototypes say of its feature."""

    def __init__(self, inner: nn.Module, shape: tuple[int, ...], config: Prototyped):
        super().__init__()
        self.inner = inner
        self.query = linear(shape, config.width)
        self.recall = Recall(config.prototypes, config.width)
        told = (config.width, 1, 1) if len(shape) + 1 == MAP else (1, config.width)
        self.value = linear(told, width_of(shape), bias=False)
        nn.init.zeros_(cast(Tensor, self.value.weight))

    def forward(self, before: Tensor) -> Tensor:
        r"""Return $f + W_v \sum_k a_k P_k$, a the shares of the prototypes in $W_q f$."""
        feature: Tensor = self.inner(before)
        added: Tensor = self.value(self.recall(self.query(feature)))
        return feature + added


def _shape_at(network: nn.Module, path: str, signature: Signature) -> tuple[int, ...]:
    """Return what a module gives of one example, without the batch."""
    shapes: list[tuple[int, ...]] = []
    hook = network.get_submodule(path).register_forward_hook(
        lambda _module, _inputs, given: shapes.append(tuple(getattr(given, "shape", ()))[1:])
    )
    sizes = signature.sizes(1)
    examples = {
        port.name: torch.zeros(port.concrete(**sizes), dtype=getattr(torch, port.dtype))
        for port in signature.inputs
    }
    training = network.training
    try:
        with torch.no_grad():
            call_by_name(network.eval(), signature, examples)
    finally:
        hook.remove()
        network.train(training)
    return shapes[0] if shapes else ()
