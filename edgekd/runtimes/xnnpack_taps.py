"""Values inside an ExecuTorch program, those of XNNPACK's parts among them.

A delegate is a black box to ExecuTorch: what it computes on its way is neither traced nor handed
out. But its graph lies in the file, so that a copy of the program can name inner values as outputs
of the delegate and of the program; weights, scales and operators stay those of the file.
"""

import json
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.errors import StageError

OUTPUT_FLAG, ANYWHERE = 2, 4294967295
"""XNNPACK's flag of a value that leaves the graph; the external number of one that does not."""
NO_HANDLE = 65535
TYPES = {"xnn_datatype_fp32": np.float32, "xnn_datatype_qint8": np.int8}
MOVING = ("Convert", "Copy", "StaticReshape", "StaticTranspose", "StaticSlice")
"""Operators that compute nothing; some bear the number of one that does."""
ALIGNED, WIDEST = 64, 8
"""Bytes that tensors begin at multiples of, and that a number takes at most."""


@dataclass(frozen=True)
class Tap:
    """A value that the copy hands out."""

    output: int
    """Its place among the copy's outputs."""
    handle: int
    """The number that ties XNNPACK's operator to the node that it was made of; of a kernel
    outside of XNNPACK its number among these."""
    operator: str
    kernel: bool = False
    """Whether a kernel of ExecuTorch's own computes it."""
    clamped: bool = False
    """Whether an activation is part of the operator."""
    scale: float | None = None
    zero: int = 0
    """Where it is in 8 bits: what a step is worth, and which one means 0."""
    last: bool = False
    """Whether its channels are last."""

    def real(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return the value in floats, its channels where PyTorch has them."""
        if self.scale is not None:
            value = (value.astype(np.float32) - self.zero) * np.float32(self.scale)
        return np.moveaxis(value, -1, 1) if self.last else value


def tapped(program: bytes) -> tuple[bytes, list[Tap], list[str]]:
    """Return a copy of the program with more outputs, these, and its kernels' names in order.

    StageError where the file holds something that cannot be read.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    file = deserialize_pte_binary(program)
    plan = next(plan for plan in file.program.execution_plan if plan.name == "forward")
    calls = [each.instr_args for chain in plan.chains for each in chain.instructions]
    stored = {
        number: file.program.backend_delegate_data[delegate.processed.index]
        for number, delegate in enumerate(plan.delegates)
    }
    graphs = {number: _read(bytes(data.data)) for number, data in stored.items()}
    delegates = [call for call in calls if type(call).__name__ == "DelegateCall"]
    kernels = [call for call in calls if type(call).__name__ == "KernelCall"]
    written = {number for call in kernels for number in _outs(plan, call)}
    written |= {n for d in delegates for n in _outputs(d.args, graphs[d.delegate_index][0])}
    shown = _Shown(plan, written)
    taps = []
    for call in delegates:
        graph, rest = graphs[call.delegate_index]
        taps += list(_tap_delegate(shown, call.args, graph))
        stored[call.delegate_index].data = _written(graph, rest)
    names = [plan.operators[call.op_index].name for call in kernels]
    for number, call in enumerate(kernels):
        place = shown.place(_outs(plan, call)[0])
        if place is not None:
            taps.append(Tap(place, number, names[number], kernel=True))
    return bytes(serialize_pte_binary(file)), taps, names


def _outs(plan: Any, call: Any) -> list[int]:
    """Return the tensors that a kernel writes, the first of several first."""
    import torch

    operator = plan.operators[call.op_index]
    try:
        schema = torch._C._get_schema(operator.name, operator.overload)
    except RuntimeError:  # an operator that PyTorch does not know: its last argument
        return [call.args[-1]]
    places = [place for place, argument in enumerate(schema.arguments) if argument.is_out]
    return [call.args[place] for place in places] or [call.args[-1]]


def _outputs(arguments: Sequence[int], graph: Mapping[str, Any]) -> list[int]:
    """Return the program's tensors that a delegate writes: it knows them by external number."""
    left = {*graph["output_ids"]}
    tensors = [_tensor(value) for value in graph["xvalues"]]
    return [arguments[each["external_id"]] for each in tensors if each["id_out"] in left]


def _read(payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Return XNNPACK's graph, every float in it as its 32 bits, and the constants after it."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    start, size = header.flatbuffer_offset, header.flatbuffer_size
    if not header.is_valid() or start + size > len(payload):
        raise StageError("the program's XNNPACK part cannot be read.")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "graph.fbs").write_text(_schema(), "utf-8")
        (folder / "graph.bin").write_bytes(payload[start : start + size])
        _flatc_decompile(made, str(folder / "graph.fbs"), str(folder / "graph.bin"))
        graph = json.loads((folder / "graph.json").read_text("utf-8"))
    return graph, payload[header.constant_data_offset :]


def _written(graph: Mapping[str, Any], constants: bytes) -> bytes:
    """Return the bytes of a delegate."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as form
    from executorch.exir._serialize._flatbuffer import _flatc_compile

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "graph.fbs").write_text(_schema(), "utf-8")
        (folder / "graph.json").write_text(json.dumps(graph), "utf-8")
        _flatc_compile(made, str(folder / "graph.fbs"), str(folder / "graph.json"))
        body = (folder / "graph.bin").read_bytes()
    align = form.CONSTANT_TENSOR_ALIGNMENT
    start = form._aligned_size(form.XNNHeader.EXPECTED_LENGTH, align)
    length = form._aligned_size(len(body), align)
    header = form.XNNHeader(start, len(body), start + length, len(constants)).to_bytes()
    return bytes(form._pad_to(header, start) + form._pad_to(body, length) + constants)


def _schema() -> str:
    """Return the form of XNNPACK's graph with whole numbers for floats.

    As text a float would lose its last digits, and with them a scale; both take 32 bits.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import _get_schema_bytes

    return re.sub(r"(?<=[:\[ ])float(?=[\];\s])", "uint", _get_schema_bytes().decode())


def _tap_delegate(shown: "_Shown", arguments: list[int], graph: dict[str, Any]) -> Iterator[Tap]:
    """Make the values of a delegate's operators outputs, and yield them."""
    values = {_tensor(value)["id_out"]: value for value in graph["xvalues"]}
    last = _channels_last(graph)
    for node in graph["xnodes"]:
        made = node["xnode_union"].get("output_id")
        operator = node["xnode_union_type"].removeprefix("XNN")
        if made is None or node["debug_handle"] == NO_HANDLE or operator in MOVING:
            continue
        tensor = _tensor(values[made])
        if tensor["datatype"] not in TYPES:
            continue
        if tensor["external_id"] == ANYWHERE:
            _hand_out(graph, tensor)
            arguments.append(shown.add(tensor))
        place = shown.place(arguments[tensor["external_id"]])
        if place is None:
            continue
        scale, zero = _steps(values[made])
        yield Tap(
            output=place,
            handle=node["debug_handle"],
            operator=operator,
            clamped=bool(node.get("output_min_max")),
            scale=scale,
            zero=zero,
            last=made in last,
        )


def _tensor(value: Mapping[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = value["xvalue_union"]
    tensor: dict[str, Any] = inner.get("tensor_value", inner)
    return tensor


def _steps(value: Mapping[str, Any]) -> tuple[float | None, int]:
    """Return scale and zero point of a value in 8 bits."""
    parameters = value["xvalue_union"].get("quant_params")
    if not parameters:
        return None, 0
    (scale,) = struct.unpack("<f", struct.pack("<I", parameters.get("scale", 0)))
    return scale, int(parameters.get("zero_point", 0))


def _channels_last(graph: Mapping[str, Any]) -> set[int]:
    """Return the values whose channels are last: from the transpose that makes them so, on."""
    last: set[int] = set()
    for node in graph["xnodes"]:
        about = node["xnode_union"]
        given = [v for k, v in about.items() if k.endswith("_id") and k != "output_id"]
        turned = about.get("perm") if node["debug_handle"] == NO_HANDLE else None
        if turned == [0, 2, 3, 1] or (turned is None and last.intersection(given)):
            last.add(about.get("output_id"))
    return last


def _hand_out(graph: dict[str, Any], tensor: dict[str, Any]) -> None:
    """Make a value an output of XNNPACK's graph, the last one."""
    tensor["external_id"] = graph["num_externs"]
    tensor["flags"] |= OUTPUT_FLAG
    graph["num_externs"] += 1
    graph["output_ids"].append(tensor["id_out"])


class _Shown:
    """The outputs of a program, and tensors that become such.

    Args:
        plan: the program's method.
        written: its tensors that some call writes; any other that calls read is an input, a
            constant, or a view of memory that another one names too.

    """

    def __init__(self, plan: Any, written: set[int]):
        self.plan = plan
        calls = [each.instr_args for chain in plan.chains for each in chain.instructions]
        read = {number for call in calls for number in getattr(call, "args", ())}
        views = read - written - {*plan.inputs}
        self.seen = [getattr(plan.values[n].val, "allocation_info", None) for n in views]

    def place(self, number: int) -> int | None:
        """Return the place of a tensor among the outputs, made one if need be.

        It then gets memory of its own, since what is not needed any more is written over. None
        where it is no such tensor, or where a view looks at the same memory.
        """
        if number not in self.plan.outputs:
            tensor = self.plan.values[number].val
            place = getattr(tensor, "allocation_info", None)
            if place is None or place in self.seen:
                return None
            self._move(tensor)
            self.plan.outputs.append(number)
        return int(self.plan.outputs.index(number))

    def add(self, tensor: Mapping[str, Any]) -> int:
        """Add a tensor like one of XNNPACK's to the program's outputs; return its number."""
        from executorch.exir import schema

        eight_bits = TYPES[tensor["datatype"]] is np.int8
        made = schema.Tensor(
            scalar_type=schema.ScalarType.CHAR if eight_bits else schema.ScalarType.FLOAT,
            storage_offset=0,
            sizes=list(tensor["dims"]),
            dim_order=list(range(tensor["num_dims"])),
            requires_grad=False,
            layout=0,
            data_buffer_idx=0,
            allocation_info=None,
            shape_dynamism=schema.TensorShapeDynamism.DYNAMIC_BOUND,
        )
        self._move(made)
        self.plan.values.append(schema.EValue(val=made))
        self.plan.outputs.append(len(self.plan.values) - 1)
        return len(self.plan.values) - 1

    def _move(self, tensor: Any) -> None:
        """Give a tensor memory that no other one uses."""
        from executorch.exir.schema import AllocationDetails

        sizes = [*self.plan.non_const_buffer_sizes, 0]
        if len(sizes) > 2:
            sizes.pop()
        place = _aligned(sizes[1])
        sizes[1] = place + _aligned(int(np.prod(tensor.sizes)) * WIDEST)
        self.plan.non_const_buffer_sizes = sizes
        tensor.allocation_info = AllocationDetails(1, place & (2**32 - 1), place >> 32)


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
