"""Structured pruning: whole channels removed, and everything that depends on them.

A dependency graph finds which slices of which layers must go together (residual sums, depthwise
convolutions, batch norms, concatenations), so that what is left is a smaller dense model that any
runtime runs faster. Training the accuracy back is a later `distill` stage's work.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from edgekd.core.config import PositiveCount, Share
from edgekd.core.errors import Problem, RequestError, StageError
from edgekd.core.kinds import transform
from edgekd.core.protocols.values import Batch
from edgekd.core.quiet import quiet
from edgekd.core.registry import Paper
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.transforms.budget import HowMuch, check_most, how_much
from edgekd.transforms.dependencies import cut, cut_again
from edgekd.transforms.importance import Evidence, Kind, evidence, scorer
from edgekd.transforms.in_steps import Cuts, Removal
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

    @model_validator(mode="after")
    def _own_within_most(self) -> "Channels":
        check_most(self.ratios, self.max_ratio)
        return self


@dataclass(frozen=True)
class _Dense:
    """A model to cut, with what the examples say of it."""

    config: Channels
    model: nn.Module
    found: Evidence
    signature: Signature
    batch: Batch
    before: Removal
    """What is zero already, and goes in any case."""


def choose(
    config: Channels,
    model: nn.Module,
    *,
    signature: Signature,
    batches: Sequence[Batch],
    share: float,
    before: Removal,
) -> Removal:
    """Return the channels that go at a share of the way, by the layer that writes them.

    That is a share of the ratio; where there is a budget, of the ratio that keeps it now.
    """
    dense = _dense(config, model, signature, batches, before)
    ratio = _ratio(dense)
    return {} if ratio is None else _remove(dense, ratio * share, share)[1]


def cut_out(
    config: Channels,  # noqa: ARG001
    model: nn.Module,
    removal: Removal,
    *,
    signature: Signature,
    batches: Sequence[Batch],
    ready: Callable[[nn.Module], None] = lambda model: None,  # noqa: ARG005
) -> nn.Module:
    """Return a copy of the model without the channels that `choose` found."""
    narrow = _learning(model)
    example = tuple(_one(signature, batches)[port.name] for port in signature.inputs)
    with quiet():
        cut_again(narrow, example, removal, ready)
    return narrow


@transform(
    config=Channels,
    paper=PAPER,
    purpose="prune",
    distributions=("torch-pruning",),
    in_steps=Cuts(choose, cut_out),
)
def channels(
    config: Channels, model: nn.Module, *, signature: Signature, batches: Sequence[Batch]
) -> nn.Module:
    """Return a copy of the model with channels removed; the layers that give its outputs stay.

    StageError where a budget cannot be reached or the model cannot follow, RequestError where
    `exclude` or `ratios` names no module that fits.
    """
    dense = _dense(config, model, signature, batches)
    ratio = _ratio(dense)
    return dense.model if ratio is None else _remove(dense, ratio)[0]


def _dense(
    config: Channels,
    model: nn.Module,
    signature: Signature,
    batches: Sequence[Batch],
    before: Removal | None = None,
) -> _Dense:
    """Return a copy of the model, ready to be cut."""
    check_paths(config.exclude, model)
    check_paths(config.ratios, model, "ratios")
    _check_have_channels(config.ratios, model)
    dense = _learning(model)
    found = evidence(config.importance, dense, signature, batches)
    return _Dense(config, dense, found, signature, _one(signature, batches), before or {})


def _learning(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode; a frozen model is pruned like any other."""
    copied = copy.deepcopy(model).eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(True)
    return copied


def _one(signature: Signature, batches: Sequence[Batch]) -> Batch:
    """Return two examples to trace and to try the model with."""
    return {port.name: batches[0][port.name][:2] for port in signature.inputs}


def _check_have_channels(paths: Collection[str], model: nn.Module) -> None:
    """Raise RequestError where a module has no weights of its own, but at most layers that have."""
    without = [p for p in paths if not any(True for _ in model.get_submodule(p).parameters(False))]
    if without:
        step = "Name the layers themselves, as convolutions and linear layers."
        raise RequestError(
            [Problem("ratios", f"'{path}' has no channels of its own.", step) for path in without]
        )


def _ratio(dense: _Dense) -> float | None:
    """Return the ratio to take; None where nothing has to go."""
    return how_much(
        dense.config,
        dense.model,
        lambda ratio: _remove(dense, ratio)[0],
        anyway=bool(dense.config.ratios or dense.before),
        signature=dense.signature,
        batch=dense.batch,
    )


def _remove(dense: _Dense, ratio: float, share: float = 1.0) -> tuple[nn.Module, Removal]:
    """Return a copy of the model without `ratio` of its channels, and what went.

    Layers with ratios of their own lose a share of those.
    """
    config, signature, batch = dense.config, dense.signature, dense.batch
    model = copy.deepcopy(dense.model)
    fixed = output_layers(model, signature, batch)
    fixed += [model.get_submodule(path) for path in config.exclude]
    amount = Amount(ratio, config.scope == "global", config.round_to, config.max_ratio)
    example = tuple(batch[port.name] for port in signature.inputs)
    with quiet():
        scores = scorer(config.importance, model, dense.found)
        own = {model.get_submodule(path): own * share for path, own in config.ratios.items()}
        done = cut(model, example, fixed, scores, amount, own, dense.before)
    if done.unscored and config.importance == "batch_norm":
        raise StageError(
            f"importance: batch_norm has nothing to go by for '{done.unscored[0]}': no batch norm "
            "with a scale comes after it.",
            "List it under exclude, or use importance: norm.",
        )
    model.zero_grad()
    _check_outputs(model, dense.model, signature, batch)
    return model, done.gone


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
