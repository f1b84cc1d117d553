"""Train a student from a teacher, from labels, or from both."""

from collections.abc import Iterator, Mapping

import torch

from edgekd.core.config import Config
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import stage
from edgekd.core.needs import Needs
from edgekd.core.protocols import Facts, Preview, Run
from edgekd.core.refs import (
    Implied,
    ModelOrRef,
    Ref,
    Teachers,
    UseModel,
    UseObjective,
    UseStage,
    as_written,
)
from edgekd.core.seeds import sub_seed
from edgekd.core.signals import TEACHER as WORD
from edgekd.models.folder import load_model, save_model
from edgekd.train.check import (
    check_frozen,
    check_full_precision,
    check_model,
    check_recomputing,
    check_terms,
    quantization_of,
)
from edgekd.train.course import Lesson
from edgekd.train.evaluate import evaluate
from edgekd.train.keeping import Cache, Keeping, keep_outputs
from edgekd.train.loop import train, write_history
from edgekd.train.needs import training_needs, unbuilt
from edgekd.train.optim import Train
from edgekd.train.rounding import Student, check_rounding, rounding_student
from edgekd.train.teaching import DESCRIPTION, Kept, Online, Teaching
from edgekd.train.terms import Terms, teacher_taps
from edgekd.train.views import Views

TEACHER = "teacher"
"""What an only teacher is called."""
EMBEDDING = "student_embedding"
"""What terms ask for that distil without labels."""


class Distill(Config):
    """Who learns what from whom."""

    model: ModelOrRef
    """The student: a model to build, or `$stage` to go on from that stage's model. One from a
    quantize stage rounds while it learns (quantization-aware training) and hands on what it
    learned with its ranges."""
    teacher: Teachers | None = None
    """The teacher, or several by name; without one the student learns from labels alone."""
    objective: tuple[UseObjective, ...]
    """Weighted terms of the loss."""
    train: Train = Train()
    """How the student is trained."""
    cache: Cache = Cache()
    """Whether what a teacher says is kept, so that it is asked once for all."""
    shard_teacher: bool = False
    """Of several processes that train together, let each hold a part of a teacher's weights
    (FSDP2): for teachers too large for the memory of one. It costs an exchange in every block."""


def teachers_of(config: Distill) -> Mapping[str, Ref]:
    """Return the teachers by name, in the order of the file."""
    if config.teacher is None:
        return {}
    return {TEACHER: config.teacher} if isinstance(config.teacher, Ref) else config.teacher


def heard(config: Distill) -> Mapping[str, Ref]:
    """Return the teachers that a term listens to: nobody else is asked."""
    teachers = teachers_of(config)
    first = next(iter(teachers), "")
    asking = [u for u in config.objective if any(n.startswith(WORD) for n in u.plugin.needs)]
    return {
        name: teachers[name] for name in teachers if name in {u.teacher or first for u in asking}
    }


def check(config: Distill, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with a distillation before it starts."""
    if isinstance(config.model, UseModel):
        problems = list(check_model(config.model, preview.task, "model"))
        yield from problems
        student = None if problems else config.model
    else:
        student = preview.model(config.model)
        if quantization := quantization_of(config.model, preview):
            yield from check_rounding(quantization, config.train, config.objective)
    yield from _check_teachers(config, preview)
    yield from check_terms(
        config.objective,
        preview.task,
        student,
        {name: preview.model(ref) for name, ref in teachers_of(config).items()},
    )
    yield from check_frozen(config.train, student, preview.task)
    yield from check_recomputing(config.train, student, preview.task)
    if config.train.compile and any(use.tap for use in config.objective):
        message = "a compiled student gives no tapped features."
        yield Problem("train.compile", message, "Leave it out, or the terms with a tap.")


def _check_teachers(config: Distill, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with those who are to teach."""
    keepings = _keeping(config, preview)
    for name, ref in teachers_of(config).items():
        path = TEACHER if isinstance(config.teacher, Ref) else f"{TEACHER}.{name}"
        yield from check_full_precision(ref, preview, path)
        makes = preview.makes(ref)
        if makes == "outputs":
            yield from _check_same_examples(config, preview.options(ref), path)
            continue
        why = keepings[name].why if name in keepings else ""
        if makes == "program" and _taps(config, name):
            message = f"{ref} is a program, whose inside cannot be tapped."
            yield Problem(path, message, "Take a term that needs the teacher's outputs alone.")
        elif makes == "program" and why:
            message = f"{ref} is a program, which is asked once and not in every batch: {why}."
            yield Problem(path, message, "Mend that: what it says must be kept.")
        elif config.cache.keep == "always" and why:
            step = "Mend that, or leave cache.keep at auto."
            yield Problem("cache.keep", f"{name} cannot be kept: {why}.", step)


def _taps(config: Distill, name: str) -> list[str]:
    """Return the modules that are tapped in a teacher."""
    return teacher_taps(config.objective, name, next(iter(teachers_of(config))))


def _check_same_examples(config: Distill, outputs: Config | None, path: str) -> Iterator[Problem]:
    """Yield that kept outputs are of other views than the student would see."""
    kept = [as_written(use) for use in getattr(outputs, "augment", ())]
    if outputs is not None and kept != [as_written(use) for use in config.train.augment]:
        yield Problem(
            path,
            "these outputs are of examples that were changed in another way than train.augment.",
            "Write the same augment: in both stages, or name the teacher's own stage here.",
        )


def _keeping(config: Distill, preview: Preview) -> dict[str, Keeping]:
    """Return what becomes of the outputs of each teacher that is a model."""
    return {
        name: keep_outputs(
            ref,
            preview,
            taps=_taps(config, name),
            objective=config.objective,
            train=config.train,
            cache=config.cache,
            shard=config.shard_teacher,
        )
        for name, ref in heard(config).items()
        if preview.makes(ref) != "outputs"
    }


def implies(config: Distill, preview: Preview) -> Iterator[Implied]:
    """Yield a stage for each teacher whose outputs are to be kept."""
    for name, keeping in _keeping(config, preview).items():
        if keeping.options is not None:
            yield Implied(teachers_of(config)[name], UseStage.model_validate(keeping.options))


def remarks(config: Distill, preview: Preview) -> Iterator[str]:
    """Yield which teachers look at every batch, and why."""
    for name, keeping in _keeping(config, preview).items():
        if keeping.options is None:
            yield f"{name} looks at every batch: {keeping.why}"
    for name in teachers_of(config).keys() - heard(config).keys():
        yield f"no term listens to {name}"


def estimate(config: Distill, preview: Preview) -> Needs | None:
    """Return what training takes; what an objective of its own learns is not counted."""
    kept = {name for name, keeping in _keeping(config, preview).items() if keeping.options}
    online = [
        ref
        for name, ref in heard(config).items()
        if name not in kept and preview.makes(ref) != "outputs"
    ]
    teachers = [unbuilt(ref, preview) for ref in online]
    if None in teachers:
        return None
    student = unbuilt(config.model, preview)
    return training_needs(
        student, [*filter(None, teachers)], preview.task, config.train, preview.hands
    )


def controls(config: Distill) -> Mapping[str, Distill]:
    """Return what a method must beat: labels alone, and the plainest distillation, equally trained.

    That is the softened KL of scores; of embeddings, for which there are no labels, the cosine.
    It is left out where there is no teacher, or where the stage itself is just that. Of several
    teachers it has the first.
    """
    found = {}
    plainest: tuple[str, ...] = ("cross_entropy", "kd")
    if any(EMBEDDING in term.plugin.needs for term in config.objective):
        plainest = ("embedding_cosine",)
    else:
        alone = {"teacher": None, "objective": _plain("cross_entropy")}
        found["no_kd"] = config.model_copy(update=alone)
    first = next(iter(teachers_of(config).values()), None)
    if first and {term.kind for term in config.objective} != {*plainest}:
        plain = {"teacher": first, "objective": _plain(*plainest)}
        found["plain_kd"] = config.model_copy(update=plain)
    return found


def _plain(*kinds: str) -> tuple[UseObjective, ...]:
    """Return objectives with their default options."""
    return tuple(UseObjective.model_validate(kind) for kind in kinds)


@stage(
    config=Distill,
    makes="model",
    check=check,
    estimate=estimate,
    implies=implies,
    remarks=remarks,
    controls=controls,
    stops=True,
    shared=True,
    named=False,
)
def distill(config: Distill, run: Run) -> Facts:
    """Return how good the student is on the validation split, and on the test split for reports."""
    device = torch.device(run.device)
    torch.manual_seed(sub_seed(run.seed, "weights"))
    student = _student(config, run)
    module, use = student.module, student.use
    teachers = {name: _teaching(config, name, run) for name in heard(config)}
    terms, views = Terms(config.objective), _views(config, teachers, run)
    trained = train(Lesson(run, module, teachers, terms, config.train, views, student.sparse))
    write_history(run.out, trained.history)
    score = evaluate(module, run.task, "validation", device)
    tested = evaluate(module, run.task, "test", device)
    stored = student.stored(run.task)
    save_model(run.out, stored)
    parameters = sum(p.numel() for p in stored.module.parameters())
    loss = " + ".join(term.kind for term in config.objective)
    rounded = f", rounded by {stored.quantization.kind}" if stored.quantization else ""
    return {
        "says": f"{use.kind} {parameters:,} parameters, {loss}{rounded}",
        "result": score,
        "measure": run.task.quality[0],
        "test": tested,
        "parameters": parameters,
        "best_epoch": trained.history["best_epoch"],
        "training": trained.facts,
    }


def _teaching(config: Distill, name: str, run: Run) -> Teaching:
    """Return a teacher, or what was kept of it."""
    device, folder = torch.device(run.device), run.input(teachers_of(config)[name])
    taps = _taps(config, name)
    if (folder / DESCRIPTION).is_file():
        kept = Kept(folder, device)
        kept.check(config.train.augment, run.task.size("train"), taps)
        return kept
    stored = load_model(folder)
    wanted, shard = config.train.precision, config.shard_teacher
    return Online(stored.module, stored.signature, taps, run.task, device, wanted, shard=shard)


def _views(config: Distill, teachers: Mapping[str, Teaching], run: Run) -> Views:
    """Return the views that the examples are shown in: those that were kept, where some were."""
    kept = [t.about for t in teachers.values() if isinstance(t, Kept) and config.train.augment]
    views = {Views(about.seed, about.views) for about in kept}
    if len(views) > 1:
        raise StageError(
            "the kept outputs of the teachers are of different views of the examples.",
            "Give their outputs stages the same views and seed, or name the teachers' own stages.",
        )
    return views.pop() if views else Views(sub_seed(run.seed, "augment"), config.cache.views)


def _student(config: Distill, run: Run) -> Student:
    """Return a new student, or that of another stage."""
    if isinstance(config.model, UseModel):
        return Student(config.model.build()(run.task.signature()), config.model)
    stored = load_model(run.input(config.model))
    if stored.quantization is not None:
        return rounding_student(stored, config.train, run.task, run.device)
    return Student(stored.module, stored.use, stored.sparse)
