"""Parts of a teacher that a new student takes over before it learns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edgekd.core.errors import Problem, StageError
from edgekd.core.protocols.stage import Preview, Run
from edgekd.core.refs import Ref, UseModel
from edgekd.models.folder import DESCRIPTION, load_model
from edgekd.train.across import task_of_teacher, told_apart
from edgekd.train.check import outline
from edgekd.train.needs import unbuilt

ADOPT = "adopt"
"""What a model registers that takes parts of a teacher over."""


@dataclass(frozen=True)
class Whom:
    """Whose parts are taken."""

    ref: Ref
    learns: bool
    """Whether it learns while it teaches."""


def check_adopting(use: UseModel, whom: Whom | None, preview: Preview) -> Iterator[Problem]:
    """Yield why a model cannot take parts of its teacher over; it can be built itself."""
    adopt = use.plugin.traits.get(ADOPT)
    if adopt is None:
        return
    if whom is None:
        message = f"{use.kind} takes parts of a teacher over, and there is none."
        yield Problem("model", message, "Make it by a distill stage with a teacher.")
    elif (makes := preview.makes(whom.ref)) not in ("model", None):
        message = f"{use.kind} takes parts of its teacher over, and {whom.ref} gives {makes}."
        yield Problem("teacher", message, "Name the stage of the model itself.")
    elif apart := told_apart(task_of_teacher(whom.ref, preview), preview.task):
        message = f"{use.kind} takes parts of its teacher over, and {whom.ref} {apart}."
        yield Problem("model", message, "Take a model that learns all its parts itself.")
    elif whom.learns:
        message = f"{use.kind} takes parts of its teacher over, which would go on learning."
        yield Problem("teacher", message, "Take a loss that leaves the teacher as it is.")
    elif (teacher := unbuilt(whom.ref, preview)) is not None:
        try:
            adopt(use.options, outline(use, preview.task), teacher)
        except StageError as error:
            yield Problem("model", error.message, error.next_step)


def adopted(use: UseModel, module: nn.Module, whom: Whom | None, run: Run) -> None:
    """Have a new model take over what it does; StageError where that does not fit."""
    adopt = use.plugin.traits.get(ADOPT)
    if adopt is not None and whom is not None:
        adopt(use.options, module, load_model(_folder(whom.ref, run)).module)


def _folder(ref: Ref, run: Run) -> Path:
    """Return the folder of the teacher itself, also where what it said stands between."""
    folder = run.input(ref)
    return folder if (folder / DESCRIPTION).is_file() else run.ancestors[ref.stage].folder
