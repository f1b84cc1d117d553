"""Values inside an ONNX program, by the PyTorch node whose value each is.

The exporter calls values after the nodes of the PyTorch graph. Where a later rewrite made one
operator of several, as of a convolution and its batch norm, the last one's name is left: that
value is compared, and what was made one is one layer.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Arrays
from edgekd.runtimes.onnx_graph import LARGEST_FILE

DEQUANTIZED = "_DequantizeLinear_Output"
"""End of the name that ONNX Runtime's quantizer gives to a value after rounding."""


def named_values(before: Any, after: Any) -> dict[str, str]:
    """Return the program's name of every value by the exporter's, from its graph before and after.

    Both are the same graph; in the second the inputs and outputs have the signature's names.
    """
    pairs = zip(before.graph.node, after.graph.node, strict=True)
    return {
        old: new
        for one, other in pairs
        for old, new in zip(one.output, other.output, strict=True)
        if old
    }


def values_of(program: Any, names: Mapping[str, str]) -> dict[str, str]:
    """Return the program's value by PyTorch node: after rounding where the program rounds it."""
    there = {value for node in program.graph.node for value in node.output}
    rounded = {node: f"{value}{DEQUANTIZED}" for node, value in names.items()}
    wanted = {n: rounded[n] if rounded[n] in there else value for n, value in names.items()}
    return {node: value for node, value in wanted.items() if value in there}


def operator_of(program: Any, values: Mapping[str, str]) -> dict[str, str]:
    """Return the operator that computes each value, as `Conv`; rounding is none."""
    makers = {value: node for node in program.graph.node for value in node.output}
    return {name: _computing(makers, value) for name, value in values.items()}


def _computing(makers: Mapping[str, Any], value: str) -> str:
    """Return the operator's type, looked for behind a pair of quantize and dequantize."""
    node = makers[value]
    while node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] in makers:
        node = makers[node.input[0]]
    return str(node.op_type)


class Tapped:
    """An ONNX program that hands out values on its way, at a graph level of ONNX Runtime.

    Args:
        program: the file; what it computes is left as it is.
        values: its value by PyTorch node.
        level: name of the level in ONNX Runtime's enumeration.

    """

    def __init__(self, program: Path, values: Mapping[str, str], level: str):
        import onnx

        self.values, self.level = values, level
        self._sessions: dict[tuple[str, ...], Any] = {}
        self._model = onnx.load(program)
        self._outputs = [output.name for output in self._model.graph.output]
        if self._model.ByteSize() >= LARGEST_FILE:
            raise StageError(f"{program.name} is too large to look into: it has 2 GiB or more.")

    def __call__(self, inputs: Arrays, nodes: Collection[str]) -> tuple[Arrays, Arrays]:
        """Return the outputs, and the values of the nodes."""
        wanted = tuple(sorted({self.values[node] for node in nodes} - {*self._outputs}))
        session = self._session(wanted)
        names = [*self._outputs, *wanted]
        given = {port.name: inputs[port.name] for port in session.get_inputs()}
        found = dict(zip(names, session.run(names, given), strict=True))
        own = {node: found[self.values[node]] for node in nodes}
        return {name: found[name] for name in self._outputs}, own

    def _session(self, wanted: tuple[str, ...]) -> Any:
        if wanted not in self._sessions:
            self._sessions = {wanted: self._open(wanted)}
        return self._sessions[wanted]

    def _open(self, wanted: tuple[str, ...]) -> Any:
        import onnx
        import onnxruntime as ort

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, self.level)
        providers = ["CPUExecutionProvider"]
        return ort.InferenceSession(model.SerializeToString(), options, providers=providers)
