"""ONNX programs for ONNX Runtime, in fp32 or quantized."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import runtime
from edgekd.core.protocols.values import Arrays, Batch, Facts
from edgekd.core.quantization import precision_of
from edgekd.core.quiet import quiet
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Signature
from edgekd.runtimes import (
    onnx_faster,
    onnx_flow,
    onnx_graph,
    onnx_quantize,
    onnx_taps,
    optimum_export,
    ort_format,
)
from edgekd.runtimes.insides import Insides
from edgekd.runtimes.onnx_traced import Traced, TracedGraphs
from edgekd.runtimes.trace import (
    CannotExportError,
    example_inputs,
    named_dimensions,
    varying,
    varying_rows,
)

LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "off": "ORT_DISABLE_ALL",
}
"""Names of the graph optimisation levels in ONNX Runtime's own enumeration."""
TRACED = TracedGraphs()


class OnnxRuntime(Config):
    """How the ONNX program is written and later run."""

    opset: PositiveCount = 20
    """Version of the ONNX operator set."""
    optimize: bool = True
    """Let onnxscript fold constants and drop what is redundant before parity is checked."""
    format: Literal["onnx", "ort"] = "onnx"
    """`ort` is ONNX Runtime's own format, for builds that read no other. Its graph is rewritten now
    and not when it is loaded, for processors such as this one; with graph_level `extended` or
    less, for any."""
    graph_level: Literal["all", "extended", "basic", "off"] = "all"
    """How far ONNX Runtime rewrites the graph when it loads it. `all` is much faster for
    convolutions on x86; transformers can be faster with less: measure. Written into the program."""


@runtime(
    config=OnnxRuntime,
    check=onnx_quantize.check,
    distributions=("torch", "onnx", "onnxscript", "onnxruntime", "optimum-onnx"),
    activations=("uint8", "int8"),
    graph_levels=tuple(LEVELS),
)
class OnnxRuntimeRuntime:
    """Exports by the dynamo exporter and runs on the CPU with one thread."""

    runner = "bench_onnxruntime.py"

    def __init__(self, config: OnnxRuntime):
        self.config = config
        self.suffix = f".{config.format}"

    def export(
        self,
        model: nn.Module,
        *,
        signature: Signature,
        samples: Batch,
        metadata: Mapping[str, str],
        quantization: UseTransform | None,
        calibration: Sequence[Batch],
        activation: Literal["uint8", "int8"],
        out: Path,
    ) -> Facts:
        """Write the program to `out`; return its opset, graph level, precision and operators."""
        if quantization is not None:
            model = onnx_quantize.rounded(model, quantization, signature, calibration)
        graph, way = self._graph(model, signature, samples)
        onnx_graph.name_ports(graph, signature)
        onnx_graph.name_nodes_by_module(graph)
        onnx_faster.pool_globally(graph)
        computes = "float32"
        if quantization is not None:
            graph, computes = onnx_quantize.quantize(
                graph,
                quantization,
                signature=signature,
                calibration=calibration,
                activation=activation,
            )
        onnx_graph.strip(graph)
        facts: dict[str, Any] = {
            "precision": precision_of(quantization),
            "activation": computes,
            "opset": self.config.opset,
            "graph_level": self.config.graph_level,
        }
        own = {"signature": json.dumps(signature.as_dict()), "graph_level": self.config.graph_level}
        try:
            written = onnx_graph.write if self.config.format == "onnx" else self._write_ort
            written(graph, out, {**metadata, **own})
        except ValueError as error:
            raise StageError(
                f"the exporter wrote ONNX that is not valid: {error}", "Try another opset."
            ) from error
        return {**facts, **way, "operators": len(graph.graph.node)}

    def _write_ort(self, graph: Any, out: Path, metadata: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.onnx"
            onnx_graph.write(graph, plain, metadata)
            ort_format.convert(plain, out, LEVELS[self.config.graph_level])

    def _graph(self, model: nn.Module, signature: Signature, samples: Batch) -> Traced:
        """Return the model as an ONNX graph, and by whom where that is not PyTorch's exporter."""
        examples = example_inputs(signature, samples, batch=self.traced_rows)
        about = (model, signature, examples, self.config.opset, self.config.optimize)
        return TRACED.get(about, lambda: self._traced_anew(model, signature, samples))

    def _traced_anew(self, model: nn.Module, signature: Signature, samples: Batch) -> Traced:
        try:
            return self._trace(model, signature, samples).model_proto, {}
        except CannotExportError as error:
            network = optimum_export.network_of(model)
            if network is None:
                raise
            try:
                graph = optimum_export.export(network, signature, self.config.opset)
            except optimum_export.NotFollowedError as other:
                message = f"{error.message}\nOptimum's exporter cannot either: {other}"
                raise CannotExportError(message, error.next_step) from error
            return graph, {"exporter": "optimum"}

    def _trace(self, model: nn.Module, signature: Signature, samples: Batch) -> Any:
        """Return the model as the exporter's ONNX program."""
        import torch

        try:
            with quiet():
                program = torch.onnx.export(
                    model,
                    example_inputs(signature, samples, batch=self.traced_rows),
                    dynamo=True,
                    opset_version=self.config.opset,
                    dynamic_shapes=varying(signature, named_dimensions(signature)),
                    external_data=False,
                    optimize=self.config.optimize,
                    verbose=False,
                )
        except torch.onnx.errors.OnnxExporterError as error:
            raise CannotExportError(
                f"the model cannot be exported to ONNX: {_first_lines(error)}",
                "Avoid Python control flow that depends on tensor values in its forward().",
            ) from error
        assert program is not None
        return program

    def open(self, program: Path) -> Callable[[Arrays], Arrays]:
        """Return a function that runs the program with one thread, at its own graph level."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, LEVELS[self.config.graph_level]
        )
        session = ort.InferenceSession(program, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        wanted = [given.name for given in session.get_inputs()]

        def call(inputs: Arrays) -> Arrays:
            results = session.run(names, {name: inputs[name] for name in wanted})
            return dict(zip(names, results, strict=True))

        return call

    traced_rows = 2
    """Examples that a model is traced with: one would fix their number at one."""

    def try_export(self, module: nn.Module, inputs: Mapping[str, Any]) -> None:
        """Export a module called with `inputs`; raise what the exporter raises."""
        import torch

        with quiet():
            torch.onnx.export(
                module,
                kwargs=dict(inputs),
                dynamo=True,
                opset_version=self.config.opset,
                dynamic_shapes=varying_rows(inputs, self.traced_rows),
                optimize=self.config.optimize,
                verbose=False,
            )

    def flow(self, program: Path) -> Mapping[tuple[str, str], int]:
        """Return how many numbers go from module to module in a program; '' is outside."""
        return onnx_flow.flow(program)

    def inside(
        self,
        program: Path,
        model: nn.Module,
        *,
        signature: Signature,
        samples: Batch,
        quantization: UseTransform | None,  # noqa: ARG002  the file says where it rounds
        calibration: Sequence[Batch],  # noqa: ARG002
    ) -> Insides:
        """Return what the program computes on its way; `model` in fp32 is what it was made of."""
        import onnx

        if program.suffix == ".ort":
            raise StageError("a .ort file cannot be looked into; with format: onnx it could be.")
        traced = self._trace(model, signature, samples)
        before, after = traced.model_proto, traced.model_proto
        onnx_graph.name_ports(after, signature)
        written = onnx.load(program)
        values = onnx_taps.values_of(written, onnx_taps.named_values(before, after))
        return Insides(
            graph=traced.exported_program,
            operators=onnx_taps.operator_of(written, values),
            ask=onnx_taps.Tapped(program, values, LEVELS[self.config.graph_level]),
            rows=None,
        )


def _first_lines(error: Exception, lines: int = 6) -> str:
    return "\n".join(str(error).strip().splitlines()[:lines])
