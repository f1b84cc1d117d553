import json
import runpy

import onnx
import pytest
import torch

from edgekd.bisect.find import find
from edgekd.bisect.process import compared
from edgekd.core import kinds
from edgekd.core.artifact import digest_file
from edgekd.core.errors import RequestError, StageError
from edgekd.core.refs import Ref
from edgekd.pipeline.store import Store
from edgekd.runtimes.folder import file_stem, load_program
from edgekd.runtimes.trace import CannotExportError
from edgekd.stages.export import export
from edgekd.stages.quantize import quantize


def options(model="student", runtime="onnxruntime", **more):
    config = kinds.stage.get("export").config
    return config.model_validate({"model": f"${model}", "runtime": runtime, **more})


@pytest.fixture(scope="module")
def quantized(make_bench, tmp_path_factory):
    """Return the folder of the student with its int8 specification."""
    config = kinds.stage.get("quantize").config
    run = make_bench(tmp_path_factory.mktemp("quantized")).run("int8")
    quantize(config.model_validate({"model": "$student", "transform": "int8_static"}), run)
    return run.out


@pytest.fixture
def int8(bench, quantized):
    (bench.folder / "int8").symlink_to(quantized)
    return bench


def test_an_fp32_program_comes_with_its_description_and_its_parity(bench):
    run = bench.run("student.onnx")
    facts = export(options(parity={"samples": 20}), run)
    assert {path.name for path in run.out.iterdir()} == {"student_onnx.onnx", "program.json"}
    program = load_program(run.out)
    assert (program.file, program.runtime, program.precision) == (
        "student_onnx.onnx", "onnxruntime", "fp32",
    )  # fmt: skip
    assert program.model == "student"
    assert program.model_digest == digest_file(bench.folder / "student" / "model.safetensors")
    assert program.parity["samples"] == 20
    assert program.parity["outputs"][0]["largest"] < 1e-4
    assert facts["size_bytes"] == (run.out / program.file).stat().st_size
    assert program.facts["labels"] == bench.task.facts()["labels"]
    carried = {p.key: p.value for p in onnx.load(run.out / program.file).metadata_props}
    assert carried["model_digest"] == program.model_digest
    assert json.loads(carried["labels"]) == list(program.facts["labels"])
    assert json.loads(carried["preprocessing"]) == program.facts["preprocessing"]
    assert {"edgekd_version", "signature", "graph_level"} <= set(carried)


@pytest.mark.parametrize("runtime", ["onnxruntime", "executorch"])
def test_an_int8_model_becomes_an_int8_program_on_either_runtime(int8, runtime):
    run = int8.run("program")
    facts = export(options("int8", runtime), run)
    program = load_program(run.out)
    assert program.precision == "int8"
    found = program.parity["outputs"][0]["found"]
    assert found["agreement"] >= 0.9
    assert found["accuracy_drop"] <= 0.05
    assert facts["activation"] == ("uint8" if runtime == "onnxruntime" else "int8")
    assert json.dumps({key: value for key, value in facts.items() if key != "result"})


def test_the_target_decides_the_activation_type(int8):
    int8.targets["board"] = {"quantization": {"activation": "int8"}}
    facts = export(options("int8", target="board"), int8.run("program"))
    assert facts["activation"] == "int8"


def test_a_program_that_departs_stops_the_stage_and_leaves_no_description(bench, monkeypatch):
    runtime = kinds.runtime.get("onnxruntime").target
    original = runtime.open

    def broken(self, program):
        call = original(self, program)
        return lambda inputs: {"logits": call(inputs)["logits"] + 1}

    monkeypatch.setattr(runtime, "open", broken)
    run = bench.run("bad")
    with pytest.raises(StageError, match=r"'bad' \(bad\.onnx\) departs .* output 'logits'"):
        export(options(), run)
    assert not (run.out / "program.json").exists()


def test_a_fault_in_one_layer_is_named_and_can_be_looked_at_again(bench, monkeypatch):
    runtime = kinds.runtime.get("onnxruntime").target
    original = runtime.export

    def faulty(self, model, *, out, **about):
        facts = original(self, model, out=out, **about)
        program = onnx.load(out)
        node = [n for n in program.graph.node if n.op_type == "Conv"][2]
        weight = next(t for t in program.graph.initializer if t.name == node.input[1])
        values = onnx.numpy_helper.to_array(weight) * -1
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        onnx.save(program, out)
        faulty.layer = node.name.partition("/")[0]
        return facts

    monkeypatch.setattr(runtime, "export", faulty)
    store = bench.folder / "store"
    (store / "unfinished" / "0f").mkdir(parents=True)
    run = bench.run("bad", unfinished=store / "unfinished" / "0f")
    with pytest.raises(StageError) as caught:
        export(options(), run)
    text, program = str(caught.value), run.unfinished / "bad.onnx"
    for part in (
        "'bad' (bad.onnx) departs from the PyTorch model",
        f"The first layer that departs is {faulty.layer} (Conv2d; Conv in the program)",
        f"All layers: {run.unfinished / 'layers.txt'}",
        f"edgekd bisect {program} --store {store}",
    ):
        assert part in text, part
    assert f"{faulty.layer} " in (run.unfinished / "layers.txt").read_text()
    again = compared(find(program, Store(store)), 1)
    assert again["found"]["departs"]
    assert again["found"]["samples"] == 16
    assert f"departs is {faulty.layer} " in again["says"][0]
    with pytest.raises(RequestError, match="not made by edgekd"):  # a case is only ours in a store
        find(program, Store(bench.folder / "other"))


def test_where_the_layers_cannot_be_compared_the_failed_parity_still_stands(bench, monkeypatch):
    runtime = kinds.runtime.get("onnxruntime").target
    original = runtime.open
    monkeypatch.setattr(
        runtime, "open",
        lambda self, program: lambda x: {"logits": original(self, program)(x)["logits"] + 1},
    )  # fmt: skip
    run = bench.run("own_format")
    with pytest.raises(StageError, match=r"(.|\n)*a \.ort file cannot be looked into"):
        export(options(runtime={"kind": "onnxruntime", "format": "ort"}), run)
    monkeypatch.setattr(runtime, "inside", None)
    with pytest.raises(StageError, match=r"departs from(.|\n)*could not be compared(.|\n)*loosen"):
        export(options(), bench.run("bad"))


def test_a_model_that_cannot_be_exported_is_narrowed_to_one_of_its_modules(bench, monkeypatch):
    runtime = kinds.runtime.get("onnxruntime").target

    def refuse(self, model, **about):
        raise CannotExportError("the model cannot be exported to ONNX: no", "")

    def only_linear(self, module, inputs):
        if any(isinstance(each, torch.nn.Linear) for each in module.modules()):
            raise ValueError("complex64 is not known")

    monkeypatch.setattr(runtime, "export", refuse)
    monkeypatch.setattr(runtime, "try_export", only_linear)
    run = bench.run("student.onnx")
    with pytest.raises(StageError) as caught:
        export(options(), run)
    text, file = str(caught.value), run.unfinished / "student_onnx_fails.py"
    assert "its module 'head' (Linear) fails on its own: complex64 is not known" in text
    assert "real and imaginary" in text
    assert f"python {file}" in text
    with pytest.raises(ValueError, match="complex64"):  # as the exporter here does
        runpy.run_path(str(file))


def test_file_names_are_safe():
    assert file_stem("student.onnx") == "student_onnx"
    assert file_stem("a/b..c") == "a_b__c"


def test_a_model_reference_is_not_a_program():
    assert options("x").model == Ref("x", ("model",))


def test_it_says_by_whom_a_program_was_exported_where_that_was_the_second_way(bench, monkeypatch):
    runtime = kinds.runtime.get("onnxruntime").target
    own = runtime._graph
    second = {"exporter": "optimum"}
    monkeypatch.setattr(runtime, "_graph", lambda self, *given: (own(self, *given)[0], second))
    facts = export(options(parity={"samples": 8}), bench.run("x"))
    assert facts["says"] == "x.onnx, fp32, parity on 8 samples, by optimum's exporter"


def test_a_program_in_onnx_runtimes_own_format_is_checked_and_described_alike(bench):
    run = bench.run("own")
    runtime = {"kind": "onnxruntime", "format": "ort"}
    facts = export(options(runtime=runtime, parity={"samples": 8}), run)
    assert facts["says"] == "own.ort, fp32, parity on 8 samples"
    assert facts["size_bytes"] == (run.out / "own.ort").stat().st_size
    assert load_program(run.out).file == "own.ort"
    assert {path.name for path in run.out.iterdir()} == {"own.ort", "program.json"}
