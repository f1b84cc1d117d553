"""How a transform prunes a model that goes on learning: in steps, as its trait `in_steps` says.

Until the training is over nothing is cut: what goes is set to zero and stays zero.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.config import Config

Removal = Mapping[str, Sequence[int]]
"""What goes: numbers of channels, heads or the like by a name that the transform gives them."""
Zeros = dict[str, Tensor]
"""By the name of a parameter, true where it is zero from now on; only where some are."""


@dataclass(frozen=True)
class Masks:
    """A transform that sets single weights to zero."""

    partly: Callable[[Any, float], Config | None]
    """Takes its options and how far the way is gone, up to 1; returns the options of a step there,
    None where nothing goes yet."""


@dataclass(frozen=True)
class Cuts:
    """A transform that removes parts."""

    choose: Callable[..., Removal]
    """(options, model, *, signature, batches, share, before): returns what goes at a share of the
    way, with all of `before`, which is zero already."""
    cut: Callable[..., nn.Module]
    """(options, model, removal, *, signature, batches, ready): returns a copy without that. Calls
    `ready` with the copy once nothing but the cutting is left, which only takes slices."""
    refuses: Callable[[Any], str] = lambda options: ""  # noqa: ARG005
    """Takes its options; returns why they cannot be followed in steps, or nothing."""


def masks_of(sparse: nn.Module, before: nn.Module, names: Sequence[str]) -> Zeros:
    """Return where some parameters became zero; those that begin at zero are to learn."""
    pairs = {name: (sparse.get_parameter(name), before.get_parameter(name)) for name in names}
    found = {name: ((now == 0) & (was != 0)).detach() for name, (now, was) in pairs.items()}
    return {name: zeros for name, zeros in found.items() if zeros.any()}


def masks_by(cut: Callable[[Callable[[nn.Module], None]], nn.Module], model: nn.Module) -> Zeros:
    """Return where the parameters are that a cut would take.

    Its copy of the model has numbers for weights when it is cut: those that are left were spared.
    """
    spared = dict(cut(_number).named_parameters())
    zeros = {}
    for name, parameter in model.named_parameters():
        gone = torch.ones(parameter.numel(), dtype=torch.bool)
        gone[spared[name].detach().long().flatten()] = False
        if gone.any():
            zeros[name] = gone.view(parameter.shape)
    return zeros


def zeroed(model: nn.Module, zeros: Zeros) -> nn.Module:
    """Return a copy of the model with zeros there."""
    masked = copy.deepcopy(model)
    set_zero(masked, zeros)
    return masked


@torch.no_grad()
def set_zero(model: nn.Module, zeros: Zeros) -> None:
    """Set parameters to zero, in place."""
    for name, where in zeros.items():
        model.get_parameter(name).masked_fill_(where, 0)


def _number(model: nn.Module) -> None:
    """Replace every weight by its place in its parameter; in double precision all are exact."""
    for parameter in model.parameters():
        places = torch.arange(parameter.numel(), dtype=torch.float64)
        parameter.data = places.view(parameter.shape)
