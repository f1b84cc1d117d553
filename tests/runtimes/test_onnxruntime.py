import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch

from edgekd.core.errors import RequestError, StageError
from edgekd.core.refs import UseModel, UseRuntime, UseTransform
from edgekd.ops.named import call_by_name
from edgekd.runtimes import onnxruntime
from edgekd.runtimes.onnx_traced import TracedGraphs
from edgekd.testing.tiny import CASES

INT8 = {"kind": "int8_static"}


def export(case, out, model=None, *, quantization=None, activation="uint8", **options):
    runtime = UseRuntime.model_validate({"kind": "onnxruntime", **options}).build()
    facts = runtime.export(
        model or case.model(),
        signature=case.signature,
        samples=case.samples(4),
        metadata={"labels": '["a", "b"]', "model_digest": "abc"},
        quantization=quantization and UseTransform.model_validate(quantization),
        calibration=[case.samples(32, seed) for seed in (0, 1)] + [case.samples(5, 2)],
        activation=activation,
        out=out,
    )
    return runtime.open(out), facts


def arrays(batch):
    return {name: value.numpy() for name, value in batch.items()}


def reference(case, batch, seed=0):
    with torch.no_grad():
        return call_by_name(case.model(seed), case.signature, batch)


@pytest.mark.parametrize("name", CASES)
def test_a_program_computes_what_the_model_computes_for_any_batch(name, tmp_path):
    case = CASES[name]
    program, _ = export(case, tmp_path / "m.onnx")
    for rows in (1, 7):
        batch = case.samples(rows, seed=5)
        outputs = program(arrays(batch))
        assert list(outputs) == [port.name for port in case.signature.outputs]
        for key, value in reference(case, batch).items():
            np.testing.assert_allclose(outputs[key], value.numpy(), atol=1e-5, rtol=1e-4)


def test_parts_of_classes_are_added_up_in_the_program(tmp_path):
    use = UseModel.model_validate({"kind": "subclasses", "of": "mlp", "parts": 3})
    case = CASES["residual"]
    model, batch = use.build()(case.signature).eval(), case.samples(7, seed=5)
    program, _ = export(case, tmp_path / "m.onnx", model)
    with torch.no_grad():
        wanted = call_by_name(model, case.signature, batch)["logits"]
    np.testing.assert_allclose(program(arrays(batch))["logits"], wanted.numpy(), atol=1e-5)


def test_exporting_twice_gives_the_same_bytes_and_traces_once(tmp_path, monkeypatch):
    case, traced = CASES["residual"], []
    trace = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *a, **k: traced.append(1) or trace(*a, **k))
    for name, quantization in (("a", INT8), ("b", None), ("c", INT8)):
        if name != "c":
            monkeypatch.setattr(onnxruntime, "TRACED", TracedGraphs())
        export(case, tmp_path / f"{name}.onnx", quantization=quantization)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    assert len(traced) == 2
    export(case, tmp_path / "d.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == (tmp_path / "d.onnx").read_bytes()
    export(case, tmp_path / "e.onnx", opset=19)
    export(case, tmp_path / "f.onnx", case.model(1))
    assert len(traced) == 4


def test_the_file_carries_names_metadata_and_nothing_of_this_machine(tmp_path):
    case = CASES["pair"]
    export(case, tmp_path / "m.onnx", graph_level="basic")
    model = onnx.load(tmp_path / "m.onnx")
    ports = (*case.signature.inputs, *case.signature.outputs)
    values = [*model.graph.input, *model.graph.output]
    assert [value.name for value in values] == [port.name for port in ports]
    for value, port in zip(values, ports, strict=True):
        dims = value.type.tensor_type.shape.dim
        assert tuple(d.dim_param or d.dim_value for d in dims) == port.shape
    found = {prop.key: prop.value for prop in model.metadata_props}
    assert found["labels"] == '["a", "b"]'
    assert found["graph_level"] == "basic"
    assert json.loads(found["signature"]) == case.signature.as_dict()
    assert b".py" not in (tmp_path / "m.onnx").read_bytes()


def test_nodes_are_called_after_modules(tmp_path):
    export(CASES["plain"], tmp_path / "m.onnx")
    names = [node.name for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert "body.0.0/Conv" in names
    assert "head/Gemm" in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("activation", ["uint8", "int8"])
@pytest.mark.parametrize("name", ["depthwise", "pair"])
def test_int8_programs_are_near_the_model_and_smaller_in_weights(name, activation, tmp_path):
    case = CASES[name]
    program, facts = export(case, tmp_path / "q.onnx", quantization=INT8, activation=activation)
    batch = case.samples(50, seed=1)
    outputs, expected = program(arrays(batch)), reference(case, batch)
    for key, value in expected.items():
        error = np.linalg.norm(outputs[key] - value.numpy()) / np.linalg.norm(value)
        assert error < 0.1
    model = onnx.load(tmp_path / "q.onnx")
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.dims}
    assert onnx.TensorProto.INT8 in kinds
    assert onnx.TensorProto.FLOAT not in {
        tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1
    }
    assert facts["precision"] == "int8"
    zero_points = {
        tensor.data_type
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
        for tensor in model.graph.initializer
        if tensor.name == node.input[2]
    }
    wanted = onnx.TensorProto.UINT8 if activation == "uint8" else onnx.TensorProto.INT8
    assert zero_points == {wanted}


@pytest.mark.parametrize("calibration", ["percentile", "entropy"])
def test_histogram_calibrations_take_batches_of_unequal_size(calibration, tmp_path):
    case = CASES["plain"]
    program, _ = export(case, tmp_path / "q.onnx", quantization=INT8 | {"calibration": calibration})
    batch = case.samples(50, seed=1)
    expected = reference(case, batch)["logits"].numpy()
    error = np.linalg.norm(program(arrays(batch))["logits"] - expected) / np.linalg.norm(expected)
    assert error < 0.3


def test_ranges_of_least_squares_are_the_same_whatever_the_type_of_activations(tmp_path):
    case, found = CASES["residual"], []
    batch = case.samples(50, seed=1)
    expected = reference(case, batch)["logits"].numpy()
    for activation in ("uint8", "int8"):
        path = tmp_path / f"{activation}.onnx"
        quantization = INT8 | {"calibration": "mse", "granularity": "tensor"}
        program, facts = export(case, path, quantization=quantization, activation=activation)
        assert (facts["precision"], facts["activation"]) == ("int8", activation)
        found.append(program(arrays(batch))["logits"])
    np.testing.assert_array_equal(*found)
    assert 0 < np.linalg.norm(found[0] - expected) / np.linalg.norm(expected) < 0.05


def test_an_excluded_module_keeps_its_float_weights(tmp_path):
    case = CASES["plain"]
    export(case, tmp_path / "q.onnx", quantization=INT8 | {"exclude": ("body.0", "head")})
    model = onnx.load(tmp_path / "q.onnx")
    floats = {t.name for t in model.graph.initializer if t.data_type == 1 and len(t.dims) > 1}
    assert floats == {"body.0.0.weight", "head.weight"}


def test_excluding_a_module_without_operators_says_so(tmp_path):
    with pytest.raises(RequestError, match=r"no operator .* module 'head\.none'"):
        export(CASES["plain"], tmp_path / "q.onnx", quantization=INT8 | {"exclude": ("head.none",)})


def float_tables(path):
    initializers = onnx.load(path).graph.initializer
    return {t.name for t in initializers if t.data_type == 1 and len(t.dims) > 1}


def operators(path):
    return {node.name: node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("quantization", "precision", "computes", "operator", "most"),
    [
        ({"kind": "int8_dynamic"}, "int8 dynamic", "uint8", "MatMulInteger", 0.05),
        ({"kind": "int4_weights"}, "int4 weights", "int8", "MatMulNBits", 0.3),
        (
            {"kind": "int4_weights", "symmetric": False, "activation": "float32"},
            "int4 weights",
            "float32",
            "MatMulNBits",
            0.3,
        ),
    ],
)
def test_each_kind_has_its_operators_in_every_linear_layer(
    quantization, precision, computes, operator, most, tmp_path
):
    case = CASES["pair"]
    program, facts = export(case, tmp_path / "q.onnx", quantization=quantization)
    assert (facts["precision"], facts["activation"]) == (precision, computes)
    assert [*operators(tmp_path / "q.onnx").values()].count(operator) == 3
    assert bool(float_tables(tmp_path / "q.onnx")) == (operator == "MatMulNBits")  # and scales
    batch = case.samples(50, seed=1)
    outputs, expected = program(arrays(batch)), reference(case, batch)
    for key, value in expected.items():
        error = np.linalg.norm(outputs[key] - value.numpy()) / np.linalg.norm(value)
        assert 1e-4 < error < most


def test_dynamic_int8_leaves_convolutions_and_excluded_layers_unless_asked(tmp_path):
    path = tmp_path / "q.onnx"
    export(CASES["plain"], path, quantization={"kind": "int8_dynamic"})
    assert "Conv" in operators(path).values()
    export(CASES["plain"], path, quantization={"kind": "int8_dynamic", "convolutions": True})
    assert {"Conv"}.isdisjoint(operators(path).values())
    for kind in ("int8_dynamic", "int4_weights"):
        export(CASES["pair"], path, quantization={"kind": kind, "exclude": ("logits",)})
        assert operators(path)["logits/Gemm_MatMul"] == "MatMul"
        assert "MatMul" not in {o for n, o in operators(path).items() if "logits" not in n}


@pytest.mark.parametrize(("activation", "level"), [("float32", 1), ("int8", 4)])
def test_a_product_of_4_bit_weights_says_what_it_may_round_its_input_to(
    activation, level, tmp_path
):
    quantization = {"kind": "int4_weights", "activation": activation}
    export(CASES["pair"], tmp_path / "q.onnx", quantization=quantization)
    products = [n for n in onnx.load(tmp_path / "q.onnx").graph.node if n.op_type == "MatMulNBits"]
    assert products
    for node in products:
        said = {attribute.name: attribute.i for attribute in node.attribute}
        assert said["accuracy_level"] == level  # of MatMulNBits: 1 is float32, 4 is int8


def test_embeddings_stay_in_fp32_where_they_are_to(tmp_path):
    quantization = {"kind": "int8_dynamic", "embeddings": False}
    export(CASES["pair"], tmp_path / "q.onnx", quantization=quantization)
    assert float_tables(tmp_path / "q.onnx") == {"tokens.weight", "segment.weight"}


@pytest.mark.parametrize(
    ("symmetric", "activation", "middle"), [(True, "uint8", 128), (False, "int8", 0)]
)
def test_symmetric_ranges_of_activations_have_zero_in_the_middle(
    symmetric, activation, middle, tmp_path
):
    quantization = INT8 | {"symmetric": symmetric}
    export(CASES["pair"], tmp_path / "q.onnx", quantization=quantization, activation=activation)
    graph = onnx.load(tmp_path / "q.onnx").graph
    values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    zeros = {int(values[n.input[2]]) for n in graph.node if n.op_type == "QuantizeLinear"}
    assert (zeros == {middle}) == symmetric


def test_a_transform_that_onnx_cannot_follow_is_refused(tmp_path):
    channels = {"kind": "channels", "ratio": 0.5}
    with pytest.raises(StageError, match="cannot be quantized by 'channels'"):
        export(CASES["plain"], tmp_path / "q.onnx", quantization=channels)


class Branching(torch.nn.Module):
    def forward(self, image):
        return image.flatten(1)[:, :10] if image.sum() > 0 else image.flatten(1)[:, 10:20]


def test_a_model_that_cannot_be_traced_is_a_stage_error(tmp_path):
    with pytest.raises(StageError, match="cannot be exported to ONNX"):
        export(CASES["plain"], tmp_path / "m.onnx", Branching())


def test_other_named_dimensions_vary_too(tmp_path):
    class Pool(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(9, 10)

        def forward(self, image):
            return self.table(image).mean(1)

    plain = CASES["plain"]
    port = dataclasses.replace(
        plain.signature.inputs[0], dtype="int64", shape=("batch", "sequence")
    )
    case = dataclasses.replace(
        plain, signature=dataclasses.replace(plain.signature, inputs=(port,))
    )
    model = Pool().eval()
    runtime = UseRuntime.model_validate("onnxruntime").build()
    runtime.export(
        model,
        signature=case.signature,
        samples={"image": torch.randint(0, 9, (3, 5))},
        metadata={},
        quantization=None,
        calibration=[],
        activation="uint8",
        out=tmp_path / "m.onnx",
    )
    longer = torch.randint(0, 9, (2, 11))
    found = runtime.open(tmp_path / "m.onnx")({"image": longer.numpy()})["logits"]
    np.testing.assert_allclose(found, model(longer).detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "quantization"), [("pair", None), ("residual", INT8)])
def test_a_program_in_onnx_runtimes_own_format_computes_the_same(name, quantization, tmp_path):
    case, batch = CASES[name], CASES[name].samples(7, seed=5)
    plain, _ = export(case, tmp_path / "m.onnx", quantization=quantization)
    program, facts = export(case, tmp_path / "m.ort", quantization=quantization, format="ort")
    assert (tmp_path / "m.ort").read_bytes()[4:8] == b"ORTM"
    assert facts["precision"] == ("int8" if quantization else "fp32")
    for key, value in plain(arrays(batch)).items():
        np.testing.assert_allclose(program(arrays(batch))[key], value, atol=1e-6)


def test_its_file_ends_as_its_format_says():
    for name in ("onnx", "ort"):
        use = UseRuntime.model_validate({"kind": "onnxruntime", "format": name})
        assert use.build().suffix == f".{name}"


def test_a_model_that_a_file_of_that_format_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("edgekd.runtimes.ort_format.LARGEST_FILE", 1000)
    with pytest.raises(StageError, match=r"a \.ort file holds 2 at most[\s\S]*Leave format out"):
        export(CASES["plain"], tmp_path / "m.ort", format="ort")


def test_without_optimization_the_graph_is_as_it_was_traced_and_computes_the_same(tmp_path):
    case, batch = CASES["plain"], CASES["plain"].samples(7, seed=5)
    optimized, fewer = export(case, tmp_path / "a.onnx")
    traced, more = export(case, tmp_path / "b.onnx", optimize=False)
    assert fewer["operators"] < more["operators"]
    np.testing.assert_allclose(
        traced(arrays(batch))["logits"], optimized(arrays(batch))["logits"], atol=1e-5
    )
