from pathlib import Path

import pytest
from onnx import TensorProto

from edgekd.bench import opened as module
from edgekd.bench.opened import OTHERWISE, Input, opened
from edgekd.core.errors import RequestError, StageError


def test_an_input_is_known_by_name_type_and_sizes(write):
    ports = (("x", TensorProto.FLOAT, (None, 3, "h")), ("n", TensorProto.INT64, ()))
    found = opened(write(inputs=ports))
    assert found.inputs == (Input("x", "float32", (None, 3, "h")), Input("n", "int64", ()))
    assert found.runtime == "onnxruntime"
    assert found.inputs[0].said == "'x', float32 [?, 3, h]"


@pytest.mark.parametrize("size", ["?", "", "??", " ", None, 0, -1])
def test_a_dimension_without_a_real_name_has_none(monkeypatch, place, size):
    (place / "m.onnx").touch()
    port = {"name": "x", "dtype": "float32", "shape": [size]}
    found = {"inputs": [port], "outputs": [], "version": "1"}
    monkeypatch.setattr(module, "describe", lambda path: found)
    assert opened(place / "m.onnx").inputs[0].shape == (None,)


def test_inputs_of_a_file_without_names_go_by_their_place(monkeypatch, place):
    (place / "m.pte").touch()
    ports = [{"name": "", "dtype": "float32", "shape": ["batch", 2]}] * 2
    found = {"inputs": ports, "outputs": [], "version": "1"}
    monkeypatch.setattr(module, "describe", lambda path: found)
    assert [each.name for each in opened(place / "m.pte").inputs] == ["input0", "input1"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.pt", "is no model file: its name does not end in one of .onnx, .ort, .pte"),
        ("m.onnx", "m.onnx is not there"),
        ("folder.onnx", "folder.onnx is a folder"),
    ],
)
def test_what_is_no_file_is_refused(place, name, said):
    (place / "folder.onnx").mkdir()
    with pytest.raises(RequestError, match=said):
        opened(Path(name))


@pytest.mark.parametrize("name", ["bad.onnx", "bad.ort", "bad.pte"])
def test_a_file_that_is_no_model_is_refused_with_what_to_do(place, name):
    (place / name).write_bytes(b"nothing of the kind")
    with pytest.raises(RequestError, match=f"{name} cannot be read: ") as raised:
        opened(place / name)
    assert OTHERWISE in str(raised.value)


def test_an_operator_that_the_runtime_lacks_is_said_with_what_to_do(write):
    with pytest.raises(RequestError, match=r"Fold9.* is not a registered function") as raised:
        opened(write(operator="Fold9", domain="com.example"))
    assert "lacks that operator; export the model without it" in str(raised.value)


@pytest.mark.parametrize(
    ("objected", "step"),
    [
        ("Unsupported model IR version: 99, max supported IR version: 13", "newer onnxruntime"),
        ("ai.onnx opset 99 is under development", "a lower opset"),
        ("input_tensor_meta: not a tensor", "with tensors alone"),
        ("it names external data that is no file beside it: 'w'", "Put the data beside"),
        ("Could not find an implementation for X(7): NOT_IMPLEMENTED", "no kernel on the CPU"),
    ],
)
def test_each_objection_has_its_next_step(monkeypatch, place, objected, step):
    def describe(path):
        raise StageError(f"{path.name} cannot be read: {objected}")

    (place / "m.onnx").touch()
    monkeypatch.setattr(module, "describe", describe)
    with pytest.raises(RequestError) as raised:
        opened(place / "m.onnx")
    assert objected in str(raised.value)
    assert step in str(raised.value)
