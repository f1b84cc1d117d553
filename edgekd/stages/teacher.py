"""Train a teacher here, or take given weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from edgekd.core import kinds
from edgekd.core.config import Config, LocalPath
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Facts, Split
from edgekd.core.refs import UseModel, UseObjective
from edgekd.core.rehearsal import Rehearsal
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import save_model, stored_for
from edgekd.models.weights import first_misfit, shapes_in, shapes_of
from edgekd.train.adopting import check_adopting
from edgekd.train.calibrate import calibrated
from edgekd.train.check import (
    check_compiled,
    check_frozen,
    check_learnable,
    check_mixing,
    check_model,
    check_recomputing,
    check_second_views,
    check_terms,
    outline,
)
from edgekd.train.evaluate import compares, evaluate
from edgekd.train.held_out import check_held_out
from edgekd.train.labelled import check_labelled
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train, write_history
from edgekd.train.marks import write_selected
from edgekd.train.masked import check_masked
from edgekd.train.needs import training_needs, unbuilt
from edgekd.train.optim import Train, only_timed
from edgekd.train.pretraining import pretrains
from edgekd.train.selecting import check_select
from edgekd.train.taught import check_asked
from edgekd.train.terms import Terms
from edgekd.train.views import Views

SCORED: tuple[Split, Split] = ("validation", "test")
FITTING = "Give the weights of this model, or the model of these weights."


class Teacher(Config):
    """Where the teacher comes from."""

    model: UseModel
    """What it is; `pretrained` takes a local transformers folder with its weights."""
    weights: LocalPath | None = None
    """A .safetensors file with the model's weights; pickles are refused."""
    train: Train | None = None
    """How it is trained; nothing is trained where this is absent."""
    untrained: bool = False
    """Hand the model on with weights by chance: for a distillation in which the teacher learns,
    too."""
    score: bool = True
    """Score the model on the validation and the test split, in PyTorch. `false`, for given weights,
    leaves that to a `validate` stage, which scores the programs themselves."""
    objective: tuple[UseObjective, ...] = Field(
        default=({"kind": "cross_entropy"},),
        validate_default=True,
    )
    """Weighted terms of its loss."""


def check(config: Teacher, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with a teacher before it is trained."""
    taught = config.train is not None or config.weights is not None
    problems = list(check_model(config.model, preview.task, "model", taught=taught))
    problems += [] if config.weights else check_adopting(config.model, None, preview)
    yield from problems
    if not problems:
        if config.train is not None or "objective" in config.model_fields_set:
            augments = config.train.augment if config.train else ()
            yield from check_terms(config.objective, preview.task, config.model, {}, augments)
        train = config.train or Train()
        yield from check_frozen(train, config.model, preview.task)
        yield from check_recomputing(train, config.model, preview.task)
    if config.train is not None:
        yield from check_mixing(config.objective, config.train)
        yield from check_compiled(config.objective, config.train)
        yield from check_second_views(config.objective, config.train)
        yield from check_labelled(config.objective, config.train, preview.task)
        yield from check_held_out(config.objective, config.train, preview.task)
        yield from check_asked(config.train, None)
        yield from check_select(config.train, config.objective, preview.task, {})
        yield from check_learnable(preview.task, "train", config.objective)
        yield from check_masked(config.train.augment, {"model": config.model}, preview)
        if not config.score:
            message = "a model that is trained is scored: its training is judged by that."
            yield Problem("score", message, "Leave it out.")
    if config.weights is not None:
        use = None if problems else config.model
        yield from _check_weights(Path(config.weights), use, preview.task)
    elif config.train is None and not config.untrained and not _has_weights(config.model):
        yield Problem("", "this teacher has neither weights nor train.", "Add one of them.")
    if config.untrained and (config.train is not None or config.weights is not None):
        message = "an untrained teacher has neither weights nor train."
        yield Problem("untrained", message, "Leave it out, or both of them.")


def _check_weights(file: Path, use: UseModel | None, task: Task) -> Iterator[Problem]:
    """Yield why a file does not hold the weights of the model; only its header is read."""
    if file.suffix != ".safetensors":
        yield Problem(
            "weights",
            f"{file} is not a .safetensors file; a pickle could run code.",
            "Convert it once: safetensors.torch.save_file(state_dict, 'weights.safetensors').",
        )
        return
    if not file.is_file():
        yield Problem("weights", f"there is no file {file}.", "Give the path of a file.")
        return
    try:
        found = shapes_in(file)
    except (SafetensorError, OSError) as error:
        yield Problem(
            "weights", f"{file} cannot be read: {error}.", "Write it with safetensors.torch."
        )
        return
    misfit = first_misfit(found, shapes_of(outline(use, task).state_dict())) if use else ""
    if use and misfit:
        yield Problem("weights", f"{file} does not fit {use.kind}: {misfit}.", FITTING)


def _has_weights(use: UseModel) -> bool:
    """Tell whether the model comes with weights: its plug-in registers `has_weights(options)`."""
    has = use.plugin.traits.get("has_weights")
    return bool(has and has(use.options))


def estimate(config: Teacher, preview: Preview) -> Needs | None:
    """Return what training takes; what an objective of its own learns is not counted."""
    model = unbuilt(config.model, preview)
    return training_needs(model, [], preview.task, config.train, preview.hands)


def rehearse(config: Teacher, _run: Run) -> Rehearsal:
    """Return a training that is timed, for all its epochs; weights that are given are taken."""
    if config.train is None:
        return Rehearsal(config)
    update = {"train": only_timed(config.train)}
    return Rehearsal(config.model_copy(update=update), epochs=config.train.epochs)


@stage(
    config=Teacher,
    makes="model",
    check=check,
    estimate=estimate,
    rehearse=rehearse,
    stops=True,
    shared=True,
    named=False,
    own_task=True,
)
def teacher(config: Teacher, run: Run) -> Facts:
    """Return how good the teacher is on the validation split, and on the test split for reports."""
    device = torch.device(run.device)
    torch.manual_seed(sub_seed(run.seed, "weights"))
    model: nn.Module = config.model.build()(run.task.signature())
    if config.weights is not None:
        _load_exactly(model, Path(config.weights), config.model.kind)
    elif config.train is None and not config.untrained:
        _check_nothing_fresh(model, config.model.kind)
    facts: dict[str, Any] = {}
    if config.train is not None:
        views = Views(sub_seed(run.seed, "augment"))
        trained = train(Lesson(run, model, {}, Terms(config.objective), config.train, views))
        write_history(run.out, trained.history)
        write_selected(run.out, trained.selected, run.task.size("train"))
        facts = {"training": trained.facts}
        if pretrains(config.objective):
            facts |= trained.pretraining()
        else:
            facts |= calibrated(model, config.model, run.task, device)
    if not config.score:
        facts |= {"result": "not scored"}
    elif "result" not in facts:
        facts |= _scores(model.to(device), run.task, device)
    save_model(run.out, stored_for(run.task, model, config.model))
    parameters = sum(p.numel() for p in model.parameters())
    says = f"{config.model.kind}, {parameters:,} parameters"
    return {"says": says, "parameters": parameters} | facts


def _scores(model: nn.Module, task: Task, device: torch.device) -> dict[str, Any]:
    """Return how good a model is; without labels nobody can tell of a model alone."""
    first = task.quality[0]
    if compares(kinds.measure.get(first)):
        return {"result": "no labels: not scored"}
    scores = [evaluate(model, task, split, device) for split in SCORED]
    return {"result": scores[0], "measure": first, "test": scores[1]}


def _load_exactly(model: nn.Module, file: Path, kind: str) -> None:
    """Load a file whose names and shapes are the model's; StageError where they are not."""
    state = load_file(file)
    misfit = first_misfit(shapes_of(state), shapes_of(model.state_dict()))
    if misfit:
        raise StageError(f"{file} does not fit {kind}: {misfit}.", FITTING)
    model.load_state_dict(state)


def _check_nothing_fresh(model: nn.Module, kind: str) -> None:
    """Raise StageError where weights are still by chance: a model may say which, as `fresh`."""
    fresh = getattr(model, "fresh", ())
    if fresh:
        raise StageError(
            f"{kind} has no weights for {', '.join(fresh)}, and nothing trains them here.",
            "Add train: to this stage, or give a model with all its weights.",
        )
