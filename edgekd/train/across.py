"""A teacher of another task: what of it can teach, and how the student's examples reach it.

Its features are of examples, whoever labelled them; its scores are of its own classes. Where its
task prepares pictures in another way, it is shown them as it learned them.
"""

from collections.abc import Callable, Sequence

import torch

from edgekd.core.errors import Problem, StageError
from edgekd.core.protocols.stage import Preview
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch, Facts
from edgekd.core.refs import Ref
from edgekd.core.signature import Port

PICTURE = "image"
SAME_SHAPE = "Give both tasks examples of one shape; size: stretches pictures."
MOST_NAMES = 5
Prepared = Callable[[Batch], Batch]
"""Shows a teacher a batch as it learned."""


def task_of_teacher(ref: Ref, preview: Preview) -> Task:
    """Return the task that a teacher learned, also where what it said is kept."""
    while preview.makes(ref) == "outputs":
        behind = getattr(preview.options(ref), "model", None)
        if not isinstance(behind, Ref):
            break
        ref = behind
    return preview.task_of(ref)


def misfit(ref: Ref, theirs: Task, own: Task, path: str) -> Problem | None:
    """Return why a teacher cannot be shown the examples of a task; None where it can."""
    takes, given = theirs.signature().inputs, own.signature().inputs
    if takes == given:
        return None
    message = f"{ref} takes {_shapes(takes)}, and the examples here are {_shapes(given)}."
    return Problem(path, message, SAME_SHAPE)


def told_apart(theirs: Task, own: Task) -> str:
    """Return, as a clause, what the scores of a teacher are of; empty where of the same as here."""
    if theirs is own:
        return ""
    names, wanted = _labels(theirs), _labels(own)
    if names and wanted:
        return "" if names == wanted else f"tells {_listed(names)} apart, and not {_listed(wanted)}"
    same = theirs.signature().outputs == own.signature().outputs
    return "" if same else "answers in another form than this task asks for"


def as_it_is(batch: Batch) -> Batch:
    """Return a batch itself: the teacher learned the task whose batches it is shown."""
    return batch


def preparing(theirs: Facts, task: Task) -> Prepared:
    """Return what shows a teacher the examples of a task as those that it learned.

    Pictures that are (p - m) / s here, per channel, become (p - m') / s' of the teacher's own mean
    m' and deviation s'. StageError where texts are prepared in two ways, which nothing turns into
    each other.

    Args:
        theirs: what the teacher's task says of its data; nothing where it is not known.
        task: whose batches it is shown.

    """
    learned = dict(theirs.get("preprocessing", {}))
    given = dict(task.facts().get("preprocessing", {})) if learned else {}
    if learned == given:
        return as_it_is
    scales = [[about.pop(name, None) for name in ("mean", "std")] for about in (learned, given)]
    if learned != given or None in scales[0] + scales[1]:
        keys = learned.keys() | given.keys()
        odd = sorted(key for key in keys if learned.get(key) != given.get(key)) or ["scale"]
        raise StageError(
            f"the teacher's examples are prepared in another way: {', '.join(odd)} differs.",
            "Prepare the examples of both tasks in the same way, as with one tokenizer.",
        )
    (mean, std), (own_mean, own_std) = (
        [torch.tensor(values).view(-1, 1, 1) for values in scale] for scale in scales
    )

    def prepared(batch: Batch) -> Batch:
        picture = batch[PICTURE]
        factor, shift = (own_std / std).to(picture), ((own_mean - mean) / std).to(picture)
        return batch | {PICTURE: picture * factor + shift}

    return prepared


def _labels(task: Task) -> list[str]:
    """Return the names of the classes as far as they are known before an example is read."""
    return [*map(str, getattr(task, "labels", ()))]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown


def _shapes(ports: Sequence[Port]) -> str:
    return " and ".join(f"{p.name} {'x'.join(map(str, p.shape[1:]))}" for p in ports)
