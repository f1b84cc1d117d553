"""The network of a transformers folder without a head, or only some of its layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekd.core.errors import StageError
from edgekd.models.pretrained_folder import check_weights
from edgekd.models.pretrained_heads import PLAIN_ATTENTION
from edgekd.models.pretrained_shape import shape_from_folder


def network_of(folder: str, shape: Any, layers: Sequence[int] | None) -> Any:
    """Return the network of a folder, in `shape`, with some of its layers; all where None.

    StageError where weights lack, ValueError where its layers cannot be told.
    """
    from transformers import AutoModel

    unreadable = next(iter(check_weights(Path(folder))), None)
    if unreadable:
        raise StageError(unreadable.message, unreadable.next_step)
    whole = shape_from_folder(folder).num_hidden_layers
    fewer, shape.num_hidden_layers = shape.num_hidden_layers, whole
    try:
        network, found = AutoModel.from_pretrained(
            folder,
            config=shape,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            **PLAIN_ATTENTION,
        )
    except (OSError, ValueError, RuntimeError) as error:
        step = "Save the model once more with save_pretrained."
        raise StageError(f"{folder} cannot be read: {error}", step) from error
    if absent := [key for key in found["missing_keys"] if not key.startswith("pooler.")]:
        raise StageError(
            f"{folder} has no weights for '{absent[0]}' and {len(absent) - 1} more.",
            "Save the model once more with save_pretrained; its config.json must be its own.",
        )
    network.config.num_hidden_layers = fewer
    if layers is not None:
        _keep(network, whole, layers)
    return network


def _keep(network: nn.Module, count: int, layers: Sequence[int]) -> None:
    """Leave only some of the network's layers; ValueError where they cannot be told."""
    lists = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if len(lists) != 1:
        raise ValueError(f"its {count} layers cannot be told from its other parts")
    ((name, found),) = lists
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, nn.ModuleList(found[number] for number in layers))
