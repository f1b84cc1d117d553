"""What rewriting an exported graph is worth: as traced, by onnxscript, and by onnxslim on top.

    python tests/benchmarks/bench_onnx_optimizers.py [resnet mobilenet bert] [--seconds 60]

onnxslim takes part where it is installed; edgekd does not use it. ONNX Runtime, one thread, graph
level `all`, one example; all variants in turns in one process, a ratio is that of the least of
three calls within a turn, its interval a bootstrap over turns. Weights, and the encoder's biases
too, are by chance: with biases of zero a rewriter drops additions that no trained model lacks.
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from edgekd.core.quiet import quiet
from edgekd.core.refs import UseModel, as_read
from edgekd.core.signature import Port, Signature

OPSET = 20
LENGTH, VOCABULARY = 64, 8000


def picture(size: int, options: dict[str, Any], classes: int) -> tuple[nn.Module, Any]:
    signature = Signature(
        (Port("image", "float32", ("batch", 3, size, size)),),
        (Port("logits", "float32", ("batch", classes)),),
    )
    model = UseModel.model_validate(as_read(options)).build()(signature)
    return model, (torch.randn(2, 3, size, size),)


def bert() -> tuple[nn.Module, Any]:
    ports = tuple(
        Port(name, "int64", ("batch", "sequence"), values)
        for name, values in (("input_ids", VOCABULARY), ("attention_mask", 2))
    )
    signature = Signature(
        ports, (Port("logits", "float32", ("batch", 2)),), most=(("sequence", LENGTH),)
    )
    config = {"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6}
    config |= {"num_attention_heads": 12, "intermediate_size": 1536}
    model = UseModel.model_validate({"kind": "pretrained", "config": config}).build()(signature)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(torch.randn_like(parameter) * 0.02)
    tokens = torch.randint(0, VOCABULARY, (2, LENGTH))
    return model, (tokens, torch.ones_like(tokens))


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "resnet": lambda: picture(32, {"kind": "resnet", "depth": 20}, 10),
    "mobilenet": lambda: picture(
        224, {"kind": "pretrained", "config": {"model_type": "mobilenet_v2"}}, 1000
    ),
    "bert": bert,
}


def graphs(model: nn.Module, inputs: Any) -> dict[str, Any]:
    """Return the graph of each variant."""
    dims = tuple({0: torch.export.Dim("batch", min=1)} for _ in inputs)
    found = {}
    with quiet():
        for name, optimize in (("traced", False), ("onnxscript", True)):
            program = torch.onnx.export(
                model.eval(), inputs, dynamo=True, opset_version=OPSET, dynamic_shapes=(*dims,),
                external_data=False, optimize=optimize, verbose=False,
            )  # fmt: skip
            found[name] = program.model_proto
        if find_spec("onnxslim"):
            import onnxslim

            found["onnxslim"] = onnxslim.slim(found["onnxscript"])
    return found


def timed(found: dict[str, Any], inputs: Any, seconds: float) -> dict[str, list[float]]:
    """Return the least of three calls per turn, in s, by variant."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    runs = {}
    for name, graph in found.items():
        session = ort.InferenceSession(graph.SerializeToString(), options)
        names = [port.name for port in session.get_inputs()]
        runs[name] = (session, dict(zip(names, (x[:1].numpy() for x in inputs), strict=True)))
    times: dict[str, list[float]] = {name: [] for name in found}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, (session, given) in runs.items():
            calls = []
            for _ in range(3):
                began = time.perf_counter()
                session.run(None, given)
                calls.append(time.perf_counter() - began)
            times[name].append(min(calls))
    return times


def ratio(own: list[float], base: list[float]) -> str:
    """Return the median ratio with its interval."""
    each, rng = np.array(own) / np.array(base), np.random.default_rng(0)
    medians = [np.median(rng.choice(each, len(each))) for _ in range(500)]
    low, high = np.quantile(medians, [0.025, 0.975])
    return f"{np.median(each):.2f}x [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", help=", ".join(MODELS))
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    print("| model | nodes by variant | onnxscript / traced | onnxslim / onnxscript |")
    print("|---|---|---|---|")
    for name in asked.models or MODELS:
        torch.manual_seed(0)
        model, inputs = MODELS[name]()
        found = graphs(model, inputs)
        times = timed(found, inputs, asked.seconds)
        nodes = ", ".join(f"{kind} {len(graph.graph.node)}" for kind, graph in found.items())
        slim = ratio(times["onnxslim"], times["onnxscript"]) if "onnxslim" in times else "-"
        print(f"| {name} | {nodes} | {ratio(times['onnxscript'], times['traced'])} | {slim} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
