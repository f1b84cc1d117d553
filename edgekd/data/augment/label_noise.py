"""Give some examples a wrong label, always the same one: to try what a method makes of that.

It changes what is trained on alone: validation, test and examples held out keep their labels, and
so does a term that is fitted. A teacher that learns from `share: 1.0` of some classes under each
other's names (`flip: next`) is one that is sure and wrong there.
"""

from collections.abc import Iterator
from typing import Literal

import torch

from edgekd.core.config import Config, Count, Share
from edgekd.core.errors import Problem
from edgekd.core.kinds import augment
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Batch
from edgekd.ops.draws import Draws


class LabelNoiseOptions(Config):
    """Which labels are wrong, and how."""

    share: Share = 0.4
    """Of the examples, each by its own chance."""
    classes: tuple[Count, ...] = ()
    """Numbers of the classes whose labels may be wrong; all where none are named. A wrong label is
    one of these too."""
    flip: Literal["any", "next"] = "any"
    """Any other of them (symmetric noise), or the next in their order, after the last the first
    (pair noise)."""
    seed: Count = 0
    """Of which examples, and of their labels; the seed of the run moves neither."""


def check(config: LabelNoiseOptions, task: Task) -> Iterator[Problem]:
    """Yield that there are no such classes."""
    ports = {port.name: port for port in task.signature().outputs}
    if "labels" not in getattr(task, "columns", ("labels",)) or "logits" not in ports:
        yield Problem("", "label_noise changes classes; this task has none.", "Leave it out.")
        return
    there = int(ports["logits"].shape[-1])
    if config.classes and max(config.classes) >= there:
        message = f"there is no class {max(config.classes)}; the classes are 0 to {there - 1}."
        yield Problem("classes", message, "Name classes by their numbers.")
    if len({*config.classes}) == 1 or there == 1:
        yield Problem("classes", "one class alone has no wrong label.", "Name two or more.")


@augment(config=LabelNoiseOptions, check=check, each=True)
class LabelNoise:
    """Wrong labels that belong to their examples."""

    def __init__(self, config: LabelNoiseOptions):
        self.config = config
        self.classes = torch.tensor(sorted({*config.classes}))

    def prepare(self, setting: Setting) -> None:
        """Take all classes where none were named."""
        if not self.config.classes:
            self.classes = torch.arange(len(setting.classes))

    def __call__(self, batch: Batch, draws: Draws) -> Batch:  # noqa: ARG002
        """Return the batch with its `labels` [n], some of which are wrong."""
        labels, classes = batch["labels"], self.classes.to(batch["labels"].device)
        own = Draws(self.config.seed, 0, batch["ids"])  # the same in every epoch
        chosen = (own.uniform() < self.config.share) & torch.isin(labels, classes)
        place = torch.searchsorted(classes, labels).clamp(max=len(classes) - 1)
        others = len(classes) - 1
        ahead = own.integers(others) if self.config.flip == "any" else torch.zeros_like(place)
        wrong = classes[(place + 1 + ahead) % len(classes)]
        return batch | {"labels": torch.where(chosen, wrong, labels)}
