"""Those who teach: what a file says of them, whether it can be done, and what becomes of it."""

from collections.abc import Iterator, Mapping

import torch

from edgekd.core.config import Config
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.refs import Ref, Teachers, UseObjective, as_written
from edgekd.core.registry import Plugin
from edgekd.core.seeds import sub_seed
from edgekd.core.signals import TAPPED
from edgekd.core.signals import TEACHER as WORD
from edgekd.models.folder import load_model
from edgekd.train.across import misfit, preparing, task_of_teacher, told_apart
from edgekd.train.check import check_full_precision
from edgekd.train.keeping import Cache, Keeping, keep_outputs
from edgekd.train.optim import Train
from edgekd.train.peer import Peer
from edgekd.train.teaching import DESCRIPTION, Kept, Online, Teaching
from edgekd.train.terms import moves_teacher, teacher_taps
from edgekd.train.views import Views

TEACHER = "teacher"
"""What an only teacher is called."""


class Taught(Config):
    """Who teaches what, and how what they say is come by."""

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


def teachers_of(config: Taught) -> Mapping[str, Ref]:
    """Return the teachers by name, in the order of the file."""
    if config.teacher is None:
        return {}
    return {TEACHER: config.teacher} if isinstance(config.teacher, Ref) else config.teacher


def heard(config: Taught) -> Mapping[str, Ref]:
    """Return the teachers that a term listens to: nobody else is asked."""
    teachers = teachers_of(config)
    first = next(iter(teachers), "")
    asking = [use for use in config.objective if asks_teacher(use)]
    wanted = {u.teacher or first for u in asking}
    wanted |= {first} if asking_changes(config) or _chooses(config) else set()
    return {name: teachers[name] for name in teachers if name in wanted}


def asking_changes(config: Taught) -> list[str]:
    """Return the augmentations that ask the first teacher: `@augment(..., teacher=True)`."""
    return [use.kind for use in config.train.augment if use.plugin.traits.get("teacher")]


def asks_teacher(use: UseObjective) -> bool:
    """Tell whether a term asks for a signal of a teacher."""
    return any(need.startswith(WORD) for need in use.plugin.needs)


def place_of(config: Taught, name: str) -> str:
    """Return where the options of a stage name a teacher."""
    return TEACHER if isinstance(config.teacher, Ref) else f"{TEACHER}.{name}"


def learning(config: Taught) -> set[str]:
    """Return the names of the teachers that learn while they teach: a term of theirs says so."""
    first = next(iter(teachers_of(config)), "")
    return {use.teacher or first for use in config.objective if moves_teacher(use)}


def _chooses(config: Taught) -> bool:
    """Tell whether what the first teacher says decides which examples an epoch uses."""
    select = config.train.select
    return bool(select and any(need.startswith(WORD) for need in select.plugin.needs))


def check_teachers(config: Taught, preview: Preview) -> Iterator[Problem]:
    """Yield what is wrong with those who are to teach."""
    yield from check_asked(config.train, config.teacher)
    yield from check_across(config, preview)
    keepings = keeping_of(config, preview)
    for name, ref in teachers_of(config).items():
        path = place_of(config, name)
        yield from check_full_precision(ref, preview, path)
        makes = preview.makes(ref)
        if name == next(iter(teachers_of(config))):
            yield from _check_gradient(config, makes, path)
        if name in learning(config):
            yield from _check_learning(config, makes, name, path)
            continue
        if makes == "outputs":
            yield from _check_same_examples(config, preview.options(ref), path)
            yield from _check_unchanged_examples(config, name, path)
            continue
        why = keepings[name].why if name in keepings else ""
        if makes == "program" and taps_of(config, name):
            message = f"{ref} is a program, whose inside cannot be tapped."
            yield Problem(path, message, "Take a term that needs the teacher's outputs alone.")
        elif makes == "program" and why:
            message = f"{ref} is a program, which is asked once and not in every batch: {why}."
            yield Problem(path, message, "Mend that: what it says must be kept.")
        elif config.cache.keep == "always" and why:
            step = "Mend that, or leave cache.keep at auto."
            yield Problem("cache.keep", f"{name} cannot be kept: {why}.", step)


def check_across(config: Taught, preview: Preview) -> Iterator[Problem]:
    """Yield what a teacher of another task cannot be shown, and what asks for scores of its own."""
    for name, ref in teachers_of(config).items():
        theirs, own = task_of_teacher(ref, preview), preview.task
        if wrong := misfit(ref, theirs, own, place_of(config, name)):
            yield wrong
        elif apart := told_apart(theirs, own):
            for path, kind in _by_scores(config, name):
                message = f"{kind} goes by what {ref} answers, which {apart}."
                step = f"Take what goes by its features alone: {', '.join(_by_features())}."
                yield Problem(path, message, step)


def across_remarks(config: Taught, preview: Preview) -> Iterator[str]:
    """Yield which teachers have scores of other classes, by which nothing can go."""
    for name, ref in teachers_of(config).items():
        if apart := told_apart(task_of_teacher(ref, preview), preview.task):
            yield f"{name} {apart}: its features teach, and no control has its scores"


def _by_scores(config: Taught, name: str) -> Iterator[tuple[str, str]]:
    """Yield place and kind of all that asks for more of a teacher than what is tapped."""
    first = next(iter(teachers_of(config)))
    for index, use in enumerate(config.objective):
        if (use.teacher or first) == name and _asks_answers(use.plugin):
            yield f"objective[{index}]", use.kind
    for index, change in enumerate(config.train.augment if name == first else ()):
        if change.plugin.traits.get("teacher"):
            yield f"train.augment[{index}]", change.kind
    if name == first and config.train.select and _chooses(config):
        yield "train.select", config.train.select.kind


def _asks_answers(plugin: Plugin) -> bool:
    return any(need.startswith(WORD) and need not in TAPPED for need in plugin.needs)


def _by_features() -> list[str]:
    """Return the objectives that ask for nothing of a teacher but what is tapped."""
    heard = f"{WORD}feature"
    return [p.name for p in objective if heard in p.needs and not _asks_answers(p)]


def _check_gradient(config: Taught, makes: str | None, path: str) -> Iterator[Problem]:
    """Yield why augmentations cannot have the gradient of a teacher."""
    for kind in asking_changes(config):
        message = f"{kind} follows the gradient of its teacher, "
        if makes == "outputs":
            yield Problem(path, f"{message}and this is kept outputs.", "Name the teacher's stage.")
        elif makes == "program":
            yield Problem(path, f"{message}and this is a program.", "Name the stage of a model.")
        if config.shard_teacher:
            step = "Leave it out: every process holds the teacher."
            yield Problem("shard_teacher", f"{message}which is shared out here.", step)


def _check_learning(config: Taught, makes: str | None, name: str, path: str) -> Iterator[Problem]:
    """Yield why a teacher cannot learn while it teaches."""
    teachers = teachers_of(config)
    ref, first = teachers[name], next(iter(teachers))
    moving = (use for use in config.objective if moves_teacher(use))
    term = next(use.kind for use in moving if (use.teacher or first) == name)
    frozen = "Name the stage of the model, or give the term online: false."
    if makes == "outputs":
        yield Problem(path, f"{term} lets its teacher learn, and {ref} is kept outputs.", frozen)
    elif makes == "program":
        yield Problem(path, f"{term} lets its teacher learn, and {ref} is a program.", frozen)
    if fitted := fitted_to(config, name):
        message = f"{fitted[0]} is fitted to a teacher once, and {term} lets this one learn."
        yield Problem(path, message, "Leave one of them out, or give each its own teacher.")
    if config.cache.keep == "always":
        message = f"{term} lets its teacher learn: what it says cannot be kept."
        yield Problem("cache.keep", message, "Leave cache.keep at auto.")
    if config.shard_teacher:
        message = f"{term} lets its teacher learn, which cannot be shared out."
        yield Problem("shard_teacher", message, "Leave it out: every process holds the teacher.")


def check_asked(train: Train, teacher: Teachers | None) -> Iterator[Problem]:
    """Yield the augmentations that ask a teacher, where there is none."""
    for index, use in enumerate(train.augment):
        if teacher is None and use.plugin.traits.get("teacher"):
            message = f"{use.kind} asks a teacher, and there is none."
            yield Problem(f"train.augment[{index}]", message, "Leave it out, or add teacher:.")


def taps_of(config: Taught, name: str) -> list[str]:
    """Return the modules that are tapped in a teacher."""
    return teacher_taps(config.objective, name, next(iter(teachers_of(config))))


def answers_asked(config: Taught, name: str) -> bool:
    """Tell whether a term or an augmentation asks for more of a teacher than what is tapped."""
    first = next(iter(teachers_of(config)), "")
    if name == first and (asking_changes(config) or _chooses(config)):
        return True
    asking = (use for use in config.objective if (use.teacher or first) == name)
    return any(_asks_answers(use.plugin) for use in asking)


def fitted_to(config: Taught, name: str) -> list[str]:
    """Return the terms that see this teacher over all examples before training begins."""
    first = next(iter(teachers_of(config)), "")
    return [u.kind for u in config.objective if u.plugin.fits and (u.teacher or first) == name]


def _check_unchanged_examples(config: Taught, name: str, path: str) -> Iterator[Problem]:
    """Yield that a term is fitted to examples of which kept outputs say nothing."""
    fitted = [f"{kind} is fitted to" for kind in fitted_to(config, name)]
    select, first = config.train.select, next(iter(teachers_of(config)))
    if select and _chooses(config) and name == first:
        fitted.append(f"{select.kind} chooses by")
    if fitted and config.train.augment:
        message = f"{fitted[0]} examples that nothing has changed; these were changed."
        yield Problem(path, message, "Name the stage of the teacher itself here.")


def _check_same_examples(config: Taught, outputs: Config | None, path: str) -> Iterator[Problem]:
    """Yield that kept outputs are of other views than the student would see."""
    kept = [as_written(use) for use in getattr(outputs, "augment", ())]
    if outputs is not None and kept != [as_written(use) for use in config.train.augment]:
        yield Problem(
            path,
            "these outputs are of examples that were changed in another way than train.augment.",
            "Write the same augment: in both stages, or name the teacher's own stage here.",
        )


def keeping_of(config: Taught, preview: Preview) -> dict[str, Keeping]:
    """Return what becomes of the outputs of each teacher that is a model."""
    return {
        name: keep_outputs(
            ref,
            preview,
            taps=taps_of(config, name),
            objective=config.objective,
            train=config.train,
            cache=config.cache,
            shard=config.shard_teacher,
        )
        for name, ref in heard(config).items()
        if preview.makes(ref) != "outputs" and name not in learning(config)
    }


def teaching_of(config: Taught, name: str, run: Run) -> Teaching:
    """Return a teacher, or what was kept of it."""
    device, folder = torch.device(run.device), run.input(teachers_of(config)[name])
    taps = taps_of(config, name)
    if (folder / DESCRIPTION).is_file():
        kept = Kept(folder, device)
        kept.check(config.train.augment, run.task.size("train"), taps)
        return kept
    stored = load_model(folder)
    prepared = preparing(stored.facts, run.task)
    if name in learning(config):
        return Peer(stored.module, stored.signature, taps, prepared)
    return Online(
        stored.module,
        stored.signature,
        taps,
        run.task,
        device,
        config.train.precision,
        shard=config.shard_teacher,
        answers=answers_asked(config, name),
        prepared=prepared,
    )


def views_of(config: Taught, teachers: Mapping[str, Teaching], run: Run) -> Views:
    """Return the views that the examples are shown in: those that were kept, where some were."""
    kept = [t.about for t in teachers.values() if isinstance(t, Kept) and config.train.augment]
    views = {Views(about.seed, about.views) for about in kept}
    if len(views) > 1:
        raise StageError(
            "the kept outputs of the teachers are of different views of the examples.",
            "Give their outputs stages the same views and seed, or name the teachers' own stages.",
        )
    return views.pop() if views else Views(sub_seed(run.seed, "augment"), config.cache.views)
