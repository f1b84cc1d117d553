"""A model with two integer inputs and two outputs goes the whole way: nothing assumes an image."""

import json
import shutil
from pathlib import Path

import pytest

import edgekd

PLUGIN = Path(__file__).parent.parent / "plugins" / "pair_model.py"
TEXT = """\
name: pairs
threads: 1
plugins: [pair_model.py]
task: {kind: pairs}
stages:
  teacher: {kind: teacher, model: {kind: pair_model, width: 16}, train: {epochs: 4}}
  student:
    kind: distill
    teacher: $teacher
    model: {kind: pair_model, width: 4}
    objective: [{kind: kd, temperature: 2.0}, cross_entropy]
    train: {epochs: 4}
  onnx: {kind: export, model: $student, runtime: onnxruntime}
  int8: {kind: quantize, model: $student, transform: {kind: int8_static, examples: 64}}
  onnx_int8: {kind: export, model: $int8, runtime: onnxruntime}
  check:
    kind: validate
    programs: [$onnx, $onnx_int8]
    reference: $teacher
    bench: {mode: quick, restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}
    gates: {peak_rss_mib: "<= 500"}
  report: {kind: report, of: [$check]}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    shutil.copy(PLUGIN, folder)
    (folder / "pairs.yaml").write_text(TEXT)
    return edgekd.run(folder / "pairs.yaml", store=folder / "store", runs=folder / "runs"), folder


def test_it_ends_with_programs_a_verdict_and_a_report(run):
    result, _ = run
    assert result.exit_code == 0, result.gates
    assert [Path(a).name for a in result.artifacts] == ["onnx.onnx", "onnx_int8.onnx"]
    assert result.report.is_file()


def test_its_quality_and_latency_are_measured(run):
    _, folder = run
    (path,) = (folder / "store" / "results").glob("*/measurements.json")
    for measured in json.loads(path.read_text())["measurements"]:
        assert {"accuracy", "latency_p50_ms", "size_mib"} <= set(measured["quantities"])
