"""Does a teacher of other classes help, by its prototypes, where few labels are known?

    python -m tests.benchmarks.bench_cross_task [--seeds 6] [--epochs 20]

ProC-KD's smallest case: a ResNet-8 learns the digits 0 to 4, a small student the digits 5 to 9 from
15 labels and about 520 pictures without one. Neither scores nor labels of the teacher are heard.
Per way of learning: test accuracy, and for how many places of test pictures the student names the
prototype that is nearest for the teacher. Mean, standard deviation and lowest over seeds.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.ops.features import as_tokens, at_same_places
from edgekd.testing.runs import ExampleRun
from edgekd.train.evaluate import evaluate
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.taps import tapped
from edgekd.train.teaching import Online, Said
from edgekd.train.terms import Terms
from edgekd.train.views import Views

CPU = torch.device("cpu")
PREPARED = {"mean": (0.3,), "std": (0.37,)}
"""The same for both tasks: the teacher is shown what the student is shown."""
PLAIN = {"kind": "depthwise", "width": 8, "blocks": (1, 1), "stem_stride": 1}
WITH = {"kind": "prototyped", "of": PLAIN, "width": 64}
ON_MAP = {"kind": "prock", "tap": {"student": "stages", "teacher": "stages"}}
ON_QUERY = {"kind": "prock", "projector": False} | {
    "tap": {"student": "stages.query", "teacher": "stages"}
}
WAYS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "labels alone": (PLAIN, ()),
    "prock": (PLAIN, (ON_MAP,)),
    "prock with hint": (PLAIN, (ON_MAP | {"hint": 1.0},)),
    "hint": (PLAIN, ({"kind": "hint", "tap": ON_MAP["tap"]},)),
    "prototypes added, no guidance": (WITH, (ON_QUERY | {"weight": 0.0},)),
    "prock, prototypes added": (WITH, (ON_QUERY,)),
    "prock of other pictures": (PLAIN, (ON_MAP,)),
}
SHUFFLED = "prock of other pictures"


class Shuffled:
    """A teacher that speaks of the picture beside."""

    def __init__(self, teacher: Online):
        self.teacher = teacher

    def __call__(self, batch: Batch, view: int) -> Said:
        """Return what is to be said of each picture's neighbour."""
        said = self.teacher(batch, view)
        return Said(said.outputs, {path: t.roll(1, 0) for path, t in said.features.items()})


def task_of(digits: str) -> Task:
    """Return the task of these digits."""
    data = {"kind": "digits", "classes": (*digits,)}
    given = {"kind": "image_classification", "data": data} | PREPARED
    made: Task = UseTask.model_validate(given).build()
    return made


def learned(
    run: ExampleRun, model: nn.Module, options: Train, objectives: Any, teachers: Any
) -> Terms:
    """Train a model in place and return its terms."""
    terms = Terms([UseObjective.model_validate(one) for one in ("cross_entropy", *objectives)])
    train(Lesson(run, model, teachers, terms, options, Views(0)))
    model.eval()
    return terms


def same_prototype(teacher: Online, student: nn.Module, terms: Terms, task: Task) -> float | None:
    """Return the share of places of test pictures at which both are nearest to one prototype."""
    term: Any = terms.built.get("prock")
    if term is None:
        return None
    (use,) = (use for use in terms.uses if use.kind == "prock")
    assert use.tap is not None
    batch = next(iter(task.batches("test", 1000, device=CPU)))
    with torch.no_grad(), tapped(student, [str(use.tap.student)]) as features:
        student(batch["image"])
        told = teacher(batch, 0).features["stages"]
        own, other = at_same_places(features[str(use.tap.student)], told)
        tokens = as_tokens(term.query(own)), as_tokens(other) - term.middle
        named = [term.assignment(one).argmax(-1) for one in tokens]
    return float((named[0] == named[1]).float().mean())


def trial(seed: int, epochs: int, folder: Path) -> dict[str, tuple[float, float | None]]:
    """Return accuracy and agreement of each way, all with one teacher."""
    low, high = task_of("01234"), task_of("56789")
    torch.manual_seed(seed)
    network = UseModel.model_validate({"kind": "resnet", "depth": 8, "width": 16}).build()(
        low.signature()
    )
    options = Train(
        epochs=10, batch_size=50, optimizer="sgd", learning_rate=0.1, schedule="one_cycle"
    )
    learned(ExampleRun(folder / "teacher", low, seed=seed), network, options, (), {})
    teacher = Online(network, low.signature(), ("stages",), high, CPU)
    found = {}
    few = Train(epochs=epochs, batch_size=50, learning_rate=0.01, labelled=15)
    for number, (name, (model, objectives)) in enumerate(WAYS.items()):
        torch.manual_seed(seed)
        student = UseModel.model_validate(model).build()(high.signature())
        teachers = {"teacher": Shuffled(teacher) if name == SHUFFLED else teacher}
        run = ExampleRun(folder / f"{number}", high, seed=seed)
        terms = learned(run, student, few, objectives, teachers)
        right = evaluate(student, high, "test", CPU).value
        found[name] = right, same_prototype(teacher, student, terms, high)
    return found


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        every = [trial(seed, asked.epochs, Path(folder) / f"{seed}") for seed in range(asked.seeds)]
    for name in WAYS:
        right = [100 * found[name][0] for found in every]
        agreed = [100 * value for found in every if (value := found[name][1]) is not None]
        line = f"{name}: {mean(right):.1f} +- {stdev(right):.1f} %, lowest {min(right):.1f}"
        tail = f"; same prototype {mean(agreed):.1f} %, lowest {min(agreed):.1f}" if agreed else ""
        print(line + tail)


if __name__ == "__main__":
    main()
