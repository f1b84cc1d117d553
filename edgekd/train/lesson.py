"""A lesson: what a training is given, before its first step."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from edgekd.core.protocols.stage import Run
from edgekd.train.gradual import Gradual
from edgekd.train.guard import LOSS
from edgekd.train.held_out import set_aside
from edgekd.train.optim import Train
from edgekd.train.peer import Peer
from edgekd.train.pretraining import pretrains
from edgekd.train.teaching import Teaching
from edgekd.train.terms import Terms
from edgekd.train.views import Views


@dataclass(frozen=True)
class Lesson:
    """Who learns what, from what, and how."""

    run: Run
    student: nn.Module
    teachers: Mapping[str, Teaching]
    """Who teaches, by the names that the terms ask for; nobody where labels alone do."""
    terms: Terms
    options: Train
    views: Views
    """How the examples are changed before anybody looks at them."""
    sparse: Sequence[str] = ()
    """Parameters of the student whose zeros stay zeros."""
    prune: Gradual | None = None
    """What of the student goes meanwhile."""

    @property
    def peers(self) -> Mapping[str, Peer]:
        """The teachers that learn, too."""
        return {name: peer for name, peer in self.teachers.items() if isinstance(peer, Peer)}

    @property
    def learners(self) -> Collection[nn.Module]:
        """All networks that learn: the student first."""
        return [self.student, *self.peers.values()]

    @property
    def held_out(self) -> int:
        """The number of training examples that are set aside."""
        uses = (*self.terms.uses, *self.options.augment)
        return set_aside(uses, self.options, self.run.task.size("train"))

    @property
    def examples(self) -> int:
        """The number of training examples in one pass: those that are not held out."""
        return self.run.task.size("train") - self.held_out

    @property
    def pretrains(self) -> bool:
        """Whether what the student answers is not taught here, and so not scored."""
        return pretrains(self.terms.uses)

    @property
    def monitor(self) -> str:
        """What epochs are compared by, on the validation split."""
        return LOSS if self.pretrains else self.run.task.quality[0]

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in one pass."""
        return -(-self.examples // self.options.batch_size)

    @property
    def steps(self) -> int:
        """The number of batches in all passes."""
        return self.options.epochs * self.steps_per_epoch
