"""Teaching and distilling can be interrupted, and leave the same files as if they were not."""

import pytest

from edgekd.core import kinds
from edgekd.core.errors import RunInterruptedError
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
