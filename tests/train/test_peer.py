"""A teacher that learns while it teaches."""

import pytest
import torch
from torch import nn

from edgekd.core.errors import RunInterruptedError
from edgekd.core.refs import UseObjective, UseTask
from edgekd.testing.runs import ExampleRun
from edgekd.train.clock import Clock
from edgekd.train.course import Course
from edgekd.train.forward import make_forward
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.peer import Peer
from edgekd.train.terms import Terms
from edgekd.train.views import Views

TASK = UseTask.model_validate({"kind": "image_classification", "data": {"kind": "digits"}})
CPU = torch.device("cpu")


def network(width):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * 16, 10),
    )  # fmt: skip


@pytest.fixture
def lesson(tmp_path):
    """Return a function that makes a lesson; all of a name share their checkpoints."""

    def make(*objective, name="one", stops=lambda: False, **options):
        task = TASK.build()
        torch.manual_seed(0)
        student, teacher = network(4), network(16)
        return Lesson(
            run=ExampleRun(tmp_path / name, task, stops=stops),
            student=student,
            teachers={"teacher": Peer(teacher, task.signature(), ())},
            terms=Terms([UseObjective.model_validate(o) for o in objective]),
            options=Train(**{"epochs": 3, "batch_size": 64} | options),
            views=Views(0),
        )

    return make


def weights(lesson):
    """Return the teacher's weights as bytes."""
    return {n: t.numpy().tobytes() for n, t in lesson.peers["teacher"].state_dict().items()}


def test_both_learn_and_the_history_has_what_the_teacher_came_to(lesson):
    taught = lesson("cross_entropy", "bdkd", learning_rate=0.01)
    before = weights(taught)
    history = train(taught).history
    after = weights(taught)
    assert not any(before[name] == after[name] for name in before), "norms and weights move"
    assert history["teachers"]["teacher"] > 0.7
    assert history["epochs"][-1]["validation"]["accuracy"] > 0.6


def slopes(lesson):
    """Return the gradients of the first step, of the student and of its teacher."""
    forward = make_forward(Course(lesson), Clock(CPU))
    loss, _ = forward(next(lesson.run.task.batches("train", 64, device=CPU)), 0)
    loss.backward()
    networks = lesson.student, lesson.peers["teacher"]
    return [[p.grad.clone() for p in network.parameters()] for network in networks]


def test_a_term_beside_it_moves_the_student_alone(lesson):
    first = slopes(lesson("bdkd"))
    beside = slopes(lesson("bdkd", {"kind": "kd", "weight": 5.0}))
    assert all(torch.equal(a, b) for a, b in zip(first[1], beside[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first[0], beside[0], strict=True))


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1, "ema": 0.9, "accumulate": 2}])
def test_an_interrupted_training_ends_with_the_same_bytes_of_both(lesson, options):
    undisturbed = lesson("cross_entropy", "bdkd", name="whole", **options)
    history = train(undisturbed).history
    steps = iter([False] * 25 + [True] * 99)
    with pytest.raises(RunInterruptedError):
        train(lesson("cross_entropy", "bdkd", stops=lambda: next(steps), **options))
    again = lesson("cross_entropy", "bdkd", **options)
    assert train(again).history == history
    assert weights(again) == weights(undisturbed)
    for one, other in zip(
        again.student.parameters(), undisturbed.student.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_each_network_is_clipped_by_its_own_norm(lesson):
    taught = lesson("bdkd", clip_norm=1e-9, optimizer="sgd", momentum=0.0, weight_decay=0, epochs=1)
    before = [p.clone() for network in taught.learners for p in network.parameters()]
    train(taught)
    after = [p for network in taught.learners for p in network.parameters()]
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(before, after, strict=True))


def test_a_trial_of_precisions_leaves_no_trace_in_a_teacher_that_learns(lesson):
    taught = lesson("bdkd", precision="auto")
    before = weights(taught)
    make_forward(Course(taught), Clock(CPU))
    assert weights(taught) == before


def test_it_is_given_what_a_tapped_module_of_it_gave(lesson):
    task = TASK.build()
    peer = Peer(network(4), task.signature(), ("2",))
    said = peer(next(task.batches("train", 8, device=CPU)), 0)
    assert said.features["2"].shape == (8, 4, 4, 4)
    assert said.outputs["logits"].requires_grad
    assert not said.fixed().outputs["logits"].requires_grad
