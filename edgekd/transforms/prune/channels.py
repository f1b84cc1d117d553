"""Structured pruning: whole channels removed, and everything that depends on them.

A dependency graph finds which slices of which layers must go together (residual sums, depthwise
convolutions, batch norms, concatenations), so that what is left is a smaller dense model that any
runtime runs faster. Training the accuracy back is a later `distill` stage's work.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from edgekd.core.config import PositiveCount, Share
from edgekd.core.errors import StageError
from edgekd.core.kinds import transform
from edgekd.core.protocols import Batch
from edgekd.core.quiet import quiet
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.transforms.budget import HowMuch, so_much
from edgekd.transforms.dependencies import cut
from edgekd.transforms.importance import Evidence, Kind, evidence, scorer
from edgekd.transforms.outputs import output_layers
from edgekd.transforms.paths import check_paths
from edgekd.transforms.widths import Amount

PAPER = Paper("DepGraph: Towards Any Structural Pruning", "2301.12900", "its group importance")
"""`activation` is of "Importance Estimation for Neural Network Pruning" (arXiv 1906.10771), its
gates; `batch_norm` of "Network Slimming" (arXiv 1708.06519)."""


class Channels(HowMuch):
    """How much goes, and by what order."""

    importance: Kind = "norm"
    """Order of channels: by the `norm` of their weights; by the first-order change of the
    cross-entropy when their weights go (`taylor`), or when the layers that read them see zeros
    instead (`activation`, times its gradient), both taken on examples with labels; or by the scale
    of their batch norms (`batch_norm`), which is for models trained with few of them large."""
    scope: Literal["layer", "global"] = "layer"
    """The same ratio in each layer, or one ranking over all layers."""
    round_to: PositiveCount = 8
    """Widths stay multiples of this number, in whose blocks kernels compute."""
    ratios: Mapping[str, Share] = Field(default_factory=dict)
    """Ratios of their own for some layers, by module path, whatever goes elsewhere; what must stay
    as wide as such a layer goes with it."""
    exclude: tuple[str, ...] = ()
    """Module paths whose outputs keep their width, as `named_modules()` spells them."""


@transform(config=Channels, paper=PAPER, purpose="prune", distributions=("torch-pruning",))
def channels(
    config: Channels, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model with channels removed; the layers that give its outputs stay.

    StageError where a budget cannot be reached or the model cannot follow, RequestError where
    `exclude` names no module.
    """
    check_paths(config.exclude, model)
    check_paths(config.ratios, model, "ratios")
    dense = copy.deepcopy(model).eval()
    for parameter in dense.parameters():  # a frozen model is pruned like any other
        parameter.requires_grad_(True)
    one = {port.name: batches[0][port.name][:2] for port in signature.inputs}
    found = evidence(config.importance, dense, signature, batches)

    def remove(ratio: float) -> nn.Module:
        return _remove(config, dense, ratio, found, signature, one)

    return so_much(config, dense, remove, signature=signature, batch=one)


def _remove(
    config: Channels,
    dense: nn.Module,
    ratio: float,
    found: Evidence,
    signature: Signature,
    batch: Batch,
) -> nn.Module:
    """Return a copy of the model without `ratio` of its channels."""
    model = copy.deepcopy(dense)
    fixed = output_layers(model, signature, batch)
    fixed += [model.get_submodule(path) for path in config.exclude]
    amount = Amount(ratio, config.scope == "global", config.round_to, config.max_ratio)
    example = tuple(batch[port.name] for port in signature.inputs)
    with quiet():
        scores = scorer(config.importance, model, found)
        own = {model.get_submodule(path): ratio for path, ratio in config.ratios.items()}
        unscored = cut(model, example, fixed, scores, amount, own)
    if unscored and config.importance == "batch_norm":
        raise StageError(
            f"importance: batch_norm has nothing to go by for '{unscored[0]}': no batch norm with "
            "a scale comes after it.",
            "List it under exclude, or use importance: norm.",
        )
    model.zero_grad()
    _check_outputs(model, dense, signature, batch)
    return model


def _check_outputs(model: nn.Module, dense: nn.Module, signature: Signature, batch: Batch) -> None:
    """Raise StageError unless the pruned model runs and its outputs keep their shapes."""
    expected = _output_shapes(dense, signature, batch)
    advice = (
        "Its forward() uses a width as a fixed number, which pruning cannot follow: "
        "list the layer before it under exclude."
    )
    try:
        found = _output_shapes(model, signature, batch)
    except RuntimeError as error:
        raise StageError(f"the pruned model does not run: {error}", advice) from error
    if found != expected:
        raise StageError(f"the pruned model gives {found}; the dense one {expected}.", advice)


@torch.no_grad()
def _output_shapes(
    model: nn.Module, signature: Signature, batch: Batch
) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in call_by_name(model, signature, batch).items()}
