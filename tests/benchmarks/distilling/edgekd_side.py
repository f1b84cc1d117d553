"""edgekd's side: its own loop, its own pass of the `outputs` stage, a bare pass of a teacher.

    python edgekd_side.py train|fill|bare|read_and_forward '{"folder": ..., ...}'

The stage and the loop ask after every step whether the run is to end. There they are held until
the next order comes: nothing of them is copied or replaced.
"""

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import same
import torch

from edgekd.core import kinds
from edgekd.core.checkpoint import Checkpoint
from edgekd.core.config import Config
from edgekd.core.kinds import source
from edgekd.core.refs import UseModel, UseObjective, UseTask
from edgekd.models.folder import StoredModel, save_model
from edgekd.stages.outputs import BATCH
from edgekd.testing.runs import ExampleRun
from edgekd.train.clock import Clock
from edgekd.train.course import Course
from edgekd.train.forward import make_forward
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train
from edgekd.train.optim import Train
from edgekd.train.teaching import Kept, Online
from edgekd.train.terms import Terms
from edgekd.train.views import Views, channels_last

CPU = torch.device("cpu")
NEVER = Checkpoint(every_s=1e9)


class Options(Config):
    """How many training pictures."""

    examples: int


@source(config=Options, name="by_chance")
class ByChance:
    """Random pictures."""

    def __init__(self, options: Options):
        self.examples = options.examples
        self.labels = tuple("0123456789")
        self.shapes = {"image": (same.SIZE, same.SIZE, 3), "label": ()}

    def files(self):
        return ()

    def load(self, split):
        image, label = same.pictures(self.examples if split == "train" else 2 * same.CLASSES)
        return {"image": image, "label": label}


def task_of(asked):
    given = {"kind": "by_chance", "examples": asked.examples}
    normal = {"mean": (same.MEAN,) * 3, "std": (same.STD,) * 3}
    return UseTask.model_validate(
        {"kind": "image_classification", "data": given} | normal
    ).build()  # fmt: skip


def teaching(asked, run):
    """Return who teaches, by name."""
    if asked.teaching == "nobody":
        return {}
    if asked.teaching == "kept":
        kept = Kept(Path(asked.store), CPU)
        kept.check((), asked.examples, ())
        return {"teacher": kept}
    module = same.network(asked.teacher, seed=1)
    return {"teacher": Online(module, same.SIGNATURE, (), run.task, CPU, asked.precision)}


def learn(asked):
    """Train on and on, in turns."""
    turns = same.Turns({})
    run = ExampleRun(Path(asked.folder), task_of(asked), checkpoint=NEVER, stops=turns.step_done)
    student = same.network(asked.student, seed=2)
    taught = [{"kind": "kd", "temperature": same.TEMPERATURE}] if asked.teaching != "nobody" else []
    options = Train(
        epochs=1, batch_size=same.BATCH, optimizer="sgd", learning_rate=same.LEARNING_RATE,
        momentum=same.MOMENTUM, weight_decay=same.WEIGHT_DECAY, schedule="constant", warmup=0.0,
        precision=asked.precision,
    )  # fmt: skip
    terms = Terms([UseObjective.model_validate(term) for term in ["cross_entropy", *taught]])
    lesson = Lesson(run, student, teaching(asked, run), terms, options, Views(0))
    weights = [same.network(asked.teacher, seed=1), student]
    turns.hello |= {"weights": same.digest(*weights), "loss": first_loss(lesson)}
    turns.hello |= {"parameters": sum(p.numel() for p in student.parameters())}
    train(lesson)


def first_loss(lesson):
    """Return the loss of the first pictures, before anything is learned."""
    own = replace(
        lesson, student=copy.deepcopy(lesson.student).to(memory_format=torch.channels_last)
    )
    batch = next(lesson.run.task.batches("train", same.BATCH, device=CPU))
    return make_forward(Course(own), Clock(CPU))(channels_last(batch), 0)[0].item()


def fill(asked):
    """Keep a teacher's outputs, in turns of batches; where nobody gives turns, at once."""
    turns = same.Turns({})
    stops = turns.step_done if asked.turns else lambda: False
    run = ExampleRun(Path(asked.folder), task_of(asked), name="kept", checkpoint=NEVER, stops=stops)
    folder = run.folder / "teacher"
    folder.mkdir()
    use = UseModel.model_validate(asked.teacher)
    module = same.network(asked.teacher, seed=1)
    save_model(folder, StoredModel(module, use, same.SIGNATURE, run.task.facts()))
    stage = kinds.stage.get("outputs")
    options = {"model": "$teacher", "precision": asked.precision}
    stage.build(stage.config.model_validate(options))(run)


def bare(asked, *, reads):
    """Pass pictures through a teacher, in turns: ready as floats, or read as they are needed."""
    task, turns = task_of(asked), same.Turns({})
    module = same.network(asked.teacher, seed=1).to(memory_format=torch.channels_last).eval()
    one = channels_last(next(task.batches("train", BATCH, device=CPU)))
    with (
        torch.inference_mode(),
        torch.autocast("cpu", torch.bfloat16, asked.precision != "float32"),
    ):
        for batch in task.batches("train", BATCH, device=CPU):
            module((channels_last(batch) if reads else one)["image"])
            turns.step_done()


WORK = {
    "train": learn,
    "fill": fill,
    "bare": lambda asked: bare(asked, reads=False),
    "read_and_forward": lambda asked: bare(asked, reads=True),
}

if __name__ == "__main__":
    same.one_thread()
    WORK[sys.argv[1]](SimpleNamespace(**json.loads(sys.argv[2])))
