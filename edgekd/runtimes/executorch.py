"""ExecuTorch programs for the XNNPACK back-end, in fp32 or quantized."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.core.config import Config, PositiveCount
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import runtime
from edgekd.core.protocols.values import Arrays, Batch, Facts
from edgekd.core.quantization import Int4Weights, Int8Dynamic, precision_of
from edgekd.core.quiet import quiet
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Signature
from edgekd.runtimes import xnnpack_origins
from edgekd.runtimes.delegation import delegation, partition_reasons
from edgekd.runtimes.insides import Insides
from edgekd.runtimes.trace import CannotExportError, example_inputs, varying, varying_rows
from edgekd.runtimes.xnnpack_taps import tapped

METADATA = "metadata"
"""Name of the method that returns the program's metadata, a JSON object of texts."""


class ExecuTorch(Config):
    """How the ExecuTorch program is written."""

    max_batch: PositiveCount = 1
    """Largest batch that the program takes. Memory for it is planned ahead, so that a device
    that sees one example at a time wants 1."""
    max_sizes: Mapping[str, PositiveCount] = {}
    """Largest size of other named dimensions of the inputs; one that is not named here keeps
    the size that the samples have."""


def check(quantization: UseTransform) -> Iterator[Problem]:
    """Yield what of a specification XNNPACK cannot follow."""
    match quantization.options:
        case Int8Dynamic(convolutions=True):
            yield Problem(
                "model",
                "XNNPACK programs quantize no convolutions at run time (convolutions: true).",
                "Take int8_static, or export for onnxruntime.",
            )
        case Int4Weights(symmetric=False):
            yield Problem(
                "model",
                "XNNPACK has symmetric 4-bit weights only (symmetric: false).",
                "Leave symmetric out, or export for onnxruntime.",
            )
        case Int4Weights(activation="float32"):
            yield Problem(
                "model",
                "XNNPACK multiplies 4-bit weights by 8-bit inputs only (activation: float32).",
                "Leave activation out, or export for onnxruntime.",
            )


@runtime(config=ExecuTorch, check=check, distributions=("torch", "torchao", "executorch"))
class ExecuTorchRuntime:
    """Lowers to XNNPACK and runs through ExecuTorch's own runtime."""

    suffix = ".pte"
    runner = "bench_executorch.py"

    def __init__(self, config: ExecuTorch):
        self.config = config

    def export(
        self,
        model: nn.Module,
        *,
        signature: Signature,
        samples: Batch,
        metadata: Mapping[str, str],
        quantization: UseTransform | None,
        calibration: Sequence[Batch],
        activation: Literal["uint8", "int8"],  # noqa: ARG002  XNNPACK computes in int8 only
        out: Path,
    ) -> Facts:
        """Write the program to `out`; return its precision and what XNNPACK took over."""
        if quantization is not None:
            for problem in check(quantization):
                raise StageError(problem.message, problem.next_step)
            model = quantization.build()(model, signature=signature, batches=calibration)
        own = {
            "signature": json.dumps(signature.as_dict()),
            "max_batch": str(self.config.max_batch),
        }
        exported = self._trace(model, signature, samples)
        try:
            with partition_reasons() as reasons:
                lowered = self._lower(exported, json.dumps({**metadata, **own}))
            facts = delegation(lowered.exported_program().graph_module, reasons)
            with quiet():
                out.write_bytes(lowered.to_executorch().buffer)
        except Exception as error:  # its passes raise anything
            raise CannotExportError(
                f"the model cannot be lowered to XNNPACK: {error}",
                "Avoid operators that ExecuTorch does not know in its forward().",
            ) from error
        return {
            "precision": precision_of(quantization),
            "activation": "float32" if quantization is None else "int8",
            "max_batch": self.config.max_batch,
        } | facts

    def _trace(self, model: nn.Module, signature: Signature, samples: Batch) -> Any:
        """Return the model as PyTorch's exported program."""
        sizes = {"batch": self.config.max_batch, **self.config.max_sizes}
        shapes = varying(signature, {name: most for name, most in sizes.items() if most > 1})
        with quiet():
            try:
                return torch.export.export(
                    model,
                    example_inputs(signature, samples, self.traced_rows),
                    dynamic_shapes=shapes,
                )
            except Exception as error:
                raise CannotExportError(
                    f"the model cannot be exported by torch.export: {error}",
                    "Avoid Python control flow that depends on tensor values in its forward().",
                ) from error

    def _lower(self, exported: Any, metadata: str) -> Any:
        """Return the program in ExecuTorch's edge form, XNNPACK's parts taken out."""
        with quiet():
            from executorch.exir import to_edge_transform_and_lower

            return to_edge_transform_and_lower(
                exported,
                partitioner=[_partitioner()],
                constant_methods={METADATA: metadata},
            )

    @property
    def traced_rows(self) -> int:
        """Examples that a model is traced with: one would fix their number at one."""
        return min(self.config.max_batch, 2)

    def try_export(self, module: nn.Module, inputs: Mapping[str, Any]) -> None:
        """Export and lower a module called with `inputs`; raise what is raised there."""
        rows = self.traced_rows
        shapes = varying_rows(inputs, rows) if rows > 1 else None
        with quiet():
            exported = torch.export.export(module, (), dict(inputs), dynamic_shapes=shapes)
            self._lower(exported, "{}").to_executorch()

    def inside(
        self,
        program: Path,
        model: nn.Module,
        *,
        signature: Signature,
        samples: Batch,
        quantization: UseTransform | None,
        calibration: Sequence[Batch],
    ) -> Insides:
        """Return what the program computes on its way; the model is lowered once more for it.

        The file says nothing of modules: a fresh lowering tells which operator came from which.
        """
        with quiet(native=True):
            copy, taps, kernels = tapped(program.read_bytes())
            plain = xnnpack_origins.decomposed(self._trace(model, signature, samples))
            fresh = model
            if quantization is not None:
                fresh = quantization.build()(model, signature=signature, batches=calibration)
            lowered = self._lower(self._trace(fresh, signature, samples), "{}")
            found = xnnpack_origins.nodes_of(taps, kernels, lowered, plain)
            from executorch.runtime import Runtime

            loaded = Runtime.get().load_program(copy)
        names = [port.name for port in signature.outputs]

        def ask(inputs: Arrays, nodes: Collection[str]) -> tuple[Arrays, Arrays]:
            given = [torch.from_numpy(inputs[port.name].copy()) for port in signature.inputs]
            with quiet(native=True):
                values = _execute(loaded, given, program.name)
            own = {node: found[node].real(values[found[node].output]) for node in nodes}
            return dict(zip(names, values, strict=False)), own

        operators = {node: tap.operator for node, tap in found.items()}
        return Insides(plain, operators, ask, rows=self.config.max_batch)

    def open(self, program: Path) -> Callable[[Arrays], Arrays]:
        """Return a function that runs the program; larger batches go through it in parts."""
        with quiet(native=True):
            from executorch.runtime import Runtime

            loaded = Runtime.get().load_program(program)
            metadata = json.loads(loaded.load_method(METADATA).execute([])[0])
        signature = Signature.from_dict(json.loads(metadata["signature"]))
        step = int(metadata["max_batch"])

        def part(inputs: Arrays, start: int) -> list[Any]:
            given = [
                torch.from_numpy(inputs[port.name][start : start + step].copy())
                if port.shape[:1] == ("batch",)
                else torch.from_numpy(inputs[port.name])
                for port in signature.inputs
            ]
            return _execute(loaded, given, program.name)

        def call(inputs: Arrays) -> Arrays:
            rows = len(next(inputs[p.name] for p in signature.inputs if p.shape[:1] == ("batch",)))
            with quiet(native=True):  # the first call looks for CPU files and says what it misses
                parts = [part(inputs, start) for start in range(0, rows, step)]
            return {
                port.name: _joined([outputs[index] for outputs in parts])
                for index, port in enumerate(signature.outputs)
            }

        return call


def _partitioner() -> Any:
    """Return XNNPACK's partitioner, which here takes over int8 padding, too: XNNPACK has it."""
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import (
        ConstantPadConfig,
    )
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    class Padding(ConstantPadConfig):  # type: ignore[misc]
        def supported_precision_types(self) -> list[ConfigPrecisionType]:
            return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]

        def get_node_and_deps(self, node: Any, ep: Any) -> list[Any]:
            """Return what goes together: the roundings too, where both are the same."""
            (before,), after = node.all_input_nodes, [*node.users]
            one_step = len(after) == 1 and before.args[1:] == after[0].args[1:]
            found: list[Any] = super().get_node_and_deps(node, ep) if one_step else [node]
            return found

    own = {ConstantPadConfig: Padding}
    return XnnpackPartitioner([own.get(kind, kind) for kind in ALL_PARTITIONER_CONFIGS])


def _execute(loaded: Any, given: Sequence[torch.Tensor], name: str) -> list[NDArray[Any]]:
    """Return what a loaded program gives for its inputs, in order."""
    try:
        outputs = loaded.load_method("forward").execute(given)
    except RuntimeError as error:
        raise StageError(
            f"ExecuTorch could not run {name}: {error}",
            "ExecuTorch's own words are in the log; an input of another shape or type "
            "than the signature's is the usual cause.",
        ) from error
    return [tensor.numpy().copy() for tensor in outputs]


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts[0].ndim else parts[0]
