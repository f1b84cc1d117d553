"""transformers encoders that have lost heads or layers: built from a configuration that says so.

Shapes alone would not do: which heads a layer still has, and how many, is in the attributes of its
modules, so it is told by the configuration and followed by transformers itself.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

HEADS, LAYERS = "pruned_heads", "num_hidden_layers"


def from_configuration(auto: Any, shape: Any, **how: Any) -> nn.Module:
    """Return `auto.from_config(shape, **how)` without the heads that `shape` names as gone.

    Works where the default device is meta, as transformers alone does not. Of several classes for
    one configuration the first is taken.
    """
    gone = {int(layer): [*heads] for layer, heads in shape.pruned_heads.items()}
    whole = copy.deepcopy(shape)
    whole.pruned_heads = {}
    classes = auto._model_mapping[type(shape)]
    if isinstance(classes, tuple) and not whole.architectures:
        whole.architectures = [classes[0].__name__]
    network: nn.Module = auto.from_config(whole, **how)
    if gone:
        with torch.device("cpu"):  # indices need values, also of a network without memory
            network.prune_heads(gone)  # type: ignore[operator]
    return network


def cut_of(config: Any, whole: Any) -> Mapping[str, Any]:
    """Return the options in which a configuration is cut, against the one that it was."""
    found: dict[str, Any] = {}
    if config.pruned_heads != whole.pruned_heads:
        found[HEADS] = {str(layer): [*heads] for layer, heads in config.pruned_heads.items()}
    own = config.attribute_map.get(LAYERS, LAYERS)
    if getattr(config, own, None) != getattr(whole, own, None):
        found[own] = getattr(config, own)
    return found
