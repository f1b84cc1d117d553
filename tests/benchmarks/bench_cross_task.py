"""Does a student know which prototype of a teacher of other classes each place is near to?

    python -m tests.benchmarks.bench_cross_task [--seeds 6] [--store .edgekd] [--runs runs]

Of pipelines/papers/prockd.yaml the student is trained once more, by `prock` as the file has it, by
the features of the picture beside in the place of its own, and by `prock` of weight 0, which only
finds prototypes. Per way: at how many places of the test pictures the student's query is nearest to
the prototype that is nearest for the teacher, and the accuracy; mean, standard deviation and lowest
over seeds. The file's own run says what its arms come to.
"""

import argparse
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

import edgekd
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseObjective, UseTask, as_read
from edgekd.models.folder import StoredModel, load_model
from edgekd.ops.features import as_tokens, at_same_places
from edgekd.stages.distill import Distill
from edgekd.testing.runs import ExampleRun
from edgekd.train.across import preparing
from edgekd.train.evaluate import evaluate
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.taps import tapped
from edgekd.train.teaching import Online, Said
from edgekd.train.terms import Terms
from edgekd.train.views import Views

FILE = Path(__file__).parents[2] / "pipelines" / "papers" / "prockd.yaml"
CPU = torch.device("cpu")
WAYS = ("prock", "prock of other pictures", "prock of weight 0")
_, SHUFFLED, UNHEARD = WAYS


class Shuffled:
    """A teacher that speaks of the picture beside."""

    def __init__(self, teacher: Online):
        self.teacher = teacher

    def __call__(self, batch: Batch, view: int) -> Said:
        """Return what is to be said of each picture's neighbour."""
        said = self.teacher(batch, view)
        return Said(said.outputs, {path: t.roll(1, 0) for path, t in said.features.items()})


def same_prototype(
    teacher: Online, student: nn.Module, term: Any, use: UseObjective, task: Task
) -> float:
    """Return the share of places of test pictures at which both are nearest to one prototype."""
    assert use.tap is not None
    batch = next(iter(task.batches("test", 1000, device=CPU)))
    with torch.no_grad(), tapped(student, [str(use.tap.student)]) as features:
        student(batch["image"])
        told = teacher(batch, 0).features[str(use.tap.teacher)]
        own, other = at_same_places(features[str(use.tap.student)], told)
        tokens = as_tokens(term.query(own)), as_tokens(other) - term.middle
        named = [term.assignment(one).argmax(-1) for one in tokens]
    return float((named[0] == named[1]).float().mean())


def trial(
    config: Distill, stored: StoredModel, task: Task, seed: int, folder: Path
) -> dict[str, tuple[float, float]]:
    """Return agreement on prototypes and accuracy of each way."""
    prepared = preparing(stored.facts, task)
    found = {}
    for number, way in enumerate(WAYS):
        uses = [
            use.model_copy(update={"weight": 0.0}) if (use.kind, way) == ("prock", UNHEARD) else use
            for use in config.objective
        ]
        (place,) = (i for i, use in enumerate(uses) if use.kind == "prock")
        teacher = Online(stored.module, stored.signature, ("stages",), task, CPU, prepared=prepared)
        torch.manual_seed(seed)
        student: nn.Module = config.model.build()(task.signature())  # type: ignore[union-attr]
        run, terms = ExampleRun(folder / f"{number}", task, seed=seed), Terms(uses)
        teachers = {"teacher": Shuffled(teacher) if way == SHUFFLED else teacher}
        train(Lesson(run, student, teachers, terms, config.train, Views(0)))
        student.eval()
        alike = same_prototype(teacher, student, terms.built["prock"], uses[place], task)
        found[way] = alike, evaluate(student, task, "test", CPU).value
    return found


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--store", type=Path, default=Path(".edgekd"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    made = edgekd.run(FILE, store=asked.store, runs=asked.runs, until="teacher")
    (stage,) = (one for one in made.resolved.stages if one.name == "student")
    config = Distill.model_validate(as_read(stage.options))
    task: Task = UseTask.model_validate(as_read(made.resolved.task)).build()
    every = []
    with TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            teacher = load_model(made.folders["teacher"])
            every.append(trial(config, teacher, task, seed, Path(folder) / f"{seed}"))
            told = (f"{way} {100 * alike:.1f} %" for way, (alike, _) in every[-1].items())
            print(f"seed {seed}, same prototype: {', '.join(told)}", flush=True)
    for way in WAYS:
        alike, right = ([100 * found[way][column] for found in every] for column in range(2))
        spread = stdev(alike) if len(alike) > 1 else 0.0
        print(
            f"{way}: same prototype {mean(alike):.1f} +- {spread:.1f} %, lowest {min(alike):.1f}, "
            f"highest {max(alike):.1f}; accuracy {mean(right):.1f} %"
        )


if __name__ == "__main__":
    main()
