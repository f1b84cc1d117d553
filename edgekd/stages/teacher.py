"""Train a teacher here, or take given weights."""

from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import nn

from edgekd.core.config import Config, LocalPath
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.protocols import Facts, Preview, Run
from edgekd.core.refs import UseModel, UseObjective
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import StoredModel, load_weights, save_model
from edgekd.train.check import check_model, check_terms
from edgekd.train.evaluate import evaluate
from edgekd.train.loop import Lesson, train, write_history
from edgekd.train.optim import Train
from edgekd.train.terms import Terms


class Teacher(Config):
    """Where the teacher comes from."""

    model: UseModel
    """What it is; `pretrained` takes a local transformers folder with its weights."""
    weights: LocalPath | None = None
    """A .safetensors file with the model's weights; pickles are refused."""
    train: Train | None = None
    """How it is trained; nothing is trained where this is absent."""
    objective: tuple[UseObjective, ...] = Field(
        default=({"kind": "cross_entropy"},),
        validate_default=True,
    )
    """Weighted terms of its loss."""


def check(config: Teacher, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with a teacher before it is trained."""
    problems = list(check_model(config.model, preview.task, "model"))
    yield from problems
    if not problems:
        yield from check_terms(config.objective, preview.task, {"student": config.model})
    if config.weights is not None and not config.weights.endswith(".safetensors"):
        yield Problem(
            "weights",
            f"{config.weights} is not a .safetensors file; a pickle could run code.",
            "Convert it once: safetensors.torch.save_file(state_dict, 'weights.safetensors').",
        )
    elif config.weights is not None and not Path(config.weights).is_file():
        yield Problem("weights", f"there is no file {config.weights}.", "Give the path of a file.")
    elif config.train is None and config.weights is None and config.model.kind != "pretrained":
        yield Problem("", "this teacher has neither weights nor train.", "Add one of them.")


@stage(config=Teacher, makes="model", check=check)
def teacher(config: Teacher, run: Run) -> Facts:
    """Return how good the teacher is on the validation split."""
    device = torch.device(run.device)
    torch.manual_seed(sub_seed(run.seed, "weights"))
    model: nn.Module = config.model.build()(run.task.signature())
    if config.weights is not None:
        try:
            load_weights(model, load_file(config.weights))
        except RuntimeError as error:
            raise StageError(
                f"{config.weights} does not fit {config.model.kind}: {error}",
                "Give the weights of this model, or the model of these weights.",
            ) from error
    if config.train is not None:
        history = train(
            Lesson(
                student=model,
                teacher=None,
                task=run.task,
                terms=Terms(config.objective),
                options=config.train,
                seed=run.seed,
                device=device,
                progress=run.progress,
            )
        )
        write_history(run.out, history)
    score = evaluate(model.to(device), run.task, "validation", device)
    save_model(run.out, StoredModel(model, config.model, run.task.signature(), run.task.facts()))
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "says": f"{config.model.kind}, {parameters:,} parameters",
        "result": score,
        "measure": run.task.quality[0],
        "parameters": parameters,
    }
