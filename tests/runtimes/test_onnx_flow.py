"""Numbers that go from module to module, as names and shapes of an ONNX graph tell them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.runtimes.onnx_flow import flow


def written(path):
    """Write a convolution, its activation, a normalization that the exporter added, and a head."""
    weights = {"w": np.ones((4, 3, 3, 3), "f4"), "axes": np.array([1, 2, 3])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "stem.conv/Conv"),
        helper.make_node("Relu", ["c"], ["r"], "stem.act/Relu"),
        helper.make_node("Exp", ["r"], ["e"], "stem.act/Exp"),
        helper.make_node("Add", ["e", "c"], ["a"], "_empty_nn_module_stack_from_hook/Add"),
        helper.make_node("ReduceSum", ["a", "axes"], ["y"], "head/ReduceSum"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, 1, 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_it_counts_the_numbers_of_one_example_between_modules_and_outside(tmp_path):
    assert flow(written(tmp_path / "m.onnx")) == {
        ("", "stem.conv"): 108,
        ("stem.conv", "stem.act"): 64,
        ("stem.act", ""): 64,
        ("stem.conv", ""): 64,
        ("", "head"): 64,
        ("head", ""): 1,
    }


def test_a_file_of_another_format_tells_nothing(tmp_path):
    assert flow(tmp_path / "m.ort") == {}
