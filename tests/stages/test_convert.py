"""A given program beside its converted form, each opened by processes of its own alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.bisect.find import find
from edgekd.convert.asking import Objection, Wanted, Written, survey
from edgekd.core.artifact import Manifest
from edgekd.core.errors import Problem, RequestError, StageError
from edgekd.core.needs import ALONE, Hands
from edgekd.core.refs import Ref
from edgekd.pipeline.store import Store
from edgekd.runtimes.folder import load_program
from edgekd.stages import convert as stage
from edgekd.stages.convert import Convert, check, convert
from edgekd.stages.given import Given, given

WRITTEN = Written("", {}, "", "uint8", "all", {})
STATIC = {"kind": "int8_static", "examples": 64}


@dataclass
class FakePreview:
    file: str
    made_by: str
    task: Any = None
    targets: dict[str, Any] = field(default_factory=dict)
    hands: Hands = ALONE

    def task_of(self, ref: Ref) -> Any:
        return self.task

    def kind(self, ref: Ref) -> str:
        return self.made_by

    def options(self, ref: Ref) -> Given:
        return Given(file=self.file)

    def model(self, ref: Ref) -> None:
        return None

    def runtime(self, ref: Ref) -> None:
        return None

    def makes(self, ref: Ref) -> str:
        return "program"

    def transform(self, ref: Ref) -> None:
        return None


def write(path: Path, batch: Any = "n") -> Path:
    """Write a program of a convolution, a product and a Constant, in opset 11."""
    random = np.random.default_rng(0)
    kernel = random.standard_normal((8, 1, 3, 3)).astype(np.float32)
    head = random.standard_normal((288, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Constant", [], ["head"], value=numpy_helper.from_array(head)),
        helper.make_node("Conv", ["image", "kernel"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["kept"]),
        helper.make_node("Flatten", ["kept"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("image", [batch, 1, 8, 8]), ("logits", [batch, 10]))
    ]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    onnx.save(model, path)
    return path


def options(**more: Any) -> Convert:
    return Convert.model_validate({"program": "$net", **more})


def problems(config: Convert, file: Any, kind: str = "given") -> list[Problem]:
    return [*check(config, FakePreview(str(file), kind))]


def taken(bench: Any, file: Path) -> Any:
    given(Given(file=str(file)), bench.run("net"))
    return bench


def test_a_given_program_of_an_old_opset_is_quantized_and_says_what_of_it(bench, tmp_path):
    taken(bench, write(tmp_path / "p.onnx", batch=3))
    run = bench.run("int8")
    facts = convert(options(transform=STATIC | {"calibration": "percentile"}), run)
    program = load_program(run.out)
    assert (program.file, program.runtime, program.precision, program.model) == (
        "int8.onnx", "onnxruntime", "int8", "net",
    )  # fmt: skip
    assert program.signature == load_program(bench.folder / "net").signature
    assert facts["quantized"] == {"Conv": 1, "MatMul": 1}
    assert "opset 13 of 11, quantized 1 Conv, 1 MatMul, parity on 64 samples" in facts["says"]
    assert program.parity["reference"] == "net, as given"
    assert program.parity["outputs"][0]["largest"] > 0
    assert program.parity["outputs"][0]["found"]["agreement"] >= 0.9
    written = onnx.load(run.out / program.file)
    assert any(tensor.data_type == TensorProto.INT8 for tensor in written.graph.initializer)
    assert {p.key for p in written.metadata_props} >= {"precision", "signature", "graph_level"}
    assert [*run.unfinished.iterdir()] == []
    objection = survey(Wanted(str(run.out / program.file), {"kind": "int8_static"}, None))
    assert objection is not None
    assert "quantized already" in objection.message


def test_only_another_process_opens_the_file(bench, tmp_path, monkeypatch):
    taken(bench, write(tmp_path / "p.onnx"))

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("opened here")

    monkeypatch.setattr("onnx.load", opened)
    monkeypatch.setattr("onnxruntime.InferenceSession", opened)
    facts = convert(options(format="ort", graph_level="basic"), bench.run("small"))
    assert facts["precision"] == "as given"
    assert facts["parity"]["outputs"][0]["largest"] < 1e-4
    assert load_program(bench.folder / "small").facts["program"]["graph_level"] == "basic"


def test_a_damaged_file_is_refused_by_that_process(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"\x3a\x05\x01\x02")
    objection = survey(Wanted(str(bad), None, 17))
    assert objection is not None
    assert "bad.onnx cannot be read: it is cut short" in objection.message
    with pytest.raises(StageError, match=r"bad\.onnx cannot be read"):
        stage.rewrite(Wanted(str(bad), None, 17), WRITTEN)


def test_a_program_that_departs_stops_the_stage(bench, tmp_path, monkeypatch):
    taken(bench, write(tmp_path / "p.onnx"))

    def wrong(wanted: Wanted, written: Any) -> dict[str, Any]:
        model = onnx.load(wanted.file)
        model.graph.node[-1].output[0] = "scores"
        model.graph.node.append(helper.make_node("Neg", ["scores"], ["logits"]))
        onnx.save(model, written.out)
        return {"opset": 11, "opset_given": 11, "quantized": {"Conv": 1}, "left": []}

    monkeypatch.setattr(stage, "rewrite", wrong)
    with pytest.raises(StageError, match=r"'int8' \(int8\.onnx\) departs from 'net': output 'logi"):
        convert(options(transform=STATIC), bench.run("int8"))


def test_a_fixed_batch_larger_than_what_is_there_to_calibrate_with_is_refused(bench, tmp_path):
    taken(bench, write(tmp_path / "p.onnx", batch=16))
    with pytest.raises(StageError, match="takes 16 examples at a time, and there are fewer"):
        convert(options(transform=STATIC | {"examples": 8}), bench.run("int8"))


@pytest.mark.parametrize(
    ("more", "kind", "path", "said"),
    [
        ({"format": "ort"}, "export", "program", "not taken by a `given` stage"),
        ({}, "given", "", "nothing is to change"),
        ({"transform": {"kind": "int8_static", "calibration": "mse"}}, "given",
         "transform.calibration", "taken of a PyTorch graph"),
        ({"transform": {"kind": "magnitude", "ratio": 0.5}}, "given", "transform",
         "this is a quantize stage"),
    ],
)  # fmt: skip
def test_what_no_program_can_be_made_into_is_told_before_the_run(more, kind, path, said, tmp_path):
    found = problems(options(**more), write(tmp_path / "p.onnx"), kind)
    assert found[0].path == path
    assert said in str(found[0])


def test_what_the_graph_objects_is_told_before_the_run_at_its_place(tmp_path, monkeypatch):
    config = options(transform=STATIC)
    said = Objection("transform.exclude[0]", "no node of the program is called 'x'.", "Known: y.")
    monkeypatch.setattr(stage, "survey", lambda wanted: said)
    (problem,) = problems(config, write(tmp_path / "p.onnx"))
    assert (problem.path, problem.message) == (said.path, said.message)
    assert not problems(config, tmp_path / "missing.onnx")  # told by its own stage
    (tmp_path / "p.pte").write_bytes(b"x")
    (problem,) = problems(config, tmp_path / "p.pte")
    assert (problem.path, problem.message) == ("program", "p.pte is no .onnx file.")


def test_a_converted_program_cannot_be_compared_with_a_pytorch_model(bench, tmp_path):
    store = Store(tmp_path / "store")
    folder = store.root / "results" / "aa"
    folder.mkdir(parents=True)
    program = write(folder / "int8.onnx")
    files = {program.name: {"sha256": "0", "size": 1}}
    about = {"options": {"kind": "convert", "program": "$net"}}
    Manifest(
        "aa", "int8", "convert", "program", about, {"net": "1"}, {}, files, "2026", 1, 1, {}
    ).write(folder)
    with pytest.raises(RequestError, match="stage int8 took or converted it"):
        find(program, store)
