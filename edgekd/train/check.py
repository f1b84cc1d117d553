"""What can be told about a training stage before it runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from edgekd.core.config import Config
from edgekd.core.errors import EdgekdError, Problem, nearest
from edgekd.core.kinds import augment, measure
from edgekd.core.protocols.stage import Preview
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref, UseAugment, UseModel, UseObjective, UseTransform
from edgekd.core.registry import Plugin
from edgekd.core.signals import EVIDENCE, PROGRESS, SECOND_FEATURE, TAPPED, VISIBLE
from edgekd.measures.contract import gate_names
from edgekd.ops.blocks import blocks_of
from edgekd.train.evaluate import compares
from edgekd.train.frozen import freeze
from edgekd.train.optim import Train
from edgekd.train.pretraining import pretrains

MOST_MODULES = 20_000
"""Ten times as many as the deepest networks in use have."""


def check_model(use: UseModel, task: Task, path: str, *, taught: bool = True) -> Iterator[Problem]:
    """Yield why a model cannot be built for the task or does not suit it; nothing is allocated.

    A model may register a `check(options, task, *, taught)` of its own; `taught` says whether the
    stage changes the weights that the model comes with.
    """
    try:
        outline(use, task)
    except Exception as error:  # the user's own model may raise anything
        reason = f"{error}" if isinstance(error, ValueError | EdgekdError) else repr(error)
        yield Problem(path, f"{use.kind} cannot be built: {reason}", "Change its options.")
        return
    check = use.plugin.traits.get("check")
    for problem in check(use.options, task, taught=taught) if check else ():
        place = ".".join(part for part in (path, problem.path) if part)
        yield Problem(place, problem.message, problem.next_step)


def outline(use: UseModel, task: Task) -> nn.Module:
    """Return the model's modules without memory behind them; ValueError where they are too many."""
    with torch.device("meta"), _counted():
        module: nn.Module = use.build()(task.signature())
    return module


@contextmanager
def _counted() -> Iterator[None]:
    """Stop a model that would not be built today: a typing error can ask for a billion layers."""
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1
        if made > MOST_MODULES:
            raise ValueError(f"it has more than {MOST_MODULES:,} modules")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def check_frozen(train: Train, use: UseModel | None, task: Task) -> Iterator[Problem]:
    """Yield the paths to freeze that a model does not have, or that nothing is left to learn."""
    found = [*check_paths(train.freeze, use, task, "train.freeze")]
    yield from found
    if train.freeze and use is not None and not found:
        model = outline(use, task)
        freeze(model, train.freeze)
        if not any(p.requires_grad for p in model.parameters()):
            yield Problem("train.freeze", "nothing is left to learn.", "Leave some of it out.")


def check_recomputing(train: Train, use: UseModel | None, task: Task) -> Iterator[Problem]:
    """Yield why the activations of a model cannot be computed again."""
    path = "train.activation_checkpointing"
    if not train.activation_checkpointing:
        return
    if train.compile:
        message = "a compiled student decides itself what it computes again."
        yield Problem(path, message, "Leave it out, or train.compile.")
    if use is not None and not any(True for _ in blocks_of(outline(use, task))):
        message = f"{use.kind} is a plain sequence of layers, without blocks to compute again."
        yield Problem(path, message, "Leave it out, or group layers in an nn.Sequential.")


def hides(use: UseAugment) -> bool:
    """Tell whether an augmentation hides patches: `@augment(..., supplies=("visible", ...))`."""
    return VISIBLE in use.plugin.traits.get("supplies", ())


def check_compiled(uses: Sequence[UseObjective], train: Train) -> Iterator[Problem]:
    """Yield what a compiled network cannot do: be looked into, or be shown parts of an example."""
    if train.compile and any(use.tap for use in uses):
        message = "a compiled student gives no tapped features."
        yield Problem("train.compile", message, "Leave it out, or the terms with a tap.")
    elif train.compile and any(hides(use) for use in train.augment):
        message = "a compiled student is always shown the whole picture."
        yield Problem("train.compile", message, "Leave it out, or the augmentation that hides.")


def check_paths(
    paths: Sequence[str], use: UseModel | None, task: Task, path: str
) -> Iterator[Problem]:
    """Yield the module paths that a model does not have, where its definition is known."""
    known = _modules(use, task) if paths and use else None
    for index, wanted in enumerate(paths if known is not None else ()):
        if wanted not in (known or ()):
            yield Problem(
                f"{path}[{index}]",
                f"the model has no module '{wanted}'.",
                nearest(wanted, known or ()),
            )


def check_transform(use: UseTransform, purpose: str, path: str) -> Iterator[Problem]:
    """Yield that a transform is for something else: `@transform(..., purpose="prune")` says it."""
    found = use.plugin.traits.get("purpose")
    if found != purpose:
        registry = use.registry
        fitting = [n for n in registry.names() if registry.get(n).traits.get("purpose") == purpose]
        what = f"is for {found} stages" if found else "does not say what it is for"
        yield Problem(
            path,
            f"the transform '{use.kind}' {what}, and this is a {purpose} stage.",
            f"Transforms for {purpose}: {', '.join(fitting)}. A transform of your own says "
            f'@transform(..., purpose="{purpose}").',
        )


def check_by_layer(use: UseTransform, path: str) -> Iterator[Problem]:
    """Yield that a transform cannot work on one layer alone: `@transform(..., by_layer=...)`."""
    if "by_layer" not in use.plugin.traits:
        registry = use.registry
        fitting = [n for n in registry.names() if "by_layer" in registry.get(n).traits]
        yield Problem(
            path,
            f"the transform '{use.kind}' cannot quantize one layer alone.",
            f"Leave {path} out, or take one that can: {', '.join(fitting)}.",
        )


def quantization_of(ref: Ref, preview: Preview) -> UseTransform | None:
    """Return how the model that a reference leads to is quantized, where it is.

    What is trained from a quantized model is quantized too.
    """
    if preview.kind(ref) == "quantize":
        return preview.transform(ref)
    before = getattr(preview.options(ref), "model", None)
    return quantization_of(before, preview) if isinstance(before, Ref) else None


def check_quantizable(
    use: UseTransform, model: UseModel, task: Task, path: str
) -> Iterator[Problem]:
    """Yield what a transform says of a model: it may register `check(options, model)`."""
    told = use.plugin.traits.get("check")
    try:
        outlined = outline(model, task)
    except Exception:  # the user's own model may raise anything; its own stage reports it
        return
    for problem in told(use.options, outlined) if told else ():
        place = ".".join(part for part in (path, problem.path) if part)
        yield Problem(place, problem.message, problem.next_step)


def check_full_precision(ref: Ref, preview: Preview, path: str) -> Iterator[Problem]:
    """Yield that a quantized model is named, which would be read as fp32."""
    if preview.kind(ref) == "quantize" or quantization_of(ref, preview):
        yield Problem(
            path,
            f"{ref} is quantized, and going on from it would silently drop that.",
            "Name the stage that it quantizes, and quantize as the last step before export.",
        )


def _modules(use: UseModel, task: Task) -> list[str] | None:
    """Return the model's module paths; None where it cannot be built, which its stage reports."""
    try:
        return [name for name, _ in outline(use, task).named_modules() if name]
    except Exception:  # the user's own model may raise anything
        return None


def columns_of(task: Task) -> set[str]:
    """Return the signals that a task's batches carry besides a model's inputs."""
    return {*getattr(task, "columns", ("labels", "ids"))}


def check_learnable(task: Task, path: str, uses: Sequence[UseObjective]) -> Iterator[Problem]:
    """Yield that nothing tells a good epoch from a bad one: the task compares, and scores nothing.

    So it is where no example has a label; a pre-training asks for none and has its own loss.
    """
    first = task.quality[0]
    if compares(measure.get(first)) and not pretrains(uses):
        yield Problem(
            path,
            f"nothing can be trained here: the examples have no labels, and {first}, which this "
            "task scores by, only tells how alike two models answer.",
            "Leave it out, and quantize and export the model as it is; or take a task with labels.",
        )


def check_gates(gates: Iterable[str], task: Task) -> Iterator[Problem]:
    """Yield the gates that ask for what neither the task nor the programs' answers supply."""
    outputs = [port.name for port in task.signature().outputs]
    supplied = {f"{who}_{name}" for who in ("student", "teacher") for name in outputs}
    supplied |= {*EVIDENCE} | columns_of(task)
    needs = {name: plugin.needs for plugin in measure for name in gate_names(plugin)}
    able = sorted(name for name, asked in needs.items() if {*asked} <= supplied)
    for gate in gates:
        absent = [need for need in needs[gate] if need not in supplied]
        if absent:
            yield Problem(
                f"gates.{gate}",
                f"'{gate}' asks for {' and '.join(absent)}, which this task does not supply.",
                f"Of this task can be measured: {', '.join(able)}.",
            )


def check_terms(
    uses: Sequence[UseObjective],
    task: Task,
    student: UseModel | None,
    teachers: Mapping[str, UseModel | None],
    augments: Sequence[UseAugment] = (),
    path: str = "objective",
) -> Iterator[Problem]:
    """Yield every signal that nothing supplies and every tap that matches no module.

    A model is None where its definition is not known yet. An augmentation may say what it adds to
    a batch: `@augment(..., supplies=("visible",))`.
    """
    if not uses:
        yield Problem(path, "no objective is given.", "Add one, such as cross_entropy.")
    outputs = [port.name for port in task.signature().outputs]
    who = ("student", "teacher") if teachers else ("student",)
    supplied = {f"{one}_{name}" for one in who for name in outputs} | columns_of(task)
    supplied |= {PROGRESS, *(port.name for port in task.signature().inputs)}
    supplied |= {name for use in augments for name in use.plugin.traits.get("supplies", ())}
    for index, use in enumerate(uses):
        here = f"{path}[{index}]"
        if use.teacher is not None and use.teacher not in teachers:
            message = f"no teacher is named '{use.teacher}'."
            yield Problem(f"{here}.teacher", message, nearest(use.teacher, teachers))
            continue
        teacher = teachers.get(use.teacher or next(iter(teachers), ""))
        models = {"student": student} | ({"teacher": teacher} if teachers else {})
        for need in use.plugin.needs:
            if need in TAPPED:
                yield from _check_tap(use, need, task, models, here)
            elif need not in supplied:
                yield Problem(
                    here,
                    f"'{use.kind}' asks for {need}, which nothing supplies.",
                    _remedy(need, models, supplied),
                )


def check_mixing(uses: Sequence[UseObjective], train: Train) -> Iterator[Problem]:
    """Yield the terms that ask for the one class of examples that an augmentation makes two of.

    It says `@augment(..., mixes=True)`, a term that can take both `mixed_labels=True`.
    """
    mixing = [
        (i, use.kind) for i, use in enumerate(train.augment) if use.plugin.traits.get("mixes")
    ]
    for index, kind in mixing[1:]:
        message = f"{kind} would mix what {mixing[0][1]} has mixed before."
        yield Problem(f"train.augment[{index}]", message, "Leave one of them out.")
    for index, use in enumerate(uses if mixing else ()):
        if "labels" in use.plugin.needs and not use.plugin.traits.get("mixed_labels"):
            able = [p.name for p in use.registry if p.traits.get("mixed_labels")]
            yield Problem(
                f"objective[{index}]",
                f"'{use.kind}' asks for the one true class, and {mixing[0][1]} gives examples two.",
                f"Leave one of them out, or take a term that takes both: {', '.join(able)}.",
            )


def check_second_views(uses: Sequence[UseObjective], train: Train) -> Iterator[Problem]:
    """Yield the terms that ask for a second view of each example where no augmentation makes one.

    One that does says `@augment(..., second_view=lambda options: ...)`.
    """
    if any(_makes_second(use.plugin, use.options) for use in train.augment):
        return
    for index, use in enumerate(uses):
        if SECOND_FEATURE in use.plugin.needs:
            able = [p.name for p in augment if _makes_second(p, p.config())]
            message = f"'{use.kind}' asks for a second view of each example, and none is made."
            step = f"Let train.augment have one that makes it: {', '.join(able)}."
            yield Problem(f"objective[{index}]", message, step)


def _makes_second(plugin: Plugin, options: Config) -> bool:
    makes = plugin.traits.get("second_view")
    return bool(makes and makes(options))


def _remedy(need: str, models: Mapping[str, UseModel | None], supplied: set[str]) -> str:
    if need.startswith("teacher_") and "teacher" not in models:
        return "Add teacher: $<the stage that makes it>."
    if able := [p.name for p in augment if need in p.traits.get("supplies", ())]:
        return f"Add it to train.augment: {', '.join(able)}."
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
        known = _modules(definition, task)
        if known is not None and module_path not in known:
            yield Problem(
                f"{here}.tap.{who}",
                f"the {who} has no module '{module_path}'.",
                nearest(module_path, known),
            )
