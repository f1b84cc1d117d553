"""All that it takes to look into a program again: what made it, and on what it is asked."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Arrays, Batch
from edgekd.core.refs import UseRuntime, as_written
from edgekd.localise.locate import Located, locate
from edgekd.models.folder import StoredModel

CASE, SAMPLES, TABLE = "case.json", "samples.safetensors", "layers.txt"


@dataclass(frozen=True)
class Case:
    """A program and the model that it was made from."""

    program: str
    """The file."""
    model: str
    """The folder of the model."""
    runtime: Mapping[str, Any]
    """The runtime with the options that wrote the program, as in a pipeline file."""
    own_code: str = ""
    """The file of the user's own that defines the model, where there is one."""

    def write(self, folder: Path, samples: Arrays) -> None:
        """Write the case and its samples."""
        (folder / CASE).write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
        plain = {name: np.ascontiguousarray(column) for name, column in samples.items()}
        save_file(plain, folder / SAMPLES)

    @staticmethod
    def read(folder: Path) -> "tuple[Case, Arrays]":
        """Return what `write` wrote."""
        case = Case(**json.loads((folder / CASE).read_text("utf-8")))
        return case, load_file(folder / SAMPLES)


def inspect(
    runtime: UseRuntime, stored: StoredModel, program: Path, samples: Arrays, *, quantized: bool
) -> Located:
    """Return the layers of a program beside those of its model.

    StageError where it was lowered in 8 bits and nobody kept the samples for that.
    """
    built = runtime.build()
    if quantized and stored.quantization is None and built.suffix == ".pte":
        raise StageError(
            f"{program.name} was quantized by the stage that chose it, which kept no samples: it "
            "cannot be lowered once more to tell its layers apart.",
            "Quantize and export the model in stages of their own, and give that program.",
        )
    insides = built.inside(
        program,
        stored.module,
        signature=stored.signature,
        samples=tensors(samples),
        quantization=stored.quantization,
        calibration=stored.calibration,
    )
    return locate(built.open(program), insides, samples, stored.signature, quantized=quantized)


def tensors(samples: Arrays) -> Batch:
    """Return arrays as PyTorch's."""
    import torch

    return {name: torch.from_numpy(np.array(column)) for name, column in samples.items()}


def case_of(runtime: UseRuntime, model: Path, program: Path, stored: StoredModel) -> Case:
    """Return the case of a program that was made just now."""
    places = (str(program.absolute()), str(model.absolute()))
    return Case(*places, as_written(runtime), own_code(stored))


def own_code(stored: StoredModel) -> str:
    """Return the file of a model's plug-in where a pipeline named it, else nothing."""
    plugin = stored.use.plugin
    named = (plugin.target.__module__ or "").startswith("edgekd_plugins.")
    return str(plugin.source) if named else ""
