import torch

from edgekd.core import kinds
from edgekd.models.folder import load_model
from edgekd.stages.prune import prune


def options(**transform):
    config = kinds.stage.get("prune").config
    return config.model_validate(
        {"model": "$student", "transform": {"kind": "channels", **transform}}
    )


def test_the_stage_leaves_a_smaller_model_and_says_how_small(bench):
    run = bench.run("pruned")
    facts = prune(options(ratio=0.5, importance="taylor"), run)
    dense, sparse = load_model(bench.folder / "student"), load_model(run.out)
    assert facts["parameters"] == sum(p.numel() for p in sparse.module.parameters())
    assert facts["parameters_before"] == sum(p.numel() for p in dense.module.parameters())
    assert facts["macs"] < facts["macs_before"]
    assert f"{facts['parameters']:,} of {facts['parameters_before']:,}" in facts["says"]
    assert sparse.facts == dense.facts
    assert 0 <= facts["result"].value <= 1


def test_the_same_run_gives_the_same_bytes(bench):
    files = []
    for name in ("one", "two"):
        run = bench.run(name)
        prune(options(ratio=0.5, importance="taylor", scope="global"), run)
        files.append((run.out / "model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_a_pruned_model_can_be_pruned_again(bench):
    prune(options(ratio=0.5, round_to=1), bench.run("once"))
    again = options(ratio=0.5, round_to=1).model_copy(update={"model": _ref("once")})
    facts = prune(again, bench.run("twice"))
    twice = load_model(bench.folder / "twice").module
    assert facts["parameters"] == sum(p.numel() for p in twice.parameters())
    assert torch.isfinite(twice(torch.rand(2, 1, 8, 8))).all()


def _ref(stage):
    from edgekd.core.refs import Ref

    return Ref(stage, ("model",))
