"""Graphs written for ONNX Runtime's faster kernels compute what they did."""

import copy

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.runtimes.onnx_faster import fill_channels, pool_globally

PICTURE = (2, 3, 12, 10)


def model(nodes, held, shape=PICTURE):
    """Return a model from `x` to `y`, with constants by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def answer(made, shape=PICTURE):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.random.default_rng(1).normal(size=shape).astype("f4")})[0]


def operators(made):
    return [node.op_type for node in made.graph.node]


def stem(channels=3, filters=16, size=3, unsigned=True, group=1, source="x"):
    """Return a convolution of the picture in 8 bits, as the quantizer writes it."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 127, (filters, channels // group, size, size), np.int8)
    step, low = np.float32(0.03), np.zeros(filters, np.int8)
    zero = np.uint8(120) if unsigned else np.int8(3)
    held = {"s": step, "z": zero, "w": weights, "ws": np.full(filters, step), "wz": low}
    nodes = [helper.make_node("Relu", ["x"], ["r"], "r")] if source == "r" else []
    nodes += [
        helper.make_node("QuantizeLinear", [source, "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "d"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "wd", axis=0),
        helper.make_node("Conv", ["d", "wd"], ["v"], "stem/Conv", group=group, strides=[2, 2],
                         pads=[0, 0, 1, 1]),
        helper.make_node("QuantizeLinear", ["v", "ss", "z"], ["vq"], "vq"),
        helper.make_node("DequantizeLinear", ["vq", "ss", "z"], ["y"], "y"),
    ]  # fmt: skip
    return nodes, held | {"ss": np.float32(0.5)}


@pytest.mark.parametrize(("channels", "size"), [(3, 3), (3, 7), (1, 3), (2, 5), (5, 3)])
def test_a_picture_gets_channels_of_zeros_and_the_answer_stays_the_same(channels, size):
    shape = (2, channels, 12, 10)
    made = model(*stem(channels, size=size), shape)
    filled = copy.deepcopy(made)
    fill_channels(filled)
    assert operators(filled)[:3] == ["QuantizeLinear", "Pad", "DequantizeLinear"]
    assert filled.graph.node[1].name == "stem/Pad"
    held = {t.name: t for t in filled.graph.initializer}
    assert held["w"].dims[1] % 4 == 0
    np.testing.assert_array_equal(answer(filled, shape), answer(made, shape))


@pytest.mark.parametrize(
    "given",
    [
        {"channels": 4},
        {"filters": 8},
        {"size": 8},
        {"channels": 1, "size": 7},
        {"unsigned": False},
        {"channels": 16, "group": 16},
        {"source": "r"},
    ],
    ids=str,
)
def test_where_it_does_not_pay_or_is_no_picture_nothing_changes(given):
    made = model(*stem(**given), (2, given.get("channels", 3), 12, 10))
    before = made.SerializeToString()
    fill_channels(made)
    assert made.SerializeToString() == before


@pytest.mark.parametrize("shared", ["d", "wd", "w"])
def test_what_others_read_too_is_left_alone(shared):
    nodes, held = stem()
    nodes.append(helper.make_node("Identity", [shared], ["other"], "other"))
    made = model(nodes, held)
    before = made.SerializeToString()
    fill_channels(made)
    assert made.SerializeToString() == before


def pooled(axes, *, keepdims=1, first="Conv"):
    rng = np.random.default_rng(0)
    held = {"w": rng.normal(size=(4, 3, 3, 3)).astype("f4"), "axes": np.array(axes)}
    taken = ["x", "w"] if first == "Conv" else ["x"]
    nodes = [
        helper.make_node(first, taken, ["c"], "a/Conv"),
        helper.make_node("Relu", ["c"], ["r"], "a/Relu"),
        helper.make_node("ReduceMean", ["r", "axes"], ["y"], "p/ReduceMean", keepdims=keepdims),
    ]
    return model(nodes, held)


@pytest.mark.parametrize("axes", [[2, 3], [-2, -1], [-1, -2]], ids=str)
def test_a_mean_over_the_plane_of_a_convolution_becomes_a_pooling(axes):
    made = pooled(axes)
    wanted = answer(made)
    pool_globally(made)
    assert made.graph.node[-1].name == "p/GlobalAveragePool"
    assert operators(made) == ["Conv", "Relu", "GlobalAveragePool"]
    np.testing.assert_allclose(answer(made), wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "given", [{"axes": [1]}, {"axes": [2, 3], "keepdims": 0}, {"axes": [2, 3], "first": "Exp"}]
)
def test_other_means_stay_what_they_are(given):
    made = pooled(**given)
    pool_globally(made)
    assert operators(made)[-1] == "ReduceMean"
