"""What ONNX Runtime notes of its operators, against a slow count and a graph with known modules."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.core.shipped import shipped

RUNNERS = str(shipped("targets") / "runners")
sys.path.insert(0, RUNNERS)
try:
    import operators
    import ort_profile
finally:
    sys.path.remove(RUNNERS)


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two convolutions with activations and a product, named after modules."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["getitem"], name="stem.0/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["getitem"], ["relu"], name="stem.1/Relu"),
        helper.make_node("Conv", ["relu", "w1"], ["conv2d"], name="body.conv/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["conv2d"], ["relu_1"], name="body.act/Relu"),
        helper.make_node("ReduceMean", ["relu_1"], ["mean"], name="pool/ReduceMean",
                         axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "w2"], ["y"], name="head/Gemm"),
    ]  # fmt: skip
    shapes = {"w0": (16, 3, 3, 3), "w1": (16, 16, 3, 3), "w2": (16, 4)}
    weights = [numpy_helper.from_array(random.normal(size=shape).astype("f4"), name)
               for name, shape in shapes.items()]  # fmt: skip
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 32, 32)),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]  # fmt: skip
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    file = tmp_path_factory.mktemp("model") / "m.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(file))
    return file


def noted(file: Path, folder: Path, runs: int = 8) -> str:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "p")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for _ in range(runs):
        session.run(None, {"x": np.ones((1, 3, 32, 32), np.float32)})
    return str(session.end_profiling())


def test_every_operator_of_a_rewritten_graph_is_found_in_its_module(
    convolutions: Path, tmp_path: Path
) -> None:
    found = ort_profile.operators(noted(convolutions, tmp_path), convolutions, 3)
    assert found["runs"] == 5
    places = {(each["operator"], each["module"]) for each in found["operators"]}
    # the activations were joined to the convolutions, whose channels were laid out anew
    assert {("Conv", "stem.0"), ("Conv", "body.conv"), ("Gemm", "head")} <= places
    assert {each["operator"] for each in found["operators"] if not each["module"]} <= {
        "ReorderInput", "ReorderOutput",
    }  # fmt: skip
    assert {each["calls"] for each in found["operators"]} == {1.0}
    assert 0 < sum(each["us"] for each in found["operators"]) <= found["whole_us"]


def test_a_file_without_names_has_times_and_no_modules(convolutions: Path, tmp_path: Path) -> None:
    named = noted(convolutions, tmp_path)
    found = ort_profile.operators(named, tmp_path / "m.ort", 0)
    assert {each["module"] for each in found["operators"]} == {""}
    assert any(each["operator"] == "Conv" for each in found["operators"])


def event(name: str, operator: str, ts: int, dur: int) -> dict[str, Any]:
    args = {"op_name": operator}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}


def test_an_operator_that_holds_others_takes_what_they_do_not() -> None:
    events = [
        event("a", "Add", 11, 4), event("b", "LSTM", 15, 20), event("inner", "If", 14, 22),
        event("outer", "If", 10, 30), event("c", "Add", 40, 5),
    ]  # fmt: skip
    assert {name: us for _, name, us in ort_profile.own(events)} == {
        "outer": 30 - 4 - 22, "a": 4, "inner": 22 - 20, "b": 20, "c": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "module"),
    [
        ("FusedGemm", "fused head/Gemm", "head"),
        ("QLinearConv", "stem.0/Conv_token_12", "stem.0"),
        ("Conv", "relu_nchwc", "stem.0"),
        ("QuantizeLinear", "getitem_QuantizeLinear", "stem.0"),
        ("FusedMatMul", "head/Gemm/MatMulScaleFusion/", "head"),
        ("ReorderInput", "ReorderInput", ""),
        ("Identity", "/layer1/block/Identity", "layer1/block"),
        ("Shape", "_empty_nn_module_stack_from_metadata_hook/Shape", ""),
    ],
)
def test_what_the_runtime_put_round_a_name_is_seen_through(
    kind: str, name: str, module: str
) -> None:
    made = [("stem.0/Conv", "Conv", "x"), ("stem.1/Relu", "Relu", "getitem"),
            ("head/Gemm", "Gemm", "mean"), ("/layer1/block/Identity", "Identity", "relu"),
            ("_empty_nn_module_stack_from_metadata_hook/Shape", "Shape", "x")]  # fmt: skip
    nodes = {one: {"name": one, "operator": does, "input": takes} for one, does, takes in made}
    nodes |= {"getitem": nodes["stem.0/Conv"], "relu": nodes["stem.1/Relu"]}
    assert ort_profile.module(kind, name, nodes) == module


def test_one_run_that_was_interrupted_counts_for_nothing() -> None:
    add, conv = ("Add", "a", None), ("Conv", "b", True)
    runs = [[(add, 2), (conv, 10), (add, 2)] for _ in range(7)] + [[(add, 2), (conv, 9000)]]
    found = operators.summed(runs, [14] * 7 + [9002])
    assert [(each["operator"], each["us"]) for each in found["operators"]] == [
        ("Conv", 10), ("Add", 4),
    ]  # fmt: skip
    assert found["operators"][1]["calls"] == 15 / 8
    assert found["whole_us"] == 14
