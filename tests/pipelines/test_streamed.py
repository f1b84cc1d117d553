"""Data that is never in memory as a whole goes the whole way."""

import numpy as np
import pytest

import edgekd
from edgekd.core.refs import UseSource

TEXT = """\
name: streamed
threads: 1
task: {kind: image_classification, memory: stream, data: {kind: arrays, root: data}}
stages:
  teacher: {kind: teacher, model: {kind: resnet, width: 4}, train: {epochs: 1}}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: depthwise, width: 8, blocks: [1]}
    objective: [kd, cross_entropy]
    train: {epochs: 1}
  smaller: {kind: prune, model: $student, transform: {kind: channels, ratio: 0.25, round_to: 1}}
  int8: {kind: quantize, model: $smaller, transform: int8_static}
  onnx: {kind: export, model: $int8, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx]
    reference: $teacher
    bench: {mode: quick, restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}
    gates: {accuracy_drop: "<= 0.95"}
"""


@pytest.fixture
def run(tmp_path):
    digits = UseSource.model_validate("digits").build()
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        for name, column in digits.load(split).items():
            np.save(tmp_path / "data" / f"{split}_{name}.npy", column)
    (tmp_path / "streamed.yaml").write_text(TEXT)
    places = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
    return lambda *sets: edgekd.run(tmp_path / "streamed.yaml", sets=sets, **places)


def test_every_stage_reads_it_and_none_rests_on_how(run):
    first = run()
    assert first.exit_code == 0
    assert {"teacher", "teacher.outputs", "student", "int8", "onnx", "check"} <= {*first.ran}
    again = run("task.memory=hold", "task.readers=1")
    assert not again.ran
    assert again.exit_code == 0
