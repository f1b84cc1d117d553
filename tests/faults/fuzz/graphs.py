"""Structure-aware mutants of ONNX files: graphs that say what no exporter says."""

import random
from typing import Any

import onnx
from onnx import TensorProto, helper

from fuzz import hostile

NUMBERS = [0, -1, 1, 2, 7, 2**31 - 1, 2**31, -(2**31), 2**40, 2**63 - 1, -(2**63)]
LOCATIONS = (
    *("../x.bin", "../../../../etc/passwd", "/etc/passwd", "/dev/zero", "", ".", "..", "a\0b"),
    *("mutant.onnx", "x" * 300, "a/../../b", "\\\\server\\x", "nothing.bin", "/proc/self/mem"),
)
GROWING = ("ConstantOfShape", "Expand", "Tile", "Pad", "Resize", "OneHot", "Range")
ENDLESS = ("Loop", "If", "Scan", "SequenceMap")
OTHER = (
    "Nothing",
    "",
    "é",
    "x" * 10_000,
    "QLinearConv",
    "MatMulNBits",
    "Gather",
    "Reshape",
    "Cast",
)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return an ONNX file after a few changes of its graph."""
    model = onnx.load_model_from_string(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        rng.choice(CHANGES)(model, rng)
    return bytes(model.SerializeToString())


def _node(model: Any, rng: random.Random) -> Any:
    return rng.choice(model.graph.node)


def _names(model: Any) -> list[str]:
    return [name for node in model.graph.node for name in (*node.input, *node.output)]


def _operator(model: Any, rng: random.Random) -> None:
    kinds = [node.op_type for node in model.graph.node]
    _node(model, rng).op_type = rng.choice([*OTHER, *GROWING, *ENDLESS, *kinds, *kinds])


def _domain(model: Any, rng: random.Random) -> None:
    _node(model, rng).domain = rng.choice(["com.microsoft", "ai.onnx.ml", "x", "é", "x" * 5000])


def _wire(model: Any, rng: random.Random) -> None:
    """Lead an input or output elsewhere: to nothing, or round in a circle."""
    node = _node(model, rng)
    ends = rng.choice([node.input, node.output])
    if ends:
        ends[rng.randrange(len(ends))] = rng.choice([*_names(model), "", "nothing", "x" * 5000])


def _many_inputs(model: Any, rng: random.Random) -> None:
    _node(model, rng).input.extend([rng.choice(_names(model))] * rng.choice([1, 3, 10_000]))


def _attribute(model: Any, rng: random.Random) -> None:
    node = _node(model, rng)
    if not node.attribute:
        return
    one = rng.choice(node.attribute)
    number = rng.choice(NUMBERS)
    value = rng.choice([number, [number] * rng.choice([0, 1, 2, 4, 100]), float("nan"), "x", [1.0]])
    one.CopyFrom(helper.make_attribute(one.name, value or [0]))


def _attribute_type(model: Any, rng: random.Random) -> None:
    node = _node(model, rng)
    if node.attribute:
        rng.choice(node.attribute).type = rng.randrange(15)


def _tensor(model: Any, rng: random.Random) -> Any:
    return rng.choice(model.graph.initializer) if model.graph.initializer else TensorProto()


def _dims(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    if tensor.dims and rng.random() < 0.7:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    else:
        tensor.dims.extend([rng.choice(NUMBERS)] * rng.choice([1, 2, 64]))


def _data(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    raw = tensor.raw_data
    tensor.raw_data = rng.choice([b"", raw[:-1], raw * 2, b"\xff" * len(raw), raw[:4]])


def _data_type(model: Any, rng: random.Random) -> None:
    _tensor(model, rng).data_type = rng.choice([*range(25), 1000, 2**31 - 1])


def _both_data(model: Any, rng: random.Random) -> None:
    _tensor(model, rng).float_data.extend([1.0] * 10)


def _external(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", rng.choice(LOCATIONS)),
        ("offset", str(rng.choice([*NUMBERS, "x"]))),
        ("length", str(rng.choice([*NUMBERS, "x"]))),
    ):
        if rng.random() < 0.8:
            tensor.external_data.add(key=key, value=value)


def _port(model: Any, rng: random.Random) -> None:
    port = rng.choice([*model.graph.input, *model.graph.output])
    shape = port.type.tensor_type.shape
    if shape.dim and rng.random() < 0.6:
        shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice(NUMBERS)
    elif rng.random() < 0.5:
        port.type.tensor_type.elem_type = rng.choice([*range(25), 1000])
    else:
        port.name = rng.choice([*_names(model), "", rng.choice(hostile.TEXTS)])


def _opset(model: Any, rng: random.Random) -> None:
    if model.opset_import and rng.random() < 0.7:
        model.opset_import[0].version = rng.choice([*NUMBERS, 6, 8, 13])
    else:
        model.ir_version = rng.choice([*NUMBERS, 3, 99])


def _drop(model: Any, rng: random.Random) -> None:
    part = rng.choice([model.graph.node, model.graph.initializer, model.graph.input])
    if part:
        del part[rng.randrange(len(part))]


def _repeat(model: Any, rng: random.Random) -> None:
    part = rng.choice([model.graph.node, model.graph.initializer, model.graph.output])
    if part:
        copy = part[rng.randrange(len(part))]
        part.extend([copy] * rng.choice([1, 2, 200]))


def _nested(model: Any, rng: random.Random) -> None:
    """Put the graph into a branch of itself, again and again."""
    for _ in range(rng.choice([1, 5, 40])):
        inner = onnx.GraphProto()
        inner.CopyFrom(model.graph)
        if inner.ByteSize() > 1 << 20:
            return
        node = model.graph.node.add(op_type="If", name="n", input=[rng.choice(_names(model))])
        node.attribute.append(helper.make_attribute("then_branch", inner))
        node.attribute.append(helper.make_attribute("else_branch", inner))


def _growing(model: Any, rng: random.Random) -> None:
    """Ask for a tensor far larger than any memory, or for a loop without end."""
    number = rng.choice([10**6, 10**9, 2**40, 2**62])
    graph, first = model.graph, model.graph.node[0].input[0]
    graph.initializer.append(helper.make_tensor("huge", TensorProto.INT64, [2], [number, 64]))
    if rng.random() < 0.5:
        graph.node.insert(0, helper.make_node("ConstantOfShape", ["huge"], ["big"]))
        graph.node.insert(1, helper.make_node("ReduceSum", ["big"], ["one"], keepdims=0))
        graph.node.insert(2, helper.make_node("Add", [first, "one"], ["grown"]))
        graph.node[3].input[0] = "grown"
        return
    again = [helper.make_node("Identity", [n], [f"{n}_on"]) for n in ("go", "it")]
    kind = graph.input[0].type.tensor_type.elem_type
    go = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("go", "go_on")]
    it = [helper.make_tensor_value_info(n, kind, None) for n in ("it", "it_on")]
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    body = helper.make_graph(again, "body", [turn, go[0], it[0]], [go[1], it[1]])
    graph.initializer.append(helper.make_tensor("often", TensorProto.INT64, [], [2**62]))
    graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    graph.node.insert(0, helper.make_node("Loop", ["often", "yes", first], ["later"], body=body))
    graph.node[1].input[0] = "later"


CHANGES = (
    *(_operator, _operator, _domain, _wire, _wire, _many_inputs, _attribute, _attribute),
    *(_attribute_type, _dims, _dims, _data, _data, _data_type, _both_data, _external, _external),
    *(_port, _opset, _drop, _repeat, _nested, _growing),
)
