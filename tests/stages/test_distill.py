"""Teaching and distilling can be interrupted, and leave the same files as if they were not."""

import pytest
import torch

from edgekd.core import kinds
from edgekd.core.errors import RunInterruptedError
from edgekd.models.folder import load_model
from edgekd.testing.runs import ExampleRun

TRAIN = {
    "epochs": 2,
    "batch_size": 128,
    "schedule": "one_cycle",
    "augment": ({"kind": "crop", "padding": 1},),
}
STAGES = {
    "teacher": {"model": {"kind": "depthwise", "width": 8, "blocks": (1,)}, "train": TRAIN},
    "distill": {
        "model": {"kind": "depthwise", "width": 4, "blocks": (1,)},
        "teacher": "$student",
        "objective": ("kd", "cross_entropy"),
        "train": TRAIN,
    },
}


def made(kind, run):
    """Return what a stage says, but for what it took, and every file that it leaves."""
    plugin = kinds.stage.get(kind)
    facts = {**plugin.build(plugin.config.model_validate(STAGES[kind]))(run)}
    assert facts.pop("training")["samples_per_s"] > 0
    return facts, {file.name: file.read_bytes() for file in run.out.iterdir()}


@pytest.mark.parametrize("kind", STAGES)
def test_an_interrupted_stage_leaves_the_same_files(bench, kind):
    assert kinds.stage.get(kind).traits["stops"]
    whole = made(kind, ExampleRun(bench.folder, bench.task, name="whole"))
    asked = iter([False] * 6 + [True])
    first = ExampleRun(bench.folder, bench.task, name="broken", stops=lambda: next(asked))
    with pytest.raises(RunInterruptedError, match="stopped after step 7 of 18"):
        made(kind, first)
    assert list(first.out.iterdir()) == []
    again = ExampleRun(bench.folder, bench.task, name="broken")
    assert made(kind, again) == whole
    assert again.told[0] == (7, 18, "resumed")
    assert {"history.json", "model.json", "model.safetensors"} == set(whole[1])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_zeros_of_a_masked_model_stay_zeros_through_a_training_and_an_interruption(
    bench, optimizer
):
    use = {"kind": "magnitude", "ratio": 0.7}
    mask = kinds.stage.get("prune").config.model_validate({"model": "$student", "transform": use})
    kinds.stage.get("prune").build(mask)(bench.run("masked"))
    plan = {
        "model": "$masked",
        "objective": ("cross_entropy",),
        "train": {"epochs": 1, "batch_size": 256, "optimizer": optimizer, "ema": 0.5,
                  "clip_norm": 1.0},
    }  # fmt: skip
    trained = kinds.stage.get("distill")
    go_on = trained.build(trained.config.model_validate(plan))
    whole = bench.run("whole")
    go_on(whole)
    asked = iter([False, False, True])
    broken = bench.run("broken", stop_asked=lambda: next(asked))
    with pytest.raises(RunInterruptedError):
        go_on(broken)
    broken.stop_asked = lambda: False
    go_on(broken)
    before, after, again = (load_model(bench.folder / n) for n in ("masked", "whole", "broken"))
    old, new = (dict(m.module.named_parameters()) for m in (before, after))
    assert after.sparse == before.sparse != ()
    for name in before.sparse:
        assert torch.equal(new[name] == 0, old[name] == 0)
    assert any(not torch.equal(new[name], old[name]) for name in before.sparse)
    resumed = dict(again.module.named_parameters())
    assert all(torch.equal(resumed[name], tensor) for name, tensor in new.items())
