"""A model on disk: `model.json` says what it is, `model.safetensors` holds its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekd.core.artifact import digest_file
from edgekd.core.protocols import Batch
from edgekd.core.refs import UseModel, UseTransform, as_read, as_written
from edgekd.core.signature import Signature

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
QUANTIZATION, CALIBRATION = "quantization.json", "calibration.safetensors"


@dataclass(frozen=True)
class StoredModel:
    """A model with all that must travel with it."""

    module: nn.Module
    use: UseModel
    signature: Signature
    facts: Mapping[str, Any]
    """What the task says of its data: labels, preprocessing."""
    quantization: UseTransform | None = None
    """How an export shall quantize it."""
    calibration: Sequence[Batch] = field(default=())
    """The samples that the ranges are taken from, in batches."""


def save_model(folder: Path, model: StoredModel) -> None:
    """Write the model to an existing folder."""
    state = {name: t.detach().cpu().contiguous() for name, t in model.module.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    description = {
        "model": as_written(model.use),
        "signature": model.signature.as_dict(),
        "facts": dict(model.facts),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    if model.quantization:
        text = json.dumps(as_written(model.quantization), indent=1)
        (folder / QUANTIZATION).write_text(text + "\n", "utf-8")
        columns = {
            f"{index:06}.{name}": tensor.cpu().contiguous()
            for index, batch in enumerate(model.calibration)
            for name, tensor in batch.items()
        }
        save_file(columns, folder / CALIBRATION)


def load_model(folder: Path) -> StoredModel:
    """Return the model of a folder in eval mode on the CPU."""
    description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    use = UseModel.model_validate(as_read(description["model"]))
    signature = Signature.from_dict(description["signature"])
    module: nn.Module = use.build()(signature)
    load_weights(module, load_file(folder / WEIGHTS))
    quantization: UseTransform | None = None
    calibration: Sequence[Batch] = ()
    if (folder / QUANTIZATION).exists():
        quantization = UseTransform.model_validate(
            as_read(json.loads((folder / QUANTIZATION).read_text("utf-8")))
        )
        calibration = _read_calibration(folder / CALIBRATION)
    return StoredModel(
        module.eval(), use, signature, description["facts"], quantization, calibration
    )


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of the weights, which names the model in what is exported from it."""
    return digest_file(folder / WEIGHTS)


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load `state`, first giving each layer the width that its weights have.

    Structured pruning changes widths and nothing else, so a pruned model is its definition and
    the shapes of its weights. RuntimeError where names or ranks differ.
    """
    for name, layer in module.named_modules():
        for own, parameter in [
            *layer.named_parameters(recurse=False),
            *layer.named_buffers(recurse=False),
        ]:
            stored = state.get(f"{name}.{own}" if name else own)
            if stored is None or stored.shape == parameter.shape or stored.ndim != parameter.ndim:
                continue
            resized = torch.empty(stored.shape, dtype=parameter.dtype)
            if isinstance(parameter, nn.Parameter):
                setattr(layer, own, nn.Parameter(resized, parameter.requires_grad))
            else:
                setattr(layer, own, resized)
        _adopt_widths(layer)
    module.load_state_dict(dict(state))


def _adopt_widths(layer: nn.Module) -> None:
    """Make the attributes of a layer say what its tensors are."""
    if isinstance(layer, nn.Conv2d):
        layer.out_channels = layer.weight.shape[0]
        if layer.groups == layer.in_channels and layer.groups > 1:  # depthwise stays depthwise
            layer.groups = layer.in_channels = layer.out_channels
        else:
            layer.in_channels = layer.weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d) and layer.affine:
        layer.num_features = layer.weight.shape[0]


def _read_calibration(path: Path) -> Sequence[Batch]:
    batches: dict[str, Batch] = {}
    for key, tensor in load_file(path).items():
        index, _, name = key.partition(".")
        batches.setdefault(index, {})[name] = tensor
    return tuple(batches[index] for index in sorted(batches))
