"""What can be told about a training stage before it runs."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from edgekd.core.errors import Problem, nearest
from edgekd.core.protocols import Task
from edgekd.core.refs import UseModel, UseObjective
from edgekd.core.signals import TAPPED


def check_model(use: UseModel, task: Task, path: str) -> Iterator[Problem]:
    """Yield why a model cannot be built for the task; nothing is allocated."""
    try:
        outline(use, task)
    except (ValueError, TypeError) as error:
        yield Problem(path, f"{use.kind} cannot be built: {error}", "Change its options.")


def outline(use: UseModel, task: Task) -> nn.Module:
    """Return the model's modules without memory behind them."""
    with torch.device("meta"):
        module: nn.Module = use.build()(task.signature())
    return module


def check_paths(
    paths: Sequence[str], use: UseModel | None, task: Task, path: str
) -> Iterator[Problem]:
    """Yield the module paths that a model does not have, where its definition is known."""
    known = [name for name, _ in outline(use, task).named_modules() if name] if use else []
    for index, wanted in enumerate(paths if use else ()):
        if wanted not in known:
            yield Problem(
                f"{path}[{index}]", f"the model has no module '{wanted}'.", nearest(wanted, known)
            )


def check_terms(
    uses: Sequence[UseObjective],
    task: Task,
    models: Mapping[str, UseModel | None],
    path: str = "objective",
) -> Iterator[Problem]:
    """Yield every signal that nothing supplies and every tap that matches no module.

    `models` has the definitions of `student` and, where there is one, `teacher`; None for a
    definition that is not known yet.
    """
    if not uses:
        yield Problem(path, "no objective is given.", "Add one, such as cross_entropy.")
    outputs = [port.name for port in task.signature().outputs]
    supplied = {f"{who}_{name}" for who in models for name in outputs} | {"labels", "ids"}
    for index, use in enumerate(uses):
        here = f"{path}[{index}]"
        for need in use.plugin.needs:
            if need in TAPPED:
                yield from _check_tap(use, need, task, models, here)
            elif need not in supplied:
                yield Problem(
                    here,
                    f"'{use.kind}' asks for {need}, which nothing supplies.",
                    _remedy(need, models, supplied),
                )


def _remedy(need: str, models: Mapping[str, UseModel | None], supplied: set[str]) -> str:
    if need.startswith("teacher_") and "teacher" not in models:
        return "Add teacher: $<the stage that makes it>."
    return f"This task and its models supply {', '.join(sorted(supplied))}."


def _check_tap(
    use: UseObjective,
    need: str,
    task: Task,
    models: Mapping[str, UseModel | None],
    here: str,
) -> Iterator[Problem]:
    who = TAPPED[need]
    module_path = getattr(use.tap, who, None)
    if who not in models:
        yield Problem(
            here,
            f"'{use.kind}' asks for {need}, but there is no {who}.",
            f"Add {who}: $<the stage that makes it>.",
        )
    elif module_path is None:
        yield Problem(
            here,
            f"'{use.kind}' asks for {need}, but this term has no tap for it.",
            "Add tap: {student: <module>, teacher: <module>}.",
        )
    elif (definition := models[who]) is not None:
        known = [name for name, _ in outline(definition, task).named_modules() if name]
        if module_path not in known:
            yield Problem(
                f"{here}.tap.{who}",
                f"the {who} has no module '{module_path}'.",
                nearest(module_path, known),
            )
