"""One trained network with its pictures, in forms that every tool reads.

edgekd trains it, and draws the calibration pictures as its `quantize` stage does with the seed of
the comparison, so that all tools see the same ones.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import edgekd
from edgekd.core.refs import UseTask
from edgekd.models.folder import load_model
from edgekd.pipeline.outcome import RunResult

MODEL = "{kind: resnet, depth: 20, width: 16, stem_stride: 2}"
TASK = {"kind": "image_classification", "data": "fashion_mnist"}
CALIBRATED = 256
"""Pictures that ranges are taken from: edgekd's default."""
TRAINED = f"""\
name: network
threads: 1
task: {{kind: image_classification, data: fashion_mnist}}
stages:
  network:
    kind: teacher
    model: {MODEL}
    train: {{epochs: 3, batch_size: 128, optimizer: sgd, learning_rate: 0.1, schedule: one_cycle}}
"""
COMPARED = f"""\
name: compared
threads: 1
task: {{kind: image_classification, data: fashion_mnist, duplicates: {{duplicates}}}}
stages:
  network: {{kind: teacher, model: {MODEL}, weights: {{weights}}, score: {{score}}}}
  int8:
    kind: quantize
    model: $network
    transform: {{kind: int8_static, examples: {CALIBRATED}}}
    simulate: {{simulate}}
  onnx: {{kind: export, model: $int8, runtime: onnxruntime}}
  check: {{kind: validate, programs: [$onnx], reference: $network, bench: {{bench}}}}
"""
QUICK = "{mode: quick}"


@dataclass(frozen=True)
class Shared:
    """What all tools are given, as files of one folder."""

    folder: Path

    @property
    def weights(self) -> Path:
        """The network's weights, by edgekd's names."""
        return self.folder / "weights.safetensors"

    @property
    def module(self) -> Path:
        """The network as a module that torch loads without edgekd."""
        return self.folder / "network.pt"

    @property
    def onnx(self) -> Path:
        """The network in fp32, as edgekd exports it."""
        return self.folder / "network.onnx"

    @property
    def int8(self) -> Path:
        """The network in int8, as edgekd makes it."""
        return self.folder / "edgekd.onnx"

    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the test pictures float32 [10000, 1, 28, 28] and their classes [10000]."""
        return np.load(self.folder / "test.npy"), np.load(self.folder / "test_labels.npy")


def prepare(folder: Path) -> Shared:
    """Return the folder's files, made where they are not there."""
    shared = Shared(folder.resolve())
    if not shared.int8.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _train(shared)
        _compress(shared)
        _write_pictures(shared)
    return shared


def pipeline(
    shared: Shared, bench: str = QUICK, *, simulate: bool = True, score: bool = True
) -> str:
    """Return edgekd's side of the comparison: given weights, int8, ONNX, both measured.

    Where `score` is false the model is not scored in PyTorch, nor its pictures compared.
    """
    values = {"weights": str(shared.weights), "bench": bench}
    values |= {"simulate": str(simulate).lower(), "score": str(score).lower()}
    values |= {"duplicates": "notice" if score else "allow"}
    text = COMPARED
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _run(shared: Shared, text: str) -> RunResult:
    file = shared.folder / "pipeline.yaml"
    file.write_text(text, "utf-8")
    return edgekd.run(file, store=shared.folder / "store", runs=shared.folder / "runs")


def _train(shared: Shared) -> None:
    result = _run(shared, TRAINED)
    shared.weights.write_bytes((result.folders["network"] / "model.safetensors").read_bytes())
    module = load_model(result.folders["network"]).module
    torch.save(torch.fx.symbolic_trace(module), shared.module)


def _compress(shared: Shared) -> None:
    result = _run(shared, pipeline(shared))
    for name, file in (("network.onnx", shared.onnx), ("onnx", shared.int8)):
        (program,) = result.folders[name].glob("*.onnx")
        file.write_bytes(program.read_bytes())
    batches = load_model(result.folders["int8"]).calibration
    drawn = torch.cat([batch["image"] for batch in batches]).numpy()
    np.save(shared.folder / "calibration.npy", drawn)


def _write_pictures(shared: Shared) -> None:
    task = UseTask.model_validate(TASK).build()
    batches = list(task.batches("test", 1000, device=torch.device("cpu")))
    for name, file in (("image", "test.npy"), ("labels", "test_labels.npy")):
        np.save(shared.folder / file, np.concatenate([batch[name].numpy() for batch in batches]))
