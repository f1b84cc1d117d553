import torch

from edgekd.core import kinds
from edgekd.models.folder import load_model
from edgekd.stages.quantize import quantize


def options(kind="int8_static", **transform):
    config = kinds.stage.get("quantize").config
    return config.model_validate({"model": "$student", "transform": {"kind": kind, **transform}})


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
