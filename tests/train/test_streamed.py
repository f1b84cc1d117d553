"""A training whose pictures are read as it goes, beside the same in memory."""

import gc

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import nn

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.terms import Terms
from edgekd.train.views import Views


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 25), ("test", 3)):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                noise = rng.integers(0, 256, (9, 9, 3), np.uint8)
                Image.fromarray(noise).save(root / split / name / f"{index}.png")
    return root


def lesson(photos, folder, stops=lambda: False, **options):
    data = {"kind": "image_folder", "root": str(photos), "size": 8}
    task = UseTask.model_validate({"kind": "image_classification", "data": data, **options})
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    return Lesson(
        ExampleRun(folder, task.build(), stops=stops, checkpoint=Checkpoint(every_steps=2)),
        student,
        {},
        Terms([UseObjective.model_validate("cross_entropy")]),
        Train.model_validate({"epochs": 3, "batch_size": 8, "augment": ("flip",)}),
        Views(0),
    )


def left(taught):
    history = train(taught).history
    return history, {name: t.numpy().tobytes() for name, t in taught.student.state_dict().items()}


@pytest.fixture(scope="module")
def held(photos, tmp_path_factory):
    return left(lesson(photos, tmp_path_factory.mktemp("held"), memory="hold"))


STREAMED = {"memory": "stream", "readers": 2}


@pytest.mark.parametrize("readers", [0, 1, 2])
def test_it_ends_in_the_same_bits(photos, held, tmp_path, readers):
    assert left(lesson(photos, tmp_path, memory="stream", readers=readers)) == held


@pytest.mark.parametrize("first", ["hold", "stream"])
def test_what_was_begun_in_one_way_ends_the_same_in_the_other(photos, held, tmp_path, first):
    asked = iter([False] * 7 + [True])
    ways = {"hold": {"memory": "hold"}, "stream": STREAMED}
    with pytest.raises(RunInterruptedError):
        train(lesson(photos, tmp_path, lambda: next(asked), **ways[first]))
    (other,) = ways.keys() - {first}
    assert left(lesson(photos, tmp_path, **ways[other])) == held


@pytest.fixture
def readers():
    """Return a function that lists the processes started since: compilers of others stay on."""
    before = {*psutil.Process().children(recursive=True)}
    return lambda: [p for p in psutil.Process().children(recursive=True) if p not in before]


def test_nothing_reads_on_where_it_was_asked_to_end(photos, tmp_path, readers):
    found = []

    def stops():
        found.extend(readers())
        return len(found) > 4

    try:
        train(lesson(photos, tmp_path, stops, **STREAMED))
    except RunInterruptedError:
        pass
    else:
        pytest.fail("it was not asked")
    gc.collect()
    assert not psutil.wait_procs(found, timeout=10)[1]


def test_a_reader_that_the_system_kills_is_want_of_memory(photos, tmp_path, readers):
    killed = []

    def stops():  # one alone: torch raises for each, wherever the program is by then
        if not killed:
            killed.append(readers()[0])
            killed[0].kill()
        return False

    with pytest.raises(StageError, match="training ran out of memory: DataLoader worker"):
        train(lesson(photos, tmp_path, stops, **STREAMED))
