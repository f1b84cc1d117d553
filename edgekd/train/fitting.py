"""What terms of a loss get before the first step: the shapes at hand, the teacher on all examples.

What a term found is kept in a file beside the checkpoints, and is a part of them: a training that
goes on does not look again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from edgekd.core.errors import RunInterruptedError
from edgekd.core.protocols.training import Fits, HandsOn, Prepares, Setting
from edgekd.core.protocols.values import Batch, Signals
from edgekd.core.refs import UseObjective
from edgekd.core.seeds import sub_seed
from edgekd.core.signals import PROGRESS, TEACHER
from edgekd.ops.mixing import SECOND
from edgekd.ops.named import call_by_name
from edgekd.parallel.group import group
from edgekd.train.chance import no_chance_drawn
from edgekd.train.checkpoint import read_state, write_state
from edgekd.train.frozen import at_rest
from edgekd.train.keeping import class_names
from edgekd.train.lesson import Lesson
from edgekd.train.masked import seeing
from edgekd.train.taps import tapped
from edgekd.train.terms import asked, student_taps
from edgekd.train.views import channels_last, view_of

FITTED = "fitted"
"""How the names of files begin that hold what terms found."""
FEW = 2
"""Examples whose signals have the shapes that all have."""
OF_STUDENT = "student_"


def prepare_terms(lesson: Lesson) -> None:
    """Have terms make their parts for the shapes at hand, and move all terms to the device.

    The same in every process, and nothing else is changed: neither averages of batch norms nor
    the generators of the process. StageError where a term cannot work on such shapes.
    """
    device = torch.device(lesson.run.device)
    wanting = {n: term for n, term in lesson.terms.built.items() if isinstance(term, Prepares)}
    if wanting:
        with no_chance_drawn(device), at_rest(lesson.learners), torch.no_grad():
            batch = next(lesson.run.task.batches("train", FEW, device=device))
            uses = lesson.options.augment
            augments = [use.build() for use in uses if use.plugin.traits.get("supplies")]
            view = view_of(batch, augments, lesson.views.seed, 0)
            signals = _signals_of(lesson, channels_last(view))
            for use, name in zip(lesson.terms.uses, lesson.terms.names, strict=True):
                if name in wanting:
                    torch.manual_seed(sub_seed(lesson.run.seed, "objective", name))
                    wanting[name].prepare(_setting(lesson, asked(use, use.plugin.needs, *signals)))
    lesson.terms.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def fit_terms(lesson: Lesson) -> None:
    """Have terms find what they ask for, and hand on to the student what it is to keep.

    RunInterruptedError where the run is asked to end meanwhile: see `_fit`.
    """
    _fit(lesson)
    for term in lesson.terms.built.values():
        if isinstance(term, HandsOn):
            term.hand_on(lesson.student)


def _fit(lesson: Lesson) -> None:
    """Have terms that ask for it see the teacher over the training split, unless they have.

    Several processes share the work of the teacher; each term sees all of it in each of them.
    RunInterruptedError where the run is asked to end: then it begins again with the next run.
    """
    fitting = {n: term for n, term in lesson.terms.built.items() if isinstance(term, Fits)}
    if not fitting or _restored(fitting, lesson):
        return
    with no_chance_drawn(torch.device(lesson.run.device)), torch.no_grad():
        for use, name in zip(lesson.terms.uses, lesson.terms.names, strict=True):
            if name in fitting:
                fitting[name].fit(_examples(lesson, use))
    if not group().first:
        return
    try:
        write_state(lesson.run.unfinished, FITTED, _states(fitting))
    except (OSError, SafetensorError) as error:
        lesson.run.notice(f"what terms found of the teacher could not be written down: {error}")


def _signals_of(lesson: Lesson, batch: Batch) -> tuple[Batch, Signals, Mapping[str, Any]]:
    """Return the signals of a batch, the student's features, and what each teacher says."""
    signature = lesson.run.task.signature()
    taps = student_taps(lesson.terms.uses)
    with seeing(lesson.student, batch), tapped(lesson.student, taps) as features:
        own = call_by_name(lesson.student, signature, batch)
    features |= {f"{SECOND}{path}": value for path, value in features.items()}
    said = {name: teacher(batch, 0) for name, teacher in lesson.teachers.items()}
    signals = batch | {PROGRESS: torch.zeros(())}
    return signals | {f"{OF_STUDENT}{name}": value for name, value in own.items()}, features, said


def _setting(lesson: Lesson, signals: Signals) -> Setting:
    task = lesson.run.task
    shapes = {name: tuple(value.shape[1:]) for name, value in signals.items()}
    return Setting(shapes, task.size("train"), class_names(task))


def _examples(lesson: Lesson, use: UseObjective) -> Iterator[Signals]:
    """Yield what a term asks for of every training example but what the student says."""
    run, options, all_of = lesson.run, lesson.options, group()
    device, total = torch.device(run.device), run.task.size("train")
    needs = [n for n in use.plugin.needs if not n.startswith(OF_STUDENT) and n != PROGRESS]
    name = use.teacher or next(iter(lesson.teachers), "")
    heard = {name: lesson.teachers[name]} if any(n.startswith(TEACHER) for n in needs) else {}
    size = -(-options.batch_size // options.accumulate)
    batches = run.task.batches("train", size, device=device, part=all_of.part)
    for begin, batch in zip(range(0, total, size), batches, strict=True):
        if all_of.decided(run.stop_asked())[0]:
            raise RunInterruptedError(f"{use.kind} had seen {begin:,} of {total:,} examples.")
        said = {name: teacher(batch, 0) for name, teacher in heard.items()}
        own = asked(use, needs, batch, {}, said)
        divided = min(size, total - begin) >= all_of.size  # of a smaller one all have all
        yield {name: all_of.gathered(value) for name, value in own.items()} if divided else own
        run.progress(min(total, begin + size), total, f"fitting {use.kind}")


def _states(fitting: Mapping[str, Fits]) -> dict[str, dict[str, Tensor]]:
    """Return what terms keep: their buffers, in their state or out of it."""
    return {n: dict(t.named_buffers()) for n, t in fitting.items() if isinstance(t, nn.Module)}


def _restored(fitting: Mapping[str, Fits], lesson: Lesson) -> bool:
    """Give terms what they found before, and tell whether it was there and whole."""
    file = _found(lesson) if group().first else None
    name = group().as_first_says(file.name if file else "")
    if not name:
        return False
    found = read_state(lesson.run.unfinished / name)
    for term, buffers in _states(fitting).items():
        for place, buffer in buffers.items():
            buffer.copy_(found[term][place])
    return True


def _found(lesson: Lesson) -> Path | None:
    """Return the file of what terms found; one that is not whole is removed, and that is said."""
    for file in sorted(lesson.run.unfinished.glob(f"{FITTED}-*.safetensors")):
        try:
            read_state(file)
        except (ValueError, SafetensorError) as error:
            file.unlink()
            lesson.run.notice(f"{file.name[:14]} cannot be used ({error}): it is found anew.")
        else:
            return file
    return None
