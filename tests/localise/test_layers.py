"""Every layer on the program's own inputs: what is wrong in one shows there and nowhere else."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgekd.core.refs import UseRuntime, UseTransform
from edgekd.localise.forced import compute, module_of
from edgekd.localise.layers import compare_layers, judged, parts
from edgekd.localise.locate import locate, sentences, table
from edgekd.testing.tiny import CASES

INT8 = UseTransform.model_validate("int8_static")
CASE = CASES["residual"]


@pytest.fixture(scope="module", params=["fp32", "int8"])
def program(request, tmp_path_factory):
    """Return runtime, file, what inspecting takes, and whether it is in 8 bits."""
    runtime, quantized = UseRuntime.model_validate("onnxruntime").build(), request.param == "int8"
    about = {
        "signature": CASE.signature,
        "samples": CASE.samples(4),
        "quantization": INT8 if quantized else None,
        "calibration": [CASE.samples(64, 3)],
    }
    file = tmp_path_factory.mktemp(request.param) / "m.onnx"
    runtime.export(CASE.model(), metadata={}, activation="uint8", out=file, **about)
    traced = runtime._trace(CASE.model(), CASE.signature, about["samples"])
    runtime._trace = lambda *_: traced  # the same for every fault
    return runtime, file, about, quantized


def look(program, file):
    runtime, _, about, quantized = program
    insides = runtime.inside(file, CASE.model(), **about)
    samples = {name: column.numpy() for name, column in CASE.samples(8, 5).items()}
    return locate(runtime.open(file), insides, samples, CASE.signature, quantized=quantized)


def test_a_healthy_program_departs_nowhere(program):
    found = look(program, program[1])
    assert not found.departs
    modules = [layer.module for layer in found.layers]
    for path in ("stem.0", "first.0.0", "first.1", "second.0", "shortcut", "head"):
        assert path in modules
    stem = found.layers[0]
    assert (stem.type, stem.operator) == ("Conv2d", "Conv")
    assert "stem.1" in stem.joined  # its batch norm is folded into it
    most = max(layer.local_error for layer in found.layers)
    assert most < (0.02 if program[3] else 1e-6)


def products(layer):
    return {(layer, "Conv"), (layer, "Gemm")}  # and not the Pad before the first one


@pytest.mark.parametrize(
    "layer", ["stem.0", "first.0.0", "first.1", "shortcut", "second.0", "head"]
)
def test_a_fault_in_any_layer_is_found_in_that_layer(layer, program, tmp_path):
    model = onnx.load(program[1])
    node = next(n for n in model.graph.node if n.name.partition("/")[::2] in products(layer))
    makers = {value: node for node in model.graph.node for value in node.output}
    held = node.input[1]
    name = makers[held].input[0] if held in makers else held
    tensor = next(each for each in model.graph.initializer if each.name == name)
    weight = numpy_helper.to_array(tensor)
    wrong = np.clip(np.round(weight * 0.6), -127, 127) if program[3] else weight * 1.001
    tensor.CopyFrom(numpy_helper.from_array(wrong.astype(weight.dtype), name))
    onnx.save(model, tmp_path / "bad.onnx")
    found = look(program, tmp_path / "bad.onnx")
    assert found.first.module == layer
    assert sum(each.departs for each in found.layers) == 1  # what comes after only passes it on
    assert any(f"departs is {layer} (" in line for line in sentences(found))
    assert sum(line.endswith("departs") for line in table(found)) == 1


def test_taken_from_the_model_itself_nothing_has_an_error():
    model, inputs = CASE.model(), [CASE.samples(2)["image"]]
    graph = torch.export.export(model, tuple(inputs))
    plain = compute(graph, inputs)
    forced = compute(graph, inputs, plain)
    assert all(torch.equal(plain[name], forced[name]) for name in plain)
    torch.testing.assert_close(list(plain.values())[-1], model(*inputs))
    paths = {module_of(node) for node in graph.graph.nodes if node.op == "call_function"}
    assert {("stem.0", "Conv2d"), ("", "Residual"), ("head", "Linear")} <= paths


def test_what_is_forced_reaches_what_comes_after_and_nothing_else():
    inputs = [CASE.samples(2)["image"]]
    graph = torch.export.export(CASE.model(), tuple(inputs))
    plain = compute(graph, inputs)
    names = list(plain)
    shortcut = next(n.name for n in graph.graph.nodes if module_of(n)[0] == "shortcut")
    forced = compute(graph, inputs, {shortcut: torch.zeros_like(plain[shortcut])})
    changed = [name for name in names if not torch.equal(plain[name], forced[name])]
    assert shortcut not in changed  # it is what PyTorch makes of its inputs
    assert names.index(changed[0]) > names.index(shortcut)
    assert changed[-1] == names[-1]


def insides_of(own, operators):
    """Return the insides of a stand-in of a program for x -> relu(x) * 2."""
    from edgekd.runtimes.insides import Insides

    class Double(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x) * 2

    graph = torch.export.export(Double(), (torch.zeros(2, 3),))
    return Insides(graph, operators, lambda inputs, nodes: ({}, own(inputs["x"])), 2)


SIGNATURE = dataclasses.replace(
    CASE.signature, inputs=(dataclasses.replace(CASE.signature.inputs[0], name="x"),)
)
OPERATORS = {"relu": "Relu", "mul": "Mul"}


@pytest.mark.parametrize(
    ("own", "first"),
    [
        (lambda x: {"relu": x.clip(0), "mul": x.clip(0) * 2}, None),
        (lambda x: {"relu": x, "mul": x * 2}, "relu"),
        (lambda x: {"relu": x.clip(0), "mul": x.clip(0) * 2.001}, "mul"),
        (lambda x: {"relu": x.clip(0)[:, :2], "mul": x.clip(0) * 2}, "relu"),
        (
            lambda x: {"relu": np.where(x == x.max(), np.nan, x.clip(0)), "mul": x.clip(0) * 2},
            "relu",
        ),
        (
            lambda x: {"relu": np.where(x == x.max(), np.inf, x.clip(0)), "mul": x.clip(0) * 2},
            "relu",
        ),
    ],
)
def test_the_layer_that_departs_is_told_by_its_own_error(own, first):
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    layers = compare_layers(insides_of(own, OPERATORS), {"x": x}, SIGNATURE, quantized=False)
    assert [layer.node for layer in layers] == ["relu", "mul"]
    assert next((layer.node for layer in layers if layer.departs), None) == first


def test_a_mask_of_attention_hides_no_error_beside_it():
    lowest = np.finfo(np.float32).min

    def own(x, factor):
        return {"relu": np.where(x > 1e30, x, x.clip(0, 1e30) * factor)}

    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    x[0, 0] = -lowest
    for factor, departs in ((1, False), (1.01, True)):
        insides = insides_of(lambda x, f=factor: own(x, f), {"relu": "Relu"})
        (layer,) = compare_layers(insides, {"x": x}, SIGNATURE, quantized=False)
        assert layer.departs == departs


def test_in_8_bits_a_layer_departs_that_rounds_much_more_than_the_others(program):
    insides = insides_of(lambda x: {"relu": x.clip(0), "mul": x.clip(0) * 2}, OPERATORS)
    (layer, _) = compare_layers(insides, {"x": np.ones((2, 3), "f4")}, SIGNATURE, quantized=True)

    def departing(*errors):
        layers = [dataclasses.replace(layer, local_error=error) for error in errors]
        return [each.departs for each in judged(layers, quantized=True)]

    # those that do not round do not count
    assert departing(0.0, 0.0, 0.01, 0.012, 0.02, 0.03, 0.2) == [False] * 6 + [True]
    assert departing(0.3, 0.3, 0.2, np.inf, np.nan) == [True, True, False, True, True]
    assert departing() == []


def test_samples_are_cut_into_calls():
    x = {"x": np.arange(5)[:, None], "labels": np.arange(5)}
    assert [len(part["x"]) for part in parts(x, SIGNATURE, 2)] == [2, 2, 1]
    assert [len(part["x"]) for part in parts(x, SIGNATURE, None)] == [5]
