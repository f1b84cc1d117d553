"""Programs of others: taken as they are where they fit, refused with the reason where not."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.core.errors import StageError
from edgekd.core.needs import ALONE, Hands
from edgekd.core.refs import Ref
from edgekd.devices.bench import program_files
from edgekd.runtimes.folder import load_program
from edgekd.stages.export import Export, export
from edgekd.stages.given import Given, check, given


@dataclass
class FakePreview:
    task: Any
    targets: dict[str, Any] = field(default_factory=dict)
    hands: Hands = ALONE

    def task_of(self, ref: Ref) -> Any:
        return self.task

    def model(self, ref: Ref) -> None:
        return None

    def runtime(self, ref: Ref) -> None:
        return None

    def kind(self, ref: Ref) -> None:
        return None

    def makes(self, ref: Ref) -> str:
        return "model"

    def options(self, ref: Ref) -> None:
        return None

    def transform(self, ref: Ref) -> None:
        return None


def write(path: Path, *, name="image", dtype=TensorProto.FLOAT, shape=("n", 1, 8, 8), out="logits"):
    """Write a program that sums each picture into ten equal scores."""
    nodes = [
        helper.make_node("Cast", [name], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], [out]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, dtype, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, [shape[0], 10])],
        [numpy_helper.from_array(np.ones((np.prod(shape[1:]), 10), np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def outside(path: Path, location: str) -> Path:
    """Have a program name its weights at a place."""
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    (path.parent / "weights.data").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    return path


def problems(config: Given, task: Any) -> list[str]:
    return [f"{problem.path}: {problem}" for problem in check(config, FakePreview(task))]


@pytest.mark.parametrize("runtime", ["onnxruntime", "executorch"])
def test_a_program_of_ours_is_taken_as_given_and_keeps_its_signature(bench, runtime, tmp_path):
    run = bench.run("made")
    export(Export.model_validate({"model": "$student", "runtime": runtime}), run)
    made = load_program(run.out)
    file = (run.out / made.file).rename(tmp_path / f"größe 1{Path(made.file).suffix}")
    config = Given(file=str(file))
    assert not problems(config, bench.task)
    assert config.runtime.kind == runtime
    taken = bench.run("taken")
    facts = given(config, taken)
    program = load_program(taken.out)
    assert program.signature == made.signature
    assert program.facts["labels"] == bench.task.facts()["labels"]
    assert (taken.out / program.file).read_bytes() == file.read_bytes()
    assert facts["size_bytes"] == file.stat().st_size


def test_a_single_input_may_have_a_name_of_its_own_and_a_batch_that_is_fixed(bench, tmp_path):
    file = write(tmp_path / "p.onnx", name="input.1", shape=(3, 1, 8, 8), out="495")
    run = bench.run("taken")
    given(Given(file=str(file)), run)
    (image,), (logits,) = (
        getattr(load_program(run.out).signature, end) for end in ("inputs", "outputs")
    )
    assert (image.name, image.shape) == ("image", (3, 1, 8, 8))
    assert (logits.name, logits.shape) == ("logits", (3, 10))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": ("n", 3, 8, 8)}, "takes 'image' float32 [n, 3, 8, 8], where the task says"),
        ({"shape": ("n", 64)}, "takes 'image' float32 [n, 64]"),
        ({"dtype": TensorProto.UINT8}, "takes 'image' uint8"),
    ],
)
def test_a_program_of_another_task_is_refused_by_what_it_takes(bench, tmp_path, changes, said):
    file = write(tmp_path / "p.onnx", **changes)
    (problem,) = problems(Given(file=str(file)), bench.task)
    assert said in problem
    with pytest.raises(StageError, match="is no program of this task"):
        given(Given(file=str(file)), bench.run("taken"))


def test_a_program_that_takes_its_channels_last_is_refused_with_what_to_put_before_it(
    bench, tmp_path
):
    file = write(tmp_path / "p.onnx", shape=("n", 8, 8, 1))
    (problem,) = problems(Given(file=str(file)), bench.task)
    assert "takes 'image' float32 [n, 8, 8, 1], where the task says" in problem
    assert "put a Transpose with perm [0, 2, 3, 1] before it" in problem
    (problem,) = problems(Given(file=str(write(file, shape=("n", 8, 9, 1)))), bench.task)
    assert "Transpose" not in problem


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.onnx", None, "there is no file"),
        ("model.pt", b"x", "does not end in .onnx or .pte"),
        ("model.onnx", b"", "it is empty"),
        ("model.onnx", b"nothing of the kind", "no ONNX file"),
        ("model.pte", b"nothing of the kind", "cannot be read"),
    ],
)
def test_a_file_that_is_no_program_is_a_problem_of_the_plan(bench, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (problem,) = problems(Given(file=str(tmp_path / name)), bench.task)
    assert problem.startswith("file: ")
    assert said in problem


def test_external_data_is_copied_where_the_request_names_it(bench, tmp_path):
    file = outside(write(tmp_path / "p.onnx"), "weights.data")
    (problem,) = problems(Given(file=str(file)), bench.task)
    assert "Write data: [weights.data]" in problem
    config = Given(file=str(file), data=(str(tmp_path / "weights.data"),))
    assert not problems(config, bench.task)
    run = bench.run("taken")
    given(config, run)
    program = run.out / load_program(run.out).file
    assert program_files(program) == [program, run.out / "weights.data"]


@pytest.mark.parametrize(
    "location",
    ["../weights.data", "/etc/passwd", "a/../../weights.data", "link", "*/_ORT_MEM_ADDR_/*"],
)
def test_external_data_outside_the_folder_is_refused_before_a_runtime_opens_the_file(
    bench, tmp_path, location
):
    (tmp_path / "in").mkdir()
    (tmp_path / "weights.data").write_bytes(bytes(2560))
    (tmp_path / "in" / "link").symlink_to(tmp_path / "weights.data")
    file = outside(write(tmp_path / "in" / "p.onnx"), location)
    (problem,) = problems(Given(file=str(file)), bench.task)
    assert "names external data" in problem
    with pytest.raises(StageError, match="names external data"):
        given(Given(file=str(file)), bench.run("taken"))
    assert program_files(file) == [file]
