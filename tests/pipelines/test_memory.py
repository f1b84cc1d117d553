"""A model with state, from a package, goes the whole way: trained, exported, measured."""

import json
import shutil
from pathlib import Path

import pytest

import edgekd

PLUGINS = Path(__file__).parent.parent / "plugins"
TEXT = """\
name: memory
threads: 1
plugins: [pairs_package]
task: {kind: streams}
stages:
  teacher: {kind: teacher, model: memory, train: {epochs: 4}}
  onnx: {kind: export, model: $teacher, runtime: onnxruntime}
  pte: {kind: export, model: $teacher, runtime: executorch}
  check:
    kind: validate
    programs: [$pte]
    reference: $onnx
    bench: {mode: quick}
    gates: {agreement: ">= 0.95"}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    package = tmp_path / "site" / "pairs_package"
    package.mkdir(parents=True)
    for name in ("pair_model.py", "stateful_model.py"):
        shutil.copy(PLUGINS / name, package)
    (package / "__init__.py").write_text("from pairs_package import pair_model, stateful_model\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    (tmp_path / "memory.yaml").write_text(TEXT)
    return edgekd.run(tmp_path / "memory.yaml", store=tmp_path / "store", runs=tmp_path / "runs")


def test_both_runtimes_carry_the_state_and_agree(run, tmp_path):
    assert run.exit_code == 0, run.gates
    for name in ("onnx", "pte"):
        compared = {part["output"] for part in run.facts[name]["parity"]["outputs"]}
        assert compared == {"logits", "after"}
    (path,) = (tmp_path / "store" / "results").glob("*/measurements.json")
    for measured in json.loads(path.read_text())["measurements"]:
        assert {"accuracy", "latency_p50_ms"} <= set(measured["quantities"])
