"""Train a student from a teacher, from labels, or from both."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from edgekd.core.errors import Problem
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import (
    Implied,
    ModelOrRef,
    Ref,
    UseModel,
    UseObjective,
    UseSource,
    UseStage,
)
from edgekd.core.rehearsal import Rehearsal
from edgekd.core.seeds import sub_seed
from edgekd.models.folder import load_model, save_model
from edgekd.train.adopting import Whom, adopted, check_adopting
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
    quantization_of,
)
from edgekd.train.evaluate import evaluate
from edgekd.train.gradual import Gradual, check_gradual
from edgekd.train.held_out import check_held_out
from edgekd.train.labelled import check_labelled
from edgekd.train.lesson import Lesson
from edgekd.train.loop import train, write_history
from edgekd.train.marks import write_selected
from edgekd.train.masked import check_masked
from edgekd.train.needs import pruning_bytes, training_needs, unbuilt
from edgekd.train.optim import only_timed
from edgekd.train.pool import check_pool, learning_from, seeing
from edgekd.train.pretraining import pretrains
from edgekd.train.pruning import Pruning
from edgekd.train.rounding import Student, check_rounding, rounding_student
from edgekd.train.selecting import check_select
from edgekd.train.taught import (
    Taught,
    across_remarks,
    asks_teacher,
    check_across,
    check_teachers,
    heard,
    keeping_of,
    learning,
    place_of,
    teachers_of,
    teaching_of,
    views_of,
)
from edgekd.train.terms import Terms
from edgekd.transforms.masks import with_zeros

EMBEDDING = "student_embedding"
"""What terms ask for that distil without labels."""


class Distill(Taught):
    """Who learns what from whom."""

    model: ModelOrRef
    """The student: a model to build, or `$stage` to go on from that stage's model. One from a
    quantize stage rounds while it learns (quantization-aware training) and hands on what it
    learned with its ranges."""
    pool: UseSource | None = None
    """Pictures to learn from in the place of the training split; labels that they have are not
    looked at. The validation split of the task chooses the epoch, as ever."""
    prune: Gradual | None = None
    """What of the student goes while it learns, in steps."""


def check(config: Distill, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with a distillation before it starts."""
    found = [*check_pool(config.pool, config.train, preview)]
    yield from found
    if found:
        return
    preview = seeing(config.pool, preview)
    if isinstance(config.model, UseModel):
        problems = list(check_model(config.model, preview.task, "model"))
        problems += [] if problems else check_adopting(config.model, _whom(config), preview)
        yield from problems
        student = None if problems else config.model
    else:
        student = preview.model(config.model)
        if quantization := quantization_of(config.model, preview):
            yield from check_rounding(quantization, config.train, config.objective)
    yield from check_teachers(config, preview)
    yield from check_terms(
        config.objective,
        preview.task,
        student,
        {name: preview.model(ref) for name, ref in teachers_of(config).items()},
        config.train.augment,
    )
    teachers = {place_of(config, name): ref for name, ref in heard(config).items()}
    models = {"model": config.model} | teachers
    yield from check_masked(config.train.augment, models, preview)
    yield from check_mixing(config.objective, config.train)
    yield from check_second_views(config.objective, config.train)
    yield from check_labelled(config.objective, config.train, preview.task)
    yield from check_held_out(config.objective, config.train, preview.task)
    yield from check_select(config.train, config.objective, preview.task, teachers_of(config))
    yield from check_learnable(preview.task, "train", config.objective)
    yield from check_frozen(config.train, student, preview.task)
    yield from check_recomputing(config.train, student, preview.task)
    if config.prune is not None:
        rounds = isinstance(config.model, Ref) and quantization_of(config.model, preview)
        pruning = (config.prune, config.train, student, preview.task)
        yield from check_gradual(*pruning, rounds=bool(rounds))
    yield from check_compiled(config.objective, config.train)


def implies(config: Distill, preview: Preview) -> Iterator[Implied]:
    """Yield a stage for each teacher whose outputs are to be kept."""
    preview = seeing(config.pool, preview)
    for name, keeping in keeping_of(config, preview).items():
        if keeping.options is not None:
            yield Implied(teachers_of(config)[name], UseStage.model_validate(keeping.options))


def remarks(config: Distill, preview: Preview) -> Iterator[str]:
    """Yield which teachers look at every batch, and why."""
    preview = seeing(config.pool, preview)
    for name, keeping in keeping_of(config, preview).items():
        if keeping.options is None:
            yield f"{name} looks at every batch: {keeping.why}"
    for name in sorted(learning(config)):
        yield f"{name} learns, too: its outputs are not kept, and it is dropped at the end"
    for name, ref in heard(config).items():
        if name not in learning(config) and getattr(preview.options(ref), "untrained", False):
            yield f"{name} is untrained and does not learn here: what it says is chance"
    yield from across_remarks(config, preview)
    for name in sorted(teachers_of(config).keys() - heard(config).keys()):
        yield f"no term listens to {name}"


def estimate(config: Distill, preview: Preview) -> Needs | None:
    """Return what training takes; what an objective of its own learns is not counted."""
    preview = seeing(config.pool, preview)
    kept = {name for name, keeping in keeping_of(config, preview).items() if keeping.options}
    online = {
        name: unbuilt(ref, preview)
        for name, ref in heard(config).items()
        if name not in kept and preview.makes(ref) != "outputs"
    }
    if None in online.values():
        return None
    peers = [model for name, model in online.items() if model and name in learning(config)]
    teachers = [model for name, model in online.items() if model and name not in learning(config)]
    student = unbuilt(config.model, preview)
    needs = training_needs(
        student, teachers, preview.task, config.train, preview.hands, peers=peers
    )
    if needs is None or student is None or config.prune is None:
        return needs
    copies = pruning_bytes(student, preview.task, config.prune.examples) * preview.hands.here
    return replace(needs, memory_bytes=needs.memory_bytes + copies)


def controls(config: Distill) -> Mapping[str, Distill]:
    """Return what a method must beat: labels alone, and the plainest distillation, equally trained.

    That is the softened KL of scores; of embeddings, for which there are no labels, the cosine.
    It is left out where there is no teacher, where that has scores of other classes
    (`check_across`), or where the stage itself is just that. Of several teachers it has the first.
    Of a pool, which has no labels, it is the KL alone. Augmentations that learn, examples held out
    and a choice of examples are the method's.
    A pre-training must beat the same without what asks for a teacher.
    """
    if pretrains(config.objective):
        own = tuple(use for use in config.objective if not asks_teacher(use))
        untaught = config.model_copy(update={"teacher": None, "objective": own})
        return {"no_kd": untaught} if own else {}
    found: dict[str, Distill] = {}
    changes = tuple(use for use in config.train.augment if not use.plugin.learns)
    more = changes != config.train.augment or config.train.select is not None
    train = config.train.model_copy(update={"augment": changes, "held_out": None, "select": None})
    plainest: tuple[str, ...] = ("cross_entropy", "kd")
    if any(EMBEDDING in term.plugin.needs for term in config.objective):
        plainest = ("embedding_cosine",)
    elif config.pool is not None:
        plainest = ("kd",)
    else:
        alone = {"teacher": None, "objective": _plain("cross_entropy"), "train": train}
        found["no_kd"] = config.model_copy(update=alone)
    first = next(iter(teachers_of(config).values()), None)
    if first and (more or {term.kind for term in config.objective} != {*plainest}):
        plain = {"teacher": first, "objective": _plain(*plainest), "train": train}
        found["plain_kd"] = config.model_copy(update=plain)
    return found


def _plain(*kinds: str) -> tuple[UseObjective, ...]:
    """Return objectives with their default options."""
    return tuple(UseObjective.model_validate(kind) for kind in kinds)


def rehearse(config: Distill, _run: Run) -> Rehearsal:
    """Return a training that is timed, for all its epochs."""
    update = {"train": only_timed(config.train)}
    return Rehearsal(config.model_copy(update=update), epochs=config.train.epochs)


@stage(
    config=Distill,
    makes="model",
    check=check,
    estimate=estimate,
    implies=implies,
    remarks=remarks,
    controls=controls,
    rehearse=rehearse,
    stops=True,
    shared=True,
    named=False,
    own_task=True,
    hears=("teacher",),
    across=check_across,
)
def distill(config: Distill, run: Run) -> Facts:
    """Return how good the student is on the validation split, and on the test split for reports."""
    device, run = torch.device(run.device), learning_from(config.pool, run)
    torch.manual_seed(sub_seed(run.seed, "weights"))
    student = _student(config, run)
    teachers = {name: teaching_of(config, name, run) for name in heard(config)}
    terms, views = Terms(config.objective), views_of(config, teachers, run)
    lesson = Lesson(
        run, student.module, teachers, terms, config.train, views, student.sparse, config.prune
    )
    trained = train(lesson)
    write_history(run.out, trained.history)
    write_selected(run.out, trained.selected, run.task.size("train"))
    pruned: dict[str, Any] = {}
    if trained.pruning is not None:
        student = _without(student, trained.pruning)
        pruned = trained.pruning.facts(student.module)
    found = trained.pretraining() if lesson.pretrains else _scores(student, run, device)
    stored = student.stored(run.task)
    save_model(run.out, stored)
    parameters = sum(p.numel() for p in stored.module.parameters())
    loss = " + ".join(term.kind for term in config.objective)
    loss += ", and its teacher" if learning(config) else ""
    rounded = f", rounded by {stored.quantization.kind}" if stored.quantization else ""
    less = f"; pruned while it learned: {pruned['says']}" if pruned else ""
    facts: Facts = {
        "says": f"{student.use.kind} {parameters:,} parameters, {loss}{rounded}{less}",
        "parameters": parameters,
        "best_epoch": trained.history["best_epoch"],
        "training": trained.facts,
    }
    return {**facts, **found} | ({"pruning": pruned} if pruned else {})


def _scores(student: Student, run: Run, device: torch.device) -> Facts:
    """Return how good the student is, once what it sets by itself is set."""
    module, task = student.module, run.task
    settled = {} if student.origin else calibrated(module, student.use, task, device)
    return {
        "result": evaluate(module, task, "validation", device),
        "measure": task.quality[0],
        "test": evaluate(module, task, "test", device),
        **settled,
    }


def _without(student: Student, pruning: Pruning) -> Student:
    """Return the trained student without what is to be cut out; zeros that are left stay zeros."""
    module = pruning.cut_out()
    if module is student.module:
        return replace(student, sparse=sorted({*student.sparse, *pruning.zeros}))
    return replace(student, module=module, sparse=with_zeros(module) if student.sparse else ())


def _whom(config: Distill) -> Whom | None:
    """Return the first teacher, and whether it learns; None where there is none."""
    name, ref = next(iter(teachers_of(config).items()), ("", None))
    return None if ref is None else Whom(ref, name in learning(config))


def _student(config: Distill, run: Run) -> Student:
    """Return a new student, or that of another stage."""
    if isinstance(config.model, UseModel):
        module = config.model.build()(run.task.signature())
        adopted(config.model, module, _whom(config), run)
        return Student(module, config.model)
    stored = load_model(run.input(config.model))
    if stored.quantization is not None:
        return rounding_student(stored, config.train, run.task, run.device)
    return Student(stored.module, stored.use, stored.sparse)
