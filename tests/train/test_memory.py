import errno
import os

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.evaluate import evaluate
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.memory import enough_memory
from edgekd.train.optim import Train
from edgekd.train.terms import Terms
from edgekd.train.views import Views

TASK = UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()
CPU = "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"


class Greedy(nn.Sequential):
    """Asks for more memory than any machine has."""

    def forward(self, image):
        torch.empty(2**60, dtype=torch.uint8)
        return super().forward(image)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
        RuntimeError(CPU),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        SafetensorError("Cannot allocate memory (os error 12)"),
    ],
)
def test_want_of_memory_is_told_with_what_to_lower(error):
    says = r"(?s)^it ran out of memory: .*\n  Lower x"
    with pytest.raises(StageError, match=says), enough_memory("it", "Lower x"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2"), ValueError("out of memory")])
def test_another_error_stays_what_it_is(error):
    with pytest.raises(type(error)) as caught, enough_memory("it", "Lower x"):
        raise error
    assert caught.value is error


def test_a_training_says_its_batch_size(tmp_path):
    terms = Terms([UseObjective.model_validate("cross_entropy")])
    student = Greedy(nn.Flatten(), nn.Linear(64, 10))
    taught = Lesson(ExampleRun(tmp_path, TASK), student, {}, terms, Train(batch_size=48), Views(0))
    with pytest.raises(StageError, match=r"(?s)training ran out .*train\.batch_size from 48"):
        train(taught)


def test_a_score_says_so_too():
    with pytest.raises(StageError, match="scoring 512 examples of test at once ran out of memory"):
        evaluate(Greedy(nn.Flatten(), nn.Linear(64, 10)), TASK, "test", torch.device("cpu"))
