"""From a program to its model and its layers, by the run or the store that has it."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

import edgekd
from edgekd.bisect.find import _written_by, find
from edgekd.bisect.process import compared
from edgekd.core.errors import RequestError, StageError
from edgekd.core.refs import UseRuntime
from edgekd.localise.case import inspect
from edgekd.models.folder import load_model
from edgekd.pipeline.store import Store
from edgekd.runtimes.folder import load_program

PIPELINE = """\
name: tiny
seed: 0
threads: 1
task: {kind: image_classification, data: digits, train_examples: 128}
stages:
  teacher:
    kind: teacher
    model: {kind: depthwise, width: 8, blocks: [1]}
    train: {epochs: 1}
  program: {kind: export, model: $teacher, runtime: onnxruntime}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder where the pipeline ran, and the run's folder."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(PIPELINE)
    run = edgekd.run(folder / "tiny.yaml", store=folder / ".edgekd", runs=folder / "runs")
    return folder, run


def bisect(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "edgekd", "bisect", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


def altered(finished, change):
    """Return a copy of the run's folder whose program was changed, beside the true one."""
    folder, run = finished
    made = folder / "runs" / "altered"
    made.mkdir(exist_ok=True)
    (made / "run.json").write_bytes((run.folder / "run.json").read_bytes())
    model = onnx.load(run.artifacts[0])
    change(model)
    onnx.save(model, made / "program.onnx")
    return made / "program.onnx"


def test_a_program_is_known_in_its_run_in_the_store_and_elsewhere(finished, tmp_path):
    folder, run = finished
    store, artifact = Store(folder / ".edgekd"), run.artifacts[0]
    elsewhere = tmp_path / "copied.onnx"
    elsewhere.write_bytes(artifact.read_bytes())
    stored = next((folder / ".edgekd" / "results").glob("*/program.onnx"))
    for place in (artifact, stored, elsewhere):
        wanted = find(place, store)
        assert wanted.model == str(run.folders["teacher"])
        assert wanted.runtime["kind"] == "onnxruntime"
        assert wanted.task["kind"] == "image_classification"
        assert (wanted.stage, wanted.altered) == ("program", False)
    assert find(artifact, store).file == str(folder / "tiny.yaml")


def test_what_cannot_be_compared_is_refused_with_the_reason(finished, tmp_path):
    folder, run = finished
    strange = tmp_path / "strange.onnx"
    strange.write_bytes(b"nothing of ours")
    store = Store(folder / ".edgekd")
    for artifact, where, reason in (
        (tmp_path / "program.ort", store, "ONNX Runtime's own format"),
        (tmp_path / "none.onnx", store, "no .onnx or .pte file"),
        (run.folder / "run.json", store, "no .onnx or .pte file"),
        (strange, store, "not made by edgekd, or its result is no longer in the store"),
        (run.artifacts[0], Store(tmp_path), "no longer in the store"),
    ):
        with pytest.raises(RequestError, match=reason):
            find(artifact, where)


def test_a_program_that_was_chosen_says_itself_how_it_was_written(finished):
    made = load_program(finished[1].folders["program"])
    runtime = UseRuntime.model_validate(_written_by(made))
    assert (runtime.kind, runtime.options.opset) == ("onnxruntime", 20)


def test_a_chosen_pte_in_8_bits_is_refused_for_want_of_samples(finished):
    stored = load_model(finished[1].folders["teacher"])
    use = UseRuntime.model_validate("executorch")
    with pytest.raises(StageError, match="kept no samples"):
        inspect(use, stored, Path("chosen.pte"), {}, quantized=True)


def test_paths_that_no_key_holds_are_looked_up_in_the_pipeline_file(finished):
    wanted = find(finished[1].artifacts[0], Store(finished[0] / ".edgekd"))
    hidden = dataclasses.replace(wanted, task={**wanted.task, "data": "<file>"})
    assert compared(hidden, 2)["found"]["samples"] == 2
    with pytest.raises(RequestError, match="its pipeline file is not known"):
        compared(dataclasses.replace(hidden, file=""), 2)


def test_a_model_that_is_gone_or_was_altered_is_refused(finished):
    folder, run = finished
    store, model = Store(folder / ".edgekd"), run.folders["teacher"]
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:-1] + b"x")
    try:
        with pytest.raises(StageError, match="kept result of teacher changed"):
            find(run.artifacts[0], store)
    finally:
        (model / "model.safetensors").write_bytes(weights)
    aside = model.rename(folder / "aside")
    try:
        with pytest.raises(RequestError, match="of stage teacher, is gone"):
            find(run.artifacts[0], store)
    finally:
        aside.rename(model)


def test_an_altered_program_is_compared_and_its_layer_named(finished):
    def negate(model):
        tensor = next(t for t in model.graph.initializer if t.name == "head.weight")
        weight = -numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))

    done = bisect(altered(finished, negate), "--samples", 4, cwd=finished[0])
    assert done.returncode == 1, done.stderr
    assert "4 samples" in done.stdout
    assert "not as stage program made it" in done.stdout
    assert "The first layer that departs is head (Linear; Gemm in the program)" in done.stdout
    assert done.stdout.count("departs\n") == 1


@pytest.mark.parametrize("content", [b"", b"no program of any kind"])
def test_a_file_that_cannot_be_read_is_told_with_what_to_do(content, finished):
    file = altered(finished, lambda model: None)
    file.write_bytes(content)
    done = bisect(file, cwd=finished[0])
    assert done.returncode == 1
    assert "program.onnx cannot be" in done.stderr
    assert "It is not as stage program made it: give the program of a new run." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_healthy_program_is_told_in_json(finished):
    done = bisect(finished[1].artifacts[0], "--samples", 2, "--json", cwd=finished[0])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["departs"], found["altered"], found["samples"]) == (False, False, 2)
    assert {"module", "operator", "shape", "error", "local_error"} <= set(found["layers"][0])


def test_a_file_that_names_data_of_others_is_never_opened(finished, tmp_path):
    def reach_out(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"

    file = altered(finished, lambda model: None)
    model = onnx.load(file)
    reach_out(model)
    file.write_bytes(model.SerializeToString())
    done = bisect(file, cwd=finished[0])
    assert done.returncode == 1
    assert "names external data outside its folder" in done.stderr
    assert "Traceback" not in done.stderr
