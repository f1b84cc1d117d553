"""Train a student from a teacher, from labels, or from both."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from edgekd.core.config import Config
from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols import Facts, Preview, Run
from edgekd.core.refs import ModelOrRef, ModelRef, Ref, UseModel, UseObjective
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.train.check import check_full_precision, check_model, check_terms
from edgekd.train.course import Lesson
from edgekd.train.evaluate import evaluate
from edgekd.train.loop import train, write_history
from edgekd.train.needs import training_needs, unbuilt
from edgekd.train.optim import Train
from edgekd.train.terms import Terms


class Distill(Config):
    """Who learns what from whom."""

    model: ModelOrRef
    """The student: a model to build, or `$stage` to go on from that stage's model."""
    teacher: ModelRef | None = None
    """The teacher; without one the student learns from labels alone."""
    objective: tuple[UseObjective, ...]
    """Weighted terms of the loss."""
    train: Train = Train()
    """How the student is trained."""


def check(config: Distill, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with a distillation before it starts."""
    if isinstance(config.model, UseModel):
        problems = list(check_model(config.model, preview.task, "model"))
        yield from problems
        student = None if problems else config.model
    else:
        yield from check_full_precision(config.model, preview, "model")
        student = preview.model(config.model)
    models = {"student": student}
    if config.teacher is not None:
        yield from check_full_precision(config.teacher, preview, "teacher")
        models["teacher"] = preview.model(config.teacher)
    yield from check_terms(config.objective, preview.task, models)


def estimate(config: Distill, preview: Preview) -> Needs | None:
    """Return what training takes; what an objective of its own learns is not counted."""
    student, teacher = unbuilt(config.model, preview), unbuilt(config.teacher, preview)
    return training_needs(student, teacher, preview.task, config.train)


def controls(config: Distill) -> Mapping[str, Distill]:
    """Return what a method must beat: labels alone, and the plain softened KL, equally trained.

    There is no plain KD where there is no teacher, or where the stage itself is just that.
    """
    labels, softened = map(UseObjective.model_validate, ("cross_entropy", "kd"))
    found = {"no_kd": config.model_copy(update={"teacher": None, "objective": (labels,)})}
    if config.teacher and {term.kind for term in config.objective} != {"cross_entropy", "kd"}:
        found["plain_kd"] = config.model_copy(update={"objective": (labels, softened)})
    return found


@stage(
    config=Distill,
    makes="model",
    check=check,
    estimate=estimate,
    stops=True,
    named=False,
    controls=controls,
)
def distill(config: Distill, run: Run) -> Facts:
    """Return how good the student is on the validation split, and on the test split for reports."""
    device = torch.device(run.device)
    torch.manual_seed(sub_seed(run.seed, "weights"))
    module, use = _student(config.model, run)
    teacher = load_model(run.input(config.teacher)).module if config.teacher else None
    history = train(Lesson(run, module, teacher, Terms(config.objective), config.train))
    write_history(run.out, history)
    score = evaluate(module, run.task, "validation", device)
    save_model(run.out, StoredModel(module, use, run.task.signature(), run.task.facts()))
    parameters = sum(p.numel() for p in module.parameters())
    loss = " + ".join(term.kind for term in config.objective)
    return {
        "says": f"{use.kind} {parameters:,} parameters, {loss}",
        "result": score,
        "measure": run.task.quality[0],
        "test": evaluate(module, run.task, "test", device),
        "parameters": parameters,
        "best_epoch": history["best_epoch"],
    }


def _student(model: UseModel | Ref, run: Run) -> tuple[nn.Module, UseModel]:
    """Return a new student, or that of another stage, with its definition."""
    if isinstance(model, UseModel):
        return model.build()(run.task.signature()), model
    stored = load_model(run.input(model))
    return stored.module, stored.use
