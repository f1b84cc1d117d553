import json

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.refs import UseRuntime
from edgekd.models.folder import load_model, save_model
from edgekd.stages.quantize import quantize
from edgekd.train.exclusion import Choice


def options(kind="int8_static", stage=None, **transform):
    config = kinds.stage.get("quantize").config
    return config.model_validate(
        {"model": "$student", "transform": {"kind": kind, **transform}, **(stage or {})}
    )


def test_the_stage_keeps_the_weights_the_specification_and_the_samples(bench):
    run = bench.run("int8")
    facts = quantize(options(examples=70), run)
    before, after = load_model(bench.folder / "student"), load_model(run.out)
    for name, tensor in before.module.state_dict().items():
        assert torch.equal(after.module.state_dict()[name], tensor)
    assert after.quantization == options(examples=70).transform
    assert sum(len(batch["image"]) for batch in after.calibration) == 70
    assert all(set(batch) == {"image"} for batch in after.calibration)
    assert facts["calibration_examples"] == 70
    assert abs(facts["result"].value - facts["fp32"].value) < 0.05
    assert facts["says"].startswith("int8_static, ")


def test_without_simulating_the_model_is_the_same_and_only_its_scores_are_not_there(
    bench, monkeypatch
):
    quantize(options(examples=20), bench.run("scored"))
    monkeypatch.setattr("edgekd.stages.quantize.evaluate", None)  # whoever scores, fails
    facts = quantize(options(stage={"simulate": False}, examples=20), bench.run("int8"))
    assert facts["says"] == "int8_static, not simulated"
    assert facts["calibration_examples"] == 20
    assert not {"result", "measure", "fp32"} & {*facts}
    for file in ("model.safetensors", "quantization.json", "calibration.safetensors"):
        written = (bench.folder / "int8" / file).read_bytes()
        assert written == (bench.folder / "scored" / file).read_bytes(), file


@pytest.mark.parametrize("asked", [{"sensitivity": True}, {"budget": {"accuracy_drop": 0.01}}])
def test_layers_cannot_be_ranked_without_simulating(asked):
    (name,) = asked
    with pytest.raises(ValueError, match=f"leave out {name} or simulate: false"):
        options(stage={"simulate": False, **asked})


def test_the_samples_are_training_examples(bench):
    train = torch.cat(
        [b["image"] for b in bench.task.batches("train", 512, device=torch.device("cpu"))]
    )
    run = bench.run("int8")
    quantize(options(examples=20), run)
    drawn = torch.cat([b["image"] for b in load_model(run.out).calibration])
    assert all((train == image).flatten(1).all(1).any() for image in drawn)


def test_what_stays_in_fp32_is_said(bench):
    facts = quantize(options("int4_weights"), bench.run("int4"))
    assert facts["says"].endswith("simulated; 11 convolutions stay in fp32")
    assert facts["left_in_fp32"] == ["11 convolutions"]


def test_every_layer_is_ranked_and_none_left_out_where_no_budget_is_set(bench):
    facts = quantize(
        options(stage={"sensitivity": {"examples": 40}}, examples=20), bench.run("int8")
    )
    found = facts["sensitivity"]
    stored = load_model(bench.folder / "int8")
    weights = {
        n.removesuffix(".weight") for n, t in stored.module.state_dict().items() if t.ndim > 1
    }
    assert {layer["path"] for layer in found["layers"]} == weights
    errors = [layer["error"] for layer in found["layers"]]
    assert errors == sorted(errors, reverse=True)
    assert found["examples"] == 40
    assert "budget" not in found
    assert stored.quantization == options(examples=20).transform
    assert facts["says"].endswith(
        f"most sensitive: {found['layers'][0]['path']}, {100 * errors[0]:.3g} % error alone"
    )
    json.dumps(found, allow_nan=False)


FRAIL = "stages.1.0.1.0"


@pytest.fixture(scope="module")
def budgeted(make_bench, tmp_path_factory):
    """Return a bench, and the facts of a stage that had to leave a layer out.

    One input of the layer is always 0, and its weights are so large that beside them all others
    become 0 in 8 bits; in fp32 they change nothing.
    """
    bench = make_bench(tmp_path_factory.mktemp("budget"))
    stored = load_model(bench.folder / "student")
    modules = dict(stored.module.named_modules())
    norm = modules[FRAIL.removesuffix("1.0") + "0.1"]
    with torch.no_grad():
        norm.weight[0], norm.bias[0] = 0.0, -1.0
        modules[FRAIL].weight[:, 0] = 900.0
    (bench.folder / "frail").mkdir()
    save_model(bench.folder / "frail", stored)
    asked = {"model": "$frail", "budget": {"accuracy_drop": 0.02}, "sensitivity": {"examples": 99}}
    made = options(stage=asked, exclude=("head",), examples=16)
    return bench, quantize(made, bench.run("int8"))


def test_as_few_layers_as_keep_the_budget_are_left_out(budgeted):
    _, facts = budgeted
    found = facts["sensitivity"]
    assert [layer["path"] for layer in found["layers"] if layer["excluded"]] == [FRAIL]
    assert found["layers"][0]["path"] == FRAIL
    assert found["kept"]
    assert facts["fp32"].value - facts["result"].value <= 0.02
    assert facts["says"].endswith(
        f"; 1 of {len(found['layers'])} layers left in fp32 to keep 2.00 pt"
    )


def test_what_a_user_excludes_stays_excluded_and_is_not_ranked(budgeted):
    bench, facts = budgeted
    assert load_model(bench.folder / "int8").quantization.options.exclude == ("head", FRAIL)
    assert "head" not in {layer["path"] for layer in facts["sensitivity"]["layers"]}


def test_programs_leave_it_in_fp32(budgeted, tmp_path):
    import onnx

    bench, _ = budgeted
    stored, out = load_model(bench.folder / "int8"), tmp_path / "x.onnx"
    UseRuntime.model_validate("onnxruntime").build().export(
        stored.module, signature=stored.signature, samples=stored.calibration[0], metadata={},
        quantization=stored.quantization, calibration=stored.calibration, activation="uint8",
        out=out,
    )  # fmt: skip
    graph = onnx.load(out).graph
    rounded = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            path = node.name.partition("/")[0]
            assert (node.input[1] in rounded) == (path not in ("head", FRAIL)), node.name


def test_a_budget_that_no_choice_keeps_is_said_and_nothing_is_left_out(bench, monkeypatch):
    choice = Choice((), kept=False, lost=0.01, tried=2)
    monkeypatch.setattr("edgekd.stages.quantize.choose_excluded", lambda *_, **__: choice)
    told = []
    run = bench.run("int8", notice=told.append)
    made = options(
        stage={"budget": {"accuracy_drop": 0.003}, "sensitivity": {"examples": 8}}, examples=8
    )
    facts = quantize(made, run)
    (notice,) = told
    assert "accuracy_drop: 0.300 pt cannot be kept by leaving layers out" in notice
    assert "still loses 1.00 pt" in notice
    assert facts["says"].endswith("a budget of 0.300 pt cannot be kept")
    assert facts["sensitivity"]["kept"] is False
    assert load_model(run.out).quantization.options.exclude == ()
