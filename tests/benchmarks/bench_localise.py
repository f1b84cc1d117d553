"""Prints in how many of 20 programs with a planted fault the layer that has it is named.

    python tests/benchmarks/bench_localise.py [cnn|encoder] [onnx|pte] [fp32|int8]

Twenty different layers of a ResNet-20 and of a BERT with three layers are made wrong one at a
time, in the finished program's file: a weight, a bias, the padding, an epsilon, a scale. Which
layer it is says in ONNX the node's name, in a .pte the constant whose numbers are those of the
module's own weights. No token is masked: static int8 rounds the lowest float of a mask, and all
else with it to nothing, which is a fault in itself. The program is then compared as `edgekd bisect`
compares it; in a .pte the fresh lowering, the same for every fault, is done once. `healthy` is the
largest local error without a fault.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgekd.core.refs import UseModel, UseRuntime, UseTransform
from edgekd.core.signature import Port, Signature
from edgekd.localise.locate import Located, locate

FAULTS, LENGTH, ROWS = 20, 24, 8
INT8 = UseTransform.model_validate("int8_static")


class Encoder(nn.Module):
    """A BERT that classifies, its weights by chance."""

    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=200, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
            intermediate_size=128, max_position_embeddings=64, num_labels=4,
            attn_implementation="eager", initializer_range=0.2,
        )  # fmt: skip
        self.network = BertForSequenceClassification(config)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.network(input_ids=tokens, attention_mask=mask).logits


@dataclass(frozen=True)
class Model:
    """A network with its inputs."""

    module: nn.Module
    signature: Signature
    samples: Callable[[int, int], dict[str, Tensor]]
    """Takes a number of rows and a seed."""


def cnn() -> Model:
    """Return a ResNet-20 whose batch norms have seen noise."""
    signature = Signature(
        (Port("image", "float32", ("batch", 3, 32, 32)),),
        (Port("logits", "float32", ("batch", 10)),),
    )

    def samples(rows: int, seed: int) -> dict[str, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        return {"image": torch.randn(rows, 3, 32, 32, generator=rng)}

    torch.manual_seed(0)
    use = UseModel.model_validate({"kind": "resnet", "depth": 20, "width": 16})
    module = use.build()(signature).train()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.3, 0.3)
        for seed in range(3):
            module(samples(32, seed)["image"])
    return Model(module.eval(), signature, samples)


def encoder() -> Model:
    """Return a BERT with three layers."""
    signature = Signature(
        (Port("tokens", "int64", ("batch", LENGTH)), Port("mask", "int64", ("batch", LENGTH))),
        (Port("logits", "float32", ("batch", 4)),),
    )

    def samples(rows: int, seed: int) -> dict[str, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, 200, (rows, LENGTH), generator=rng)
        return {"tokens": tokens, "mask": torch.ones(rows, LENGTH, dtype=torch.int64)}

    torch.manual_seed(0)
    return Model(Encoder().eval(), signature, samples)


MODELS = {"cnn": cnn, "encoder": encoder}
Plant = tuple[str, str, Callable[[Path], None]]
"""The layer, what is made wrong in it, and what does so to a copy of the program."""


# ---- faults in ONNX


def onnx_plants(program: Path, quantized: bool) -> Iterator[Plant]:
    """Yield what can be made wrong in the file, node by node."""
    graph = onnx.load(program).graph
    kinds_of_weights = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT8)
    weights = {t.name for t in graph.initializer if t.data_type in kinds_of_weights}
    makers = {value: node for node in graph.node for value in node.output}
    for number, node in enumerate(graph.node):
        path = node.name.partition("/")[0]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        held = [weight_of(name, makers, weights) for name in node.input]
        kinds = [*faults_of(node, held, graph, quantized)]
        for what, change in kinds:
            yield path, f"{what} of {node.op_type}", planted_onnx(number, change)


def weight_of(name, makers, weights):
    """Return the initializer behind an input, and the node that dequantizes it if one does."""
    if name in weights:
        return name, None
    node = makers.get(name)
    if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in weights:
        return node.input[0], node.input[1]
    return None, None


def faults_of(node, held, graph, quantized):
    """Yield names and changes (graph, node) that make a node wrong."""
    if node.op_type not in ("Conv", "Gemm", "MatMul", "LayerNormalization", "Gather"):
        return
    main = next((each for each in held[:2] if each[0]), (None, None))
    if main[0] and main[1]:
        yield "scale x 1.5", lambda g, n: alter(g, main[1], lambda w: w * 1.5)
        yield "weight sign", lambda g, n: alter(g, main[0], negated)
    elif main[0]:
        yield "weight x 1.1", lambda g, n: alter(g, main[0], lambda w: w * np.float32(1.1))
        yield "sign of one row", lambda g, n: alter(g, main[0], one_negated)
    if len(held) > 2 and held[2][0] and not quantized:
        yield "bias + 0.1", lambda g, n: alter(g, held[2][0], lambda w: w + np.float32(0.1))
    named = {attribute.name for attribute in node.attribute}
    if "pads" in named and max(attribute(node, "pads").ints) == 1:
        yield "padding", lambda g, n: moved_padding(n)
    if node.op_type == "LayerNormalization" and "epsilon" in named:
        yield "epsilon", lambda g, n: setattr(attribute(n, "epsilon"), "f", 1e-3)


def attribute(node, name):
    return next(each for each in node.attribute if each.name == name)


def moved_padding(node):
    attribute(node, "pads").ints[:] = [0, 0, 2, 2]


def negated(weight):
    return np.clip(-weight.astype(np.int32), -127, 127).astype(weight.dtype)


def one_negated(weight):
    changed = weight.copy()
    row = int(np.abs(changed.reshape(len(changed), -1)).sum(1).argmax())
    changed[row] *= -1
    return changed


def alter(graph, name, change):
    tensor = next(each for each in graph.initializer if each.name == name)
    weight = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(weight).astype(weight.dtype), name))


def planted_onnx(number, change):
    def plant(program: Path) -> None:
        model = onnx.load(program)
        change(model.graph, model.graph.node[number])
        onnx.save(model, program)

    return plant


# ---- faults in .pte


def pte_plants(program: Path, quantized: bool, module: nn.Module) -> Iterator[Plant]:
    """Yield what can be made wrong in the file: the constants that are a module's weights."""
    buffers = constants(program)
    for path, weight in folded_weights(module):
        wanted = steps_of(weight) if quantized else [weight]
        for place, held in enumerate(buffers):
            kind = np.int8 if quantized else np.float32
            if any(same_numbers(held, each, kind) for each in wanted):
                factor = "weight x 0.7" if quantized else "weight x 1.1"
                for what, change in ((factor, scaled), ("sign", negated_bytes)):
                    yield path, what, planted_pte(place, kind, change)
                break


def constants(program: Path) -> list[bytes]:
    from executorch.exir._serialize._program import deserialize_pte_binary

    return list(deserialize_pte_binary(program.read_bytes()).named_data.buffers)


def folded_weights(module: nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights of layers, a batch norm's multiplied into those of its convolution."""
    layers = [(path, layer) for path, layer in module.named_modules()]
    for index, (path, layer) in enumerate(layers):
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.weight.detach()
        after = layers[index + 1][1] if index + 1 < len(layers) else None
        if isinstance(after, nn.BatchNorm2d):
            factor = after.weight / (after.running_var + after.eps).sqrt()
            weight = weight * factor.detach()[:, None, None, None]
        yield path, weight.numpy()


def steps_of(weight: np.ndarray) -> list[np.ndarray]:
    """Return the weights in steps of their channel's scale."""
    rows = weight.reshape(len(weight), -1)
    return [np.round(rows / np.abs(rows).max(1, keepdims=True) * 127)]


def same_numbers(held: bytes, wanted: np.ndarray, kind: type) -> bool:
    """Tell whether a constant has these numbers, in whatever order."""
    if len(held) != wanted.size * np.dtype(kind).itemsize:
        return False
    found = np.sort(np.frombuffer(held, kind).astype(np.float64))
    slack = 1.01 if kind is np.int8 else 1e-5
    return bool(np.abs(found - np.sort(wanted.ravel())).max() <= slack)


def scaled(weight: np.ndarray) -> np.ndarray:
    if weight.dtype == np.int8:
        return np.clip(np.round(weight * 0.7), -127, 127)
    return weight * 1.1


def negated_bytes(weight: np.ndarray) -> np.ndarray:
    return np.clip(-weight.astype(np.float32), -127, 127)


def planted_pte(place, kind, change):
    def plant(program: Path) -> None:
        from executorch.exir._serialize._program import (
            deserialize_pte_binary,
            serialize_pte_binary,
        )

        file = deserialize_pte_binary(program.read_bytes())
        weight = np.frombuffer(file.named_data.buffers[place], kind)
        file.named_data.buffers[place] = change(weight).astype(kind).tobytes()
        program.write_bytes(bytes(serialize_pte_binary(file)))

    return plant


# ---- the table


def once(make: Callable[..., object]) -> Callable[..., object]:
    """Return a function that does for a model only once what is the same for every fault."""
    made: dict[int, tuple[object, object]] = {}

    def remembered(model: object, *more: object) -> object:
        if id(model) not in made:
            made[id(model)] = (model, make(model, *more))
        return made[id(model)][1]

    return remembered


def twenty(plants: list[Plant]) -> list[list[Plant]]:
    """Return faults of twenty layers, evenly spread; each has its kinds, another one first."""
    by_layer: dict[str, list[Plant]] = {}
    for plant in plants:
        by_layer.setdefault(plant[0], []).append(plant)
    layers = list(by_layer)
    chosen = [layers[int(i)] for i in np.linspace(0, len(layers) - 1, min(FAULTS, len(layers)))]
    return [turned(by_layer[layer], turn) for turn, layer in enumerate(chosen)]


def turned(kinds: list[Plant], turn: int) -> list[Plant]:
    first = turn % len(kinds)
    return kinds[first:] + kinds[:first]


def measure(name: str, ending: str, precision: str, folder: Path) -> None:
    """Print one line of the table, and what was not found."""
    model, quantized = MODELS[name](), precision == "int8"
    kind = {"onnx": "onnxruntime", "pte": "executorch"}[ending]
    runtime = UseRuntime.model_validate(kind).build()
    about = {
        "signature": model.signature,
        "samples": model.samples(4, 11),
        "quantization": INT8 if quantized else None,
        "calibration": [model.samples(64, 12)],
    }
    program = folder / f"program.{ending}"
    runtime.export(model.module, metadata={}, activation="uint8", out=program, **about)
    if ending == "pte":
        runtime._trace, runtime._lower = once(runtime._trace), once(runtime._lower)
        if quantized:
            simulated = INT8.build()(
                model.module, signature=model.signature, batches=about["calibration"]
            )
            about["quantization"] = SimpleNamespace(build=lambda: lambda *_, **__: simulated)
    arrays = {key: value.numpy() for key, value in model.samples(ROWS, 13).items()}

    def look(file: Path) -> Located:
        insides = runtime.inside(file, model.module, **about)
        return locate(runtime.open(file), insides, arrays, model.signature, quantized=quantized)

    healthy = look(program)
    assert not healthy.departs, healthy
    plants = twenty(
        list(onnx_plants(program, quantized))
        if ending == "onnx"
        else list(pte_plants(program, quantized, model.module))
    )
    found, cpu = 0, time.process_time()
    bad, before = folder / f"bad.{ending}", runtime.open(program)(arrays)
    for kinds in plants:
        for layer, what, plant in kinds:
            bad.write_bytes(program.read_bytes())
            plant(bad)
            if (runtime.open(bad)(arrays)["logits"] != before["logits"]).any():
                break
            print(f"  {layer}: {what} changes nothing: the next kind", flush=True)
        else:
            raise AssertionError(f"no fault of {layer} changes anything")
        first = look(bad).first
        hit = first is not None and first.module == layer
        found += hit
        if not hit or "-v" in sys.argv:
            said = f"{first.module} {first.local_error:.3g}" if first else "nothing"
            print(f"  {'' if hit else 'MISSED '}{layer}: {what} -> {said}", flush=True)
    seconds = (time.process_time() - cpu) / len(plants)
    most = max(layer.local_error for layer in healthy.layers)
    print(
        f"| {name} | .{ending} | {precision} | {len(healthy.layers)} | {found} of {len(plants)} "
        f"| {most:.2g} | {seconds:.1f} |",
        flush=True,
    )


def main() -> None:
    """Print one line per model, runtime and precision."""
    torch.set_num_threads(1)
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__)
        return
    asked = [each for each in sys.argv[1:] if not each.startswith("-")]
    print("| model | program | precision | layers | named | healthy | CPU s a program |")
    print("|---|---|---|---|---|---|---|")
    for name in MODELS:
        for ending in ("onnx", "pte"):
            for precision in ("fp32", "int8"):
                if {*asked} <= {name, ending, precision}:
                    with tempfile.TemporaryDirectory() as made:
                        measure(name, ending, precision, Path(made))


if __name__ == "__main__":
    main()
