"""The second way to ONNX, with our own way made to fail."""

import json

import numpy as np
import onnx
import pytest
import torch

from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel, UseRuntime, UseTransform
from edgekd.core.signature import Port, Signature
from edgekd.runtimes import onnxruntime
from edgekd.runtimes.onnx_traced import TracedGraphs
from edgekd.runtimes.onnxruntime import OnnxRuntimeRuntime
from edgekd.runtimes.trace import CannotExportError
from edgekd.testing.tiny import CASES

SIGNATURE = Signature(
    (Port("image", "float32", ("batch", 3, 16, 16)),), (Port("logits", "float32", ("batch", 4)),)
)
SHAPE = {
    "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "patch_size": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    use = UseModel.model_validate({"kind": "pretrained", "config": SHAPE})
    return use.build()(SIGNATURE).eval()


@pytest.fixture
def _failing(monkeypatch):
    def fail(self, model, signature, samples):
        raise CannotExportError("the model cannot be exported to ONNX: planted", "Rewrite it.")

    monkeypatch.setattr(OnnxRuntimeRuntime, "_trace", fail)
    monkeypatch.setattr(onnxruntime, "TRACED", TracedGraphs())


def images(rows, seed=0):
    return torch.randn(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def export(model, out, signature=SIGNATURE, samples=None, quantization=None):
    runtime = UseRuntime.model_validate("onnxruntime").build()
    facts = runtime.export(
        model,
        signature=signature,
        samples=samples or {"image": images(4)},
        metadata={"labels": "[]"},
        quantization=quantization,
        calibration=[{"image": images(32, 1)}],
        activation="uint8",
        out=out,
    )
    return runtime.open(out), facts


@pytest.mark.usefixtures("_failing")
def test_a_network_of_transformers_goes_the_second_way_and_computes_the_same(model, tmp_path):
    program, facts = export(model, tmp_path / "m.onnx")
    assert facts["exporter"] == "optimum"
    assert facts["opset"] == 20
    for rows in (1, 5):
        with torch.no_grad():
            expected = model(images(rows, 2)).numpy()
        found = program({"image": images(rows, 2).numpy()})
        np.testing.assert_allclose(found["logits"], expected, atol=1e-5)
    graph = onnx.load(tmp_path / "m.onnx").graph
    sizes = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, 16, 16]
    names = [node.name for node in graph.node]
    paths = {path for path, _ in model.named_modules()}
    of_layers = [name for name in names if ".layer.0." in name]
    assert of_layers
    assert {name.partition("/")[0] for name in of_layers} <= paths
    held = {prop.key: prop.value for prop in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(held["signature"]) == SIGNATURE.as_dict()


def test_our_own_way_goes_first_and_is_not_mentioned(model, tmp_path):
    _, facts = export(model, tmp_path / "m.onnx")
    assert "exporter" not in facts


@pytest.mark.usefixtures("_failing")
def test_it_is_quantized_like_any_other_and_leaves_modules_out(model, tmp_path):
    left_out = "network.vit.encoder.layer.0.intermediate.dense"
    use = UseTransform.model_validate({"kind": "int8_static", "exclude": (left_out,)})
    _, facts = export(model, tmp_path / "m.onnx", quantization=use)
    assert facts["precision"] == "int8"
    graph = onnx.load(tmp_path / "m.onnx").graph
    rounded = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    float_ones = [node.name for node in products if node.input[1] not in rounded]
    assert [name.partition("/")[0] for name in float_ones] == [left_out]


@pytest.mark.usefixtures("_failing")
def test_a_model_of_other_make_fails_with_our_own_reason_alone(tmp_path):
    case = CASES["plain"]
    with pytest.raises(StageError) as raised:
        export(case.model(), tmp_path / "m.onnx", case.signature, case.samples(4))
    assert raised.value.message == "the model cannot be exported to ONNX: planted"


@pytest.mark.usefixtures("_failing")
def test_where_the_second_way_fails_too_both_reasons_are_told(model, tmp_path):
    strange = Signature(SIGNATURE.inputs, (Port("embedding", "float32", ("batch", 4)),))
    said = r"planted\s+Optimum's exporter cannot either: its ports are logits"
    with pytest.raises(StageError, match=said):
        export(model, tmp_path / "m.onnx", strange)
