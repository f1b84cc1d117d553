"""Graphs as others write them: quantized and still close, or refused by what is in the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.convert import surveying
from edgekd.convert.asking import Wanted, Written
from edgekd.convert.layers import layers, quantized
from edgekd.convert.rewriting import rewritten
from edgekd.convert.surveying import ObjectionError, surveyed
from edgekd.core.signature import Port, Signature

FLOAT, INT64, FLOAT16 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT16
IMAGE = Signature(
    (Port("image", "float32", ("batch", 1, 8, 8)),), (Port("logits", "float32", ("batch", 10)),)
)
STATIC = {"kind": "int8_static"}
node, value = helper.make_node, helper.make_tensor_value_info


def weights(name: str, *shape: int, dtype: Any = np.float32) -> Any:
    values = np.random.default_rng(len(name)).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(dtype), name)


def model(nodes, inputs, outputs, held, opset=17, **about):
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    domains = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8, **about)


def cnn(opset=17, *, batch: Any = "n", dtype=np.float32, last=()):
    """Return a convolution and a product whose nodes have no names."""
    kind = FLOAT if dtype is np.float32 else FLOAT16
    held = [weights("kernel", 8, 1, 3, 3, dtype=dtype), weights("head", 10, 288, dtype=dtype)]
    nodes = [
        node("Conv", ["image", "kernel"], ["seen"]),
        node("Relu", ["seen"], ["kept"]),
        node("Flatten", ["kept"], ["flat"]),
        node("Gemm", ["flat", "head"], ["logits"], transB=1),
        *last,
    ]
    ends = [value("image", kind, [batch, 1, 8, 8])], [value("logits", kind, [batch, 10])]
    return model(nodes, *ends, held, opset)


def images(rows: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"image": random.standard_normal((rows, 1, 8, 8)).astype(np.float32)}


class Tried:
    """What came of rewriting a model in a folder."""

    def __init__(self, folder: Path, given: Any):
        self.given, self.file, self.out = given, folder / "given.onnx", folder / "new.onnx"
        self.samples = folder / "samples"
        self.samples.mkdir()
        onnx.save(given, self.file)

    def as_(
        self,
        transform: dict[str, Any] | None = None,
        signature: Signature = IMAGE,
        draw: Callable[[int, int], dict[str, Any]] = images,
        *,
        rows: int = 32,
        opset: int | None = None,
        ending: str = ".onnx",
    ) -> dict[str, Any]:
        for index in range(3):
            np.savez(self.samples / f"{index:06}.npz", **draw(rows, index))
        self.out = self.out.with_suffix(ending)
        about = (str(self.samples), "uint8", "all", {"added": "x"})
        written = Written(str(self.out), signature.as_dict(), *about)
        return rewritten(Wanted(str(self.file), transform, opset), written)

    def error(self, inputs: dict[str, Any]) -> float:
        """Return how far the outputs are, as a share of their size; the worst of them."""
        before, after = (self._run(path, inputs) for path in (self.file, self.out))
        gaps = [
            np.square(a - b).mean() / np.square(b).mean()
            for a, b in zip(after, before, strict=True)
        ]
        return float(np.sqrt(max(gaps)))

    @staticmethod
    def _run(path: Path, inputs: dict[str, Any]) -> list[Any]:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)


@pytest.fixture
def tried(tmp_path):
    return lambda given: Tried(tmp_path, given)


def refused(tried: Tried, transform: dict[str, Any] | None, opset: int | None = None) -> Any:
    with pytest.raises(ObjectionError) as caught:
        surveyed(Wanted(str(tried.file), transform, opset))
    return caught.value.objection


@pytest.mark.parametrize(("opset", "then"), [(11, 13), (13, 13), (17, 17), (22, 22)])
def test_programs_of_any_opset_are_quantized_in_the_lowest_that_can_say_it(opset, then, tried):
    case = tried(cnn(opset))
    found = case.as_(STATIC)
    assert (found["opset_given"], found["opset"], found["quantized"], found["left"]) == (
        opset, then, {"Conv": 1, "Gemm": 1}, [],
    )  # fmt: skip
    assert 0 < case.error(images(16, 9)) < 0.05
    written = onnx.load(case.out)
    assert [i.name for i in written.graph.input] == ["image"]
    assert [i.data_type for i in written.graph.initializer].count(TensorProto.INT8) >= 2


def test_one_scale_for_a_tensor_leaves_the_opset_as_it_is(tried):
    case = tried(cnn(11))
    assert case.as_(STATIC | {"granularity": "tensor"})["opset"] == 11
    assert case.error(images(16, 9)) < 0.05


def test_weights_in_constant_nodes_are_quantized_and_metadata_is_kept(tried):
    given = cnn()
    for tensor in [*given.graph.initializer]:
        given.graph.node.insert(0, node("Constant", [], [tensor.name], value=tensor))
    del given.graph.initializer[:]
    helper.set_model_props(given, {"author": "somebody"})
    case = tried(given)
    assert case.as_(STATIC)["quantized"] == {"Conv": 1, "Gemm": 1}
    assert case.error(images(16, 9)) < 0.05
    held = {p.key: p.value for p in onnx.load(case.out).metadata_props}
    assert held.items() >= {"author": "somebody", "added": "x"}.items()


def test_weights_that_are_computed_of_constants_are_weights(tried):
    given = cnn()
    for tensor in given.graph.initializer:
        given.graph.node.insert(0, node("Identity", [f"raw_{tensor.name}"], [tensor.name]))
        tensor.name = f"raw_{tensor.name}"
    case = tried(given)
    assert case.as_(STATIC)["quantized"] == {"Conv": 1, "Gemm": 1}
    assert case.error(images(16, 9)) < 0.05


def test_constants_that_are_inputs_too_become_constants_alone(tried):
    given = cnn()
    given.graph.input.extend(value(t.name, FLOAT, t.dims) for t in given.graph.initializer)
    given.ir_version = 3  # of that time, when constants had to be inputs
    case = tried(given)
    case.as_(opset=18)
    assert [i.name for i in onnx.load(case.out).graph.input] == ["image"]


def test_a_program_that_takes_its_channels_last_is_quantized_behind_its_transpose(tried):
    given = cnn()
    given.graph.node[0].input[0] = "turned"
    given.graph.node.insert(0, node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2]))
    given.graph.input[0].CopyFrom(value("image", FLOAT, ["n", 8, 8, 1]))
    case = tried(given)
    signature = Signature((Port("image", "float32", ("batch", 8, 8, 1)),), IMAGE.outputs)
    draw = lambda rows, seed: {"image": images(rows, seed)["image"].transpose(0, 2, 3, 1)}  # noqa: E731
    assert case.as_(STATIC, signature, draw)["quantized"] == {"Conv": 1, "Gemm": 1}
    assert case.error(draw(16, 9)) < 0.05


def branches(*, outside: bool):
    """Return a program whose If multiplies by a constant of the graph around it, or all of it."""

    def branch(name: str, operator: str) -> Any:
        nodes = [node("MatMul", ["flat", "inner"], [f"{name}_m"], name=f"{name}_product")]
        nodes += [node(operator, [f"{name}_m"], [name])]
        return helper.make_graph(nodes, name, [], [value(name, FLOAT, ["n", 10])])

    whether = [
        node("ReduceSum", ["image"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        node(
            "If", ["positive"], ["logits"], name="which",
            then_branch=branch("then", "Relu"), else_branch=branch("else", "Neg"),
        ),
    ]  # fmt: skip
    held = [numpy_helper.from_array(np.float32(0), "zero")]
    if outside:
        held += [weights("kernel", 8, 1, 3, 3), weights("inner", 288, 10)]
        nodes = [node("Conv", ["image", "kernel"], ["c"]), node("Flatten", ["c"], ["flat"])]
    else:
        held += [weights("inner", 64, 10)]
        nodes = [node("Flatten", ["image"], ["flat"])]
    ends = [value("image", FLOAT, ["n", 1, 8, 8])], [value("logits", FLOAT, ["n", 10])]
    return model([*nodes, *whether], *ends, held)


def test_what_is_inside_an_if_stays_and_is_named_while_the_rest_is_quantized(tried):
    case = tried(branches(outside=True))
    found = case.as_(STATIC)
    assert found["quantized"] == {"Conv": 1}
    assert {(one["name"], one["why"]) for one in found["left"]} == {
        ("then_product", "inside If 'which'"),
        ("else_product", "inside If 'which'"),
    }
    assert case.error(images(16, 9)) < 0.05


def test_a_program_whose_layers_are_all_inside_an_if_is_refused_by_its_name(tried):
    said = refused(tried(branches(outside=False)), STATIC)
    assert (said.path, "If 'which'" in said.message) == ("transform", True)
    assert "without that branch" in said.next_step


def sequence(opset=17):
    """Return an LSTM that is told its state, and a product behind it."""
    held = [
        weights("w", 1, 64, 8), weights("r", 1, 64, 16), weights("head", 16, 10),
        numpy_helper.from_array(np.array([0], np.int64), "axis"),
    ]  # fmt: skip
    nodes = [
        node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        node("LSTM", ["steps", "w", "r", "", "", "h", "c"], ["", "last", "cell"], hidden_size=16),
        node("Squeeze", ["last", "axis"], ["state"]),
        node("MatMul", ["state", "head"], ["y"], name="head_product"),
    ]
    inputs = [value("x", FLOAT, ["n", 5, 8])]
    inputs += [value(name, FLOAT, [1, "n", 16]) for name in "hc"]
    outputs = [value("y", FLOAT, ["n", 10])]
    outputs += [value(name, FLOAT, [1, "n", 16]) for name in ("last", "cell")]
    return model(nodes, inputs, outputs, held, opset)


STEPS = Signature(
    (
        Port("x", "float32", ("batch", 5, 8)),
        Port("h", "float32", (1, "batch", 16)),
        Port("c", "float32", (1, "batch", 16)),
    ),
    tuple(Port(name, "float32", ("batch", 10)) for name in ("y", "last", "cell")),
    (("last", "h"), ("cell", "c")),
)


def steps(rows: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 5, 8)).astype(np.float32)
    return {"x": x} | {name: np.zeros((1, rows, 16), np.float32) for name in "hc"}


@pytest.mark.parametrize(
    "transform", [STATIC, STATIC | {"calibration": "percentile"}, {"kind": "int8_dynamic"}]
)
def test_an_lstm_stays_in_floats_beside_a_product_in_int8(transform, tried):
    case = tried(sequence())
    found = case.as_(transform, STEPS, steps)
    assert found["quantized"] == {"MatMul": 1}
    (lstm,) = found["left"]
    assert (lstm["operator"], lstm["why"]) == ("LSTM", f"{transform['kind']} takes no LSTM")
    assert case.error(steps(16, 9)) < 0.05


def texts():
    """Return a program of two sequences of integers and two outputs; its batch is three."""
    held = [weights("table", 20, 16), weights("other", 4, 16), weights("mix", 16, 16)]
    nodes = [
        node("Gather", ["table", "tokens"], ["t"], name="/words/Gather"),
        node("Gather", ["other", "segments"], ["s"], name="/segments/Gather"),
        node("Add", ["t", "s"], ["both"]),
        node("MatMul", ["both", "mix"], ["mixed"], name="/mix/MatMul"),
        node("ReduceMax", ["mixed"], ["top"], axes=[1], keepdims=0),
    ]
    inputs = [value(name, INT64, [3, 6]) for name in ("tokens", "segments")]
    outputs = [value("mixed", FLOAT, [3, 6, 16]), value("top", FLOAT, [3, 16])]
    return model(nodes, inputs, outputs, held)


PAIR = Signature(
    tuple(Port(name, "int64", (3, 6)) for name in ("tokens", "segments")),
    (Port("top", "float32", (3, 16)),),
)


def pairs(rows: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "tokens": random.integers(0, 20, (rows, 6)),
        "segments": random.integers(0, 4, (rows, 6)),
    }


@pytest.mark.parametrize(
    ("transform", "done"),
    [
        ({"kind": "int8_dynamic"}, {"Gather": 2, "MatMul": 1}),
        ({"kind": "int8_dynamic", "exclude": ("/words/*",)}, {"Gather": 1, "MatMul": 1}),
        (STATIC | {"calibration": "percentile"}, {"Gather": 2, "MatMul": 1}),
        ({"kind": "int4_weights"}, {"MatMul": 1}),
    ],
)
def test_two_integer_inputs_and_a_fixed_batch_go_through_every_kind(transform, done, tried):
    case = tried(texts())
    found = case.as_(transform, PAIR, pairs, rows=3)
    assert found["quantized"] == done
    if "exclude" in transform:
        assert [(one["name"], one["why"]) for one in found["left"]] == [
            ("/words/Gather", "excluded")
        ]
    assert 0 < case.error(pairs(3, 9)) < 0.15


def test_a_product_and_a_sum_that_are_put_together_are_quantized_or_excluded_by_name(tried):
    held = [weights("head", 64, 10), numpy_helper.from_array(np.ones((1, 10), np.float32), "b")]
    nodes = [
        node("Flatten", ["image"], ["flat"]),
        node("MatMul", ["flat", "head"], ["m"], name="last"),
        node("Add", ["m", "b"], ["logits"], name="sum"),
        node("MatMul", ["image", "eight"], ["more"], name="other"),
    ]
    held += [weights("eight", 8, 8)]
    outputs = [value("logits", FLOAT, ["n", 10]), value("more", FLOAT, ["n", 1, 8, 8])]
    case = tried(model(nodes, [value("image", FLOAT, ["n", 1, 8, 8])], outputs, held))
    assert case.as_(STATIC)["quantized"] == {"Gemm": 1, "MatMul": 1}
    found = case.as_(STATIC | {"exclude": ("last", "sum")})
    assert found["quantized"] == {"MatMul": 1}
    assert [one["why"] for one in found["left"]] == ["excluded"]


@pytest.mark.parametrize("around", ["norm", "turn"])
def test_a_product_that_is_excluded_stays_whatever_it_is_put_together_with(around, tried):
    held = [weights("head", 32, 10), weights("eight", 8, 8)]
    held += [numpy_helper.from_array(np.array([32, -1]), "shape")]
    held += [numpy_helper.from_array(np.full(10, 0.5, np.float32), name) for name in "sbmv"]
    nodes = [
        node("Reshape", ["image", "shape"], ["rows"], name="rows"),
        node("Transpose", ["rows"], ["turned"], name="turn", perm=[1, 0]),
        node("MatMul", ["image", "eight"], ["more"], name="other"),
    ]
    if around == "norm":
        nodes += [node("Relu", ["turned"], ["kept"], name="kept")]
        nodes += [node("MatMul", ["kept", "head"], ["made"], name="last")]
        nodes += [node("BatchNormalization", ["made", *"sbmv"], ["logits"], name="norm")]
    else:
        nodes += [node("Gemm", ["turned", "head"], ["logits"], name="last")]
    outputs = [value("logits", FLOAT, ["k", 10]), value("more", FLOAT, ["n", 1, 8, 8])]
    case = tried(model(nodes, [value("image", FLOAT, ["n", 1, 8, 8])], outputs, held))
    found = case.as_(STATIC | {"exclude": ("last",)})
    assert found["quantized"] == {"MatMul": 1}
    assert [(one["name"], one["why"]) for one in found["left"]] == [("last", "excluded")]


@pytest.mark.parametrize("kind", ["int8_dynamic", "int4_weights"])
def test_kinds_for_products_are_refused_where_most_weights_are_convolutions(kind, tried):
    nodes = [node("Conv", ["image", "kernel"], ["logits"])]
    outputs = [value("logits", FLOAT, ["n", 8, 6, 6])]
    given = model(
        nodes, [value("image", FLOAT, ["n", 1, 8, 8])], outputs, [weights("kernel", 8, 1, 3, 3)]
    )
    said = refused(tried(given), {"kind": kind})
    assert "72 of the program's 72 weights are in convolutions" in said.message
    assert said.next_step == "Take int8_static."


def test_a_program_that_is_quantized_already_is_refused(tried, tmp_path):
    case = tried(cnn())
    case.as_(STATIC)
    case.file = case.out
    said = refused(case, STATIC)
    assert "quantized already: it has DequantizeLinear 'head_Deq" in said.message
    assert "and 9 more operators" in said.message


def test_weights_in_half_precision_are_refused_by_the_name_of_an_operator(tried):
    said = refused(tried(cnn(dtype=np.float16)), STATIC)
    assert "weights of 2 operators are float16, such as those of Conv 'seen/Conv'" in said.message


def test_a_program_without_weights_is_refused(tried):
    nodes = [node("Relu", ["image"], ["logits"])]
    ends = [[value(name, FLOAT, ["n", 1, 8, 8])] for name in ("image", "logits")]
    said = refused(tried(model(nodes, *ends, [])), STATIC)
    assert "no operator with constant weights" in said.message


def test_a_name_that_no_node_has_is_refused_with_the_nearest(tried):
    said = refused(tried(cnn()), STATIC | {"exclude": ("seen/*", "sean/Conv")})
    assert said.path == "transform.exclude[1]"
    assert "Did you mean 'seen/Conv'?" in said.next_step


def test_an_opset_is_raised_with_the_same_outputs_and_never_lowered(tried):
    case = tried(cnn(11))
    assert case.as_(opset=17)["opset"] == 17
    assert case.error(images(8, 9)) < 1e-6
    said = refused(case, None, opset=9)
    assert (said.path, said.next_step) == ("opset", "Leave opset out.")


def test_an_opset_that_cannot_be_raised_is_refused_with_what_needs_it(tried, monkeypatch):
    def fails(*_: Any) -> None:
        raise RuntimeError("version_conversion.cc:1: convert: No Adapter for Odd")

    monkeypatch.setattr("onnx.version_converter.convert_version", fails)
    said = refused(tried(cnn(11)), STATIC)
    assert "has opset 11, and opset 13 is needed" in said.message
    assert "No Adapter for Odd" in said.message
    assert "granularity: tensor" in said.next_step


def test_an_opset_that_is_asked_for_and_too_low_is_refused(tried):
    case = tried(cnn(11))
    said = refused(case, STATIC, opset=12)
    assert (said.path, "quantized by needs 13" in said.message) == ("opset", True)
    assert "granularity: tensor" in said.next_step
    said = refused(case, {"kind": "int8_dynamic", "convolutions": True}, opset=9)
    assert (said.path, said.next_step) == ("opset", "Leave opset out.")


def test_a_program_of_no_operators_of_onnx_is_refused_by_what_it_lacks(tried):
    given = cnn()
    given.opset_import[0].domain = "com.microsoft"
    assert "the program has opset 0" in refused(tried(given), STATIC).message


def test_a_file_that_gives_nan_is_told_to_be_at_fault(tried):
    given = cnn(11)
    given.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((8, 1, 3, 3), np.nan, np.float32), "kernel")
    )
    with pytest.raises(ObjectionError, match="the file gives NaN in output 'logits'") as caught:
        tried(given).as_(STATIC)
    assert "Look at the file" in caught.value.objection.next_step


def test_a_converter_that_changes_what_is_computed_is_found_out(tried, monkeypatch):
    true = surveying.raised

    def wrong(graph: Any, opset: int) -> Any:
        graph = true(graph, opset)
        graph.graph.initializer[0].CopyFrom(weights("kernel.", 8, 1, 3, 3))
        graph.graph.initializer[0].name = "kernel"
        return graph

    monkeypatch.setattr(surveying, "raised", wrong)
    told = r"from opset 11 to 13, the program computes something else: given\.onnx departs from the"
    with pytest.raises(ObjectionError, match=f"{told} file: output"):
        tried(cnn(11)).as_(STATIC)


def test_the_runtimes_own_format_computes_the_same(tried):
    case = tried(cnn())
    assert case.as_(ending=".ort")["opset"] == 17
    assert case.error(images(8, 9)) < 1e-6


def test_a_single_input_may_be_called_otherwise(tried):
    given = cnn()
    given.graph.input[0].name = given.graph.node[0].input[0] = "input.1"
    given.graph.output[0].name = given.graph.node[3].output[0] = "495"
    case = tried(given)
    assert case.as_(STATIC)["quantized"] == {"Conv": 1, "Gemm": 1}
    assert case.error({"input.1": images(8, 9)["image"]}) < 0.05


def test_layers_count_and_quantized_ones_do_not_overlap(tried):
    case = tried(cnn())
    assert [layer.operator for layer in layers(case.given)] == ["Conv", "Gemm"]
    assert quantized(case.given) == {}
    case.as_(STATIC)
    assert layers(onnx.load(case.out)) == []
