"""A rehearsed stage: what it is asked, and what it says of the run."""

import pytest
import torch

from edgekd.core.config import Config
from edgekd.core.refs import UseTask
from edgekd.core.registry import Plugin
from edgekd.core.rehearsal import Rehearsal
from edgekd.testing.runs import ExampleRun
from edgekd.train.rehearsed import rehearsed

MOST = {"train": 64, "validation": 32, "test": 32}


class Options(Config):
    epochs: int = 1
    """Passes."""


def look(options, run):
    for _ in range(options.epochs):
        for _batch in run.task.batches(
            "train", 16, device=torch.device("cpu"), rng=torch.Generator()
        ):
            pass
    return {"says": "done", "options": options.epochs, "shown": run.task.size("train")}


@pytest.fixture
def result(tmp_path):
    """Return a function that rehearses five passes over digits, with what the stage registers."""
    task = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()

    def rehearse(**traits):
        plugin = Plugin("stage", "look", look, Options, traits=traits)
        return rehearsed(plugin, Options(epochs=5), ExampleRun(tmp_path, task), MOST)

    return rehearse


def test_a_stage_that_registers_nothing_is_done_as_it_is_on_few_examples(result):
    found = result()
    assert (found["says"], found["options"], found["shown"]) == ("done", 5, 64)
    assert found["rehearsed"]["grows"] == 1
    assert found["rehearsed"]["seconds"] > 0


def test_a_training_is_one_epoch_that_stands_for_all(result):
    way = Rehearsal(Options(epochs=1), epochs=5)
    found = result(rehearse=lambda options, run: way)
    assert found["options"] == 1
    assert found["rehearsed"]["rests_on"].endswith("steps, 5 x 1,078")


def test_what_lies_beyond_the_passes_is_told_by_the_stage(result):
    told = []

    def beyond(hidden):
        told.append(hidden)
        return 1000.0

    way = Rehearsal(Options(), beyond=beyond, grows=True)
    found = result(rehearse=lambda options, run: way)["rehearsed"]
    assert told == [{"train": 1014, "validation": 238, "test": 417}]
    assert found["seconds"] > 1000
    assert found["grows"] == pytest.approx(1078 / 64, abs=1e-3)
    assert found["rests_on"].endswith("s on few examples")
