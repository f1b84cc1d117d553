"""A model on disk: `model.json` says what it is, `model.safetensors` holds its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekd.core.artifact import MANIFEST, digest_file
from edgekd.core.errors import StageError
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseModel, UseTransform, as_read, as_written
from edgekd.core.signature import Signature
from edgekd.models.weights import load_resized

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
QUANTIZATION, CALIBRATION = "quantization.json", "calibration.safetensors"
OWN = {WEIGHTS, DESCRIPTION, QUANTIZATION, CALIBRATION, MANIFEST, "program.json"}
"""Names of files that lie in the folders of models and programs."""


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
    companions: Mapping[str, bytes] = field(default_factory=dict)
    """Files that an app needs beside it, as a tokenizer, by name."""
    sparse: Sequence[str] = ()
    """Parameters whose zeros stay zeros in any training to come: the zeros are the mask."""


def stored_for(task: Task, module: nn.Module, use: UseModel) -> StoredModel:
    """Return a model with all that its task says must travel with it."""
    companions: Mapping[str, bytes] = getattr(task, "companions", dict)()
    return StoredModel(module, use, task.signature(), task.facts(), companions=companions)


def save_model(folder: Path, model: StoredModel) -> None:
    """Write the model to an existing folder, with all that is needed to build it again."""
    save_file(apart(model.module.state_dict()), folder / WEIGHTS)
    description = {
        "model": as_written(settled(model)),
        "signature": model.signature.as_dict(),
        "facts": dict(model.facts),
    }
    description |= {"companions": sorted(model.companions)} if model.companions else {}
    description |= {"sparse": list(model.sparse)} if model.sparse else {}
    write_companions(folder, model.companions)
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
    """Return the model of a folder in eval mode on the CPU.

    StageError where it gives other outputs than its signature says.
    """
    description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    use = UseModel.model_validate(as_read(description["model"]))
    signature = Signature.from_dict(description["signature"])
    module: nn.Module = use.build()(signature)
    load_resized(module, load_file(folder / WEIGHTS))
    _check_outputs(module.eval(), signature, folder)
    quantization: UseTransform | None = None
    calibration: Sequence[Batch] = ()
    if (folder / QUANTIZATION).exists():
        quantization = UseTransform.model_validate(
            as_read(json.loads((folder / QUANTIZATION).read_text("utf-8")))
        )
        calibration = _read_calibration(folder / CALIBRATION)
    names = [plain_name(name) for name in description.get("companions", ())]
    companions = {name: (folder / name).read_bytes() for name in names}
    about = (description["facts"], quantization, calibration, companions)
    return StoredModel(module, use, signature, *about, description.get("sparse", ()))


def write_companions(folder: Path, companions: Mapping[str, bytes]) -> None:
    """Write the files that must lie beside a model or a program; StageError: see `plain_name`."""
    for name, content in companions.items():
        (folder / plain_name(name)).write_bytes(content)


def plain_name(name: str) -> str:
    """Return a file's name; StageError where it leads elsewhere, or edgekd needs it itself."""
    if name != Path(name).name or name in {"", "..", *OWN}:
        raise StageError(
            f"no companion of a model can be called '{name}'.",
            f"Let the task's companions() give plain names, none of {', '.join(sorted(OWN))}.",
        )
    return name


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of the weights, which names the model in what is exported from it."""
    return digest_file(folder / WEIGHTS)


def settled(model: StoredModel) -> UseModel:
    """Return the definition, free of anything that lies outside the folder.

    A model plug-in whose options lead to files registers `settle(options, module)`, which returns
    options that give the same module, but for its weights, without them.
    """
    settle = model.use.plugin.traits.get("settle")
    options = settle(model.use.options, model.module) if settle else model.use.options
    return model.use.model_copy(update={"options": options})


def apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that share no memory, as the file format wants them: tied ones are copied."""
    apart: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in state.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        apart[name] = own.clone() if place in places else own
        places.add(place)
    return apart


@torch.no_grad()
def _check_outputs(module: nn.Module, signature: Signature, folder: Path) -> None:
    """Raise StageError where the outputs' shapes are not the signature's; nothing is computed.

    A forward() that cannot be followed without values is let pass: an export compares it.
    """
    state = {name: tensor.to("meta") for name, tensor in module.state_dict().items()}
    inputs = tuple(
        torch.empty(port.concrete(), dtype=getattr(torch, port.dtype), device="meta")
        for port in signature.inputs
    )
    try:
        given = torch.func.functional_call(module, state, inputs, tie_weights=False)
    except Exception:  # the user's own model may raise anything
        return
    outputs = given if isinstance(given, tuple | list) else (given,)
    for port, output in zip(signature.outputs, outputs, strict=False):
        if len(output.shape) != len(port.shape) or any(
            isinstance(wanted, int) and wanted != found
            for wanted, found in zip(port.shape, output.shape, strict=True)
        ):
            raise StageError(
                f"the model in {folder} gives '{port.name}' as {list(output.shape)}; "
                f"its signature says {list(port.shape)}.",
                "Its weights and its description do not belong together: make it again.",
            )


def _read_calibration(path: Path) -> Sequence[Batch]:
    batches: dict[str, Batch] = {}
    for key, tensor in load_file(path).items():
        index, _, name = key.partition(".")
        batches.setdefault(index, {})[name] = tensor
    return tuple(batches[index] for index in sorted(batches))
