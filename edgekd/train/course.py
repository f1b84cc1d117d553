"""The course of a lesson: everything that a training's next step depends on."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core.protocols.values import Batch
from edgekd.core.seeds import sub_seed
from edgekd.parallel.group import group
from edgekd.train.chance import chance_of, no_chance_drawn, seed_process
from edgekd.train.held_out import HeldOut
from edgekd.train.labelled import Pool, known_labels, without_others
from edgekd.train.learners import learners_of, made_augments
from edgekd.train.lesson import Lesson
from edgekd.train.marks import marked
from edgekd.train.memory import is_memory
from edgekd.train.optim import make_optimizer, make_schedule
from edgekd.train.packing import pack, unpack
from edgekd.train.pruning import Pruning
from edgekd.train.remembering import Remembers, restore, state_of

FORMAT = 3


@dataclass
class Standing:
    """How far a training is, and what has come of it."""

    epoch: int = 1
    batch: int = 0
    """Batches of this epoch that are over."""
    taken: int = 0
    """Those of them that were learned from."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Of the loss and of each term, over this epoch, with digits for what varies little."""
    squares: dict[str, Tensor] = field(default_factory=dict)
    """The same of their squares."""
    noted: dict[str, Tensor] = field(default_factory=dict)
    """What parts that learn on their own noted of this epoch: the sum, and how often."""
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """The history."""
    selected: list[Tensor] = field(default_factory=list)
    """Which examples each epoch uses, up to this one: a mark on each, eight in a byte."""
    chosen: dict[str, Any] = field(default_factory=dict)
    """What the history will say of this epoch's."""
    best_score: float = -float("inf")
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)


class Course:
    """A lesson under way. What is not in its state cannot shape what comes."""

    def __init__(self, lesson: Lesson):
        self.lesson, options, seed = lesson, lesson.options, lesson.run.seed
        self.group = group()
        self.device = torch.device(lesson.run.device)
        self.augments = made_augments(options.augment, lesson.run)
        self.learners = learners_of(lesson, self.augments)
        others = [learner.optimizer for learner in self.learners]
        self.optimizer = make_optimizer(options, (*lesson.learners, lesson.terms), others)
        self.schedule = make_schedule(options, self.optimizer, lesson.steps)
        self.average = copy.deepcopy(lesson.student) if options.ema is not None else None
        self._sparse: list[Tensor] = [lesson.student.get_parameter(n) for n in lesson.sparse]
        self._zeros = [weight.detach() == 0 for weight in self._sparse]
        self.pruning = self._pruning()
        self.known = known_labels(lesson.run, options.labelled)
        self._held = HeldOut(lesson.run, lesson.held_out) if lesson.held_out else None
        self._pool = None if self.known is None else Pool(lesson.run, self.known, options)
        self.order = torch.Generator().manual_seed(sub_seed(seed, "order"))
        self.standing = Standing()
        self._order = self.order.get_state()
        seed_process(seed)

    @property
    def step(self) -> int:
        """The number of batches that are over."""
        return (self.standing.epoch - 1) * self.lesson.steps_per_epoch + self.standing.batch

    @property
    def count(self) -> int:
        """How many examples the next batch has, those of all processes together."""
        there, size = self.lesson.examples, self.lesson.options.batch_size
        return min(size, there - self.standing.batch * size)

    @property
    def divides(self) -> bool:
        """Whether each process has a part of the next batch; of a smaller one all have all."""
        return self.count >= self.group.size

    @property
    def view(self) -> int:
        """Which view of the examples this epoch shows."""
        return self.lesson.views.in_epoch(self.standing.epoch)

    @property
    def among(self) -> Tensor | None:
        """The ids of the examples that this epoch uses; None where it uses all."""
        size, selected = self.lesson.run.task.size("train"), self.standing.selected
        return marked(selected[-1], size).nonzero()[:, 0] if selected else None

    @property
    def judged(self) -> nn.Module:
        """The model that is scored and kept: the student, or the average of its weights."""
        return self.lesson.student if self.average is None else self.average

    @property
    def over(self) -> bool:
        """Whether all epochs are over, or enough of them without a better score."""
        options, now = self.lesson.options, self.standing
        waits = options.patience is None or (self.pruning is not None and not now.best_epoch)
        patient = waits or now.epoch - 1 - now.best_epoch < (options.patience or 0)
        return now.epoch > options.epochs or not patient

    def batches(self) -> Iterator[Batch]:
        """Yield what is left of this epoch's batches; the others are not read again."""
        size, task, over = self.lesson.options.batch_size, self.lesson.run.task, self.standing.batch
        self.order.set_state(self._order)
        with no_chance_drawn(self.device):  # that a pass begins once more must leave no trace
            given: dict[str, Any] = {"rng": self.order, "part": self.group.part, "start": over}
            if self._held is None:
                given |= {} if self.among is None else {"among": self.among}
                batches = task.batches("train", size, device=self.device, **given)
            else:
                batches = self._held.others(size, **given)
            first = [*islice(batches, 1)]
        yield from first
        yield from batches

    def with_labelled(self, batch: Batch) -> Batch:
        """Return a batch with its share of labelled examples, where only some have labels."""
        return batch if self._pool is None else self._pool.drawn_into(batch, self.step)

    def parts(self, batch: Batch) -> list[tuple[float, Batch]]:
        """Return the parts in which a process learns from its part of a batch.

        With each comes its weight, such that the mean over processes of the weighted sum of losses
        is the mean over all examples; the number of parts is the same everywhere. A batch of fewer
        examples has fewer parts, which are no larger: one of a single example is none to a norm.
        """
        processes, options = self.group.size, self.lesson.options
        of_all = self.count if self.divides else self.count * processes
        largest = -(-options.batch_size // (options.accumulate * processes))
        parts = min(options.accumulate, of_all // processes, -(-of_all // (largest * processes)))
        split = {name: torch.tensor_split(column, parts) for name, column in batch.items()}
        each = [{name: columns[n] for name, columns in split.items()} for n in range(parts)]
        return [(len(part["ids"]) * processes / of_all, part) for part in each]

    def draw_own_chance(self) -> None:
        """Give the generators of a process beside the first a state of their own for this step.

        What they draw is of their own examples, and no checkpoint needs to hold it.
        """
        if not self.group.first:
            seed = sub_seed(self.lesson.run.seed, f"process {self.group.rank}, step {self.step}")
            torch.manual_seed(seed)
            seed_process(seed)

    def prune(self) -> None:
        """Prune the student, and the average of its weights, where a step of that is due."""
        if self.pruning is None or not self.pruning.due(self.step):
            return
        with no_chance_drawn(self.device):
            self.pruning.go_on(self.step)
        if self.average is not None:
            self.pruning.set_zero(self.average)

    def hold(self) -> None:
        """Set back to zero what a step has moved of the zeros that stay."""
        with torch.no_grad():
            for weight, zeros in zip(self._sparse, self._zeros, strict=True):
                weight.masked_fill_(zeros, 0)
        if self.pruning is not None:
            self.pruning.hold()

    def follow(self) -> None:
        """Let the average of the weights follow the student by a step."""
        if self.average is None or self.lesson.options.ema is None:
            return
        with torch.no_grad():
            own: list[Tensor] = [*self.average.parameters()]
            new: list[Tensor] = [*self.lesson.student.parameters()]
            torch._foreach_lerp_(own, new, 1 - self.lesson.options.ema)
            for kept, now in zip(
                self.average.buffers(), self.lesson.student.buffers(), strict=True
            ):
                kept.copy_(now)

    def whole(self, batch: Batch) -> Batch:
        """Return the last part of a batch as all processes have it together; known labels alone."""
        part = without_others(self.parts(batch)[-1][1], self.known)
        return {n: self.group.gathered(c) for n, c in part.items()} if self.divides else part

    def held_out(self) -> Batch:
        """Return examples that are set aside, as many as a batch has, drawn for this step."""
        assert self._held is not None, "it is not registered with held_out=True"
        return self._held.drawn(self.lesson.options.batch_size, self.step)

    def note(self, name: str, value: Tensor) -> None:
        """Have the mean of a number stand in the history of this epoch."""
        noted, new = self.standing.noted, torch.stack((value.detach(), torch.ones_like(value)))
        noted[name] = noted[name].to(new) + new if name in noted else new

    def add(self, values: Mapping[str, Tensor], share: Tensor | float) -> None:
        """Count the loss and terms of a share of a batch; they stay on the device: nobody waits."""
        sums, squares = self.standing.sums, self.standing.squares
        for name, value in values.items():
            exact = value.detach().double()
            sums[name] = sums.get(name, 0) + exact * share
            squares[name] = squares.get(name, 0) + exact * exact * share

    def end_epoch(self, found: float) -> None:
        """Write the epoch into the history and turn to the next; keep the weights if best.

        `found` is what epochs are compared by: a score, or of a pre-training a loss.
        """
        now = self.standing
        means = {name: value.item() / now.taken for name, value in now.sums.items()}
        means |= {name: (total / times).item() for name, (total, times) in now.noted.items()}
        rate = float(self.schedule.get_last_lr()[0])
        entry: dict[str, Any] = {
            "epoch": now.epoch,
            "learning_rate": rate,
            "loss": means.pop("loss"),
        }
        entry |= {} if self.pruning is None else {"pruned": self.pruning.share}
        entry |= {"selected": now.chosen} if now.chosen else {}
        spreads = {name: self._spread(name) for name in means if name in now.squares}
        terms = {"terms": means, "spreads": spreads}
        now.epochs.append(entry | terms | {"validation": {self.lesson.monitor: found}})
        score = -found if self.lesson.pretrains else found
        whole = self.pruning is None or self.pruning.over
        if whole and (score > now.best_score or not now.best_epoch):
            now.best_score, now.best_epoch = score, now.epoch
            now.best_state = copy.deepcopy(self.judged.state_dict())
        now.epoch, now.batch, now.taken = now.epoch + 1, 0, 0
        now.sums, now.squares, now.noted = {}, {}, {}
        self._order = self.order.get_state()

    def _spread(self, name: str) -> float:
        """Return the standard deviation over this epoch's batches of a term's mean."""
        now = self.standing
        mean = now.sums[name].item() / now.taken
        return float(max(now.squares[name].item() / now.taken - mean * mean, 0.0) ** 0.5)

    def state(self) -> dict[str, Any]:
        """Return all of it; tensors are not copied, so it holds until the next step."""
        return {
            "format": FORMAT,
            "parts": {name: state_of(part) for name, part in self._parts().items()},
            "standing": dict(vars(self.standing)),
            "order": self._order,
            "process": chance_of(self.device),
            "computed": self._computed,
        }

    def other_than(self, state: Mapping[str, Any]) -> str:
        """Return what is to be said of a state that was computed in another way; or nothing."""
        before, now = state["computed"], self._computed
        if before == now:
            return ""
        return (
            f"goes on from what {_computers(before)} had trained, now with {_computers(now)}: the "
            "last digits of the result are not those of either alone."
        )

    @property
    def _computed(self) -> dict[str, int]:
        """What the last bits of a step depend on, and may differ from one run to the next."""
        return {"processes": self.group.size, "threads": torch.get_num_threads()}

    def takes(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state and tell whether it fits; where it does not, nothing is changed.

        Want of memory is no misfit: it is raised.
        The chance of the process is the caller's to restore, as the last thing before a step.
        """
        beginning = unpack(*pack(self.state()))
        try:
            self._restore(state)
        except Exception as error:  # a plug-in's own load_state_dict may raise anything
            if is_memory(error):
                raise
            self._restore(beginning)
            return False
        return True

    def _restore(self, state: Mapping[str, Any]) -> None:
        parts = self._parts()
        if state["format"] != FORMAT or parts.keys() != state["parts"].keys():
            raise ValueError("other parts are trained")
        for name, part in parts.items():
            restore(part, state["parts"][name])
        self.standing = Standing(**state["standing"])
        self._order = state["order"]

    def _pruning(self) -> Pruning | None:
        """Return what prunes the student meanwhile, where the lesson asks for it."""
        lesson = self.lesson
        if lesson.prune is None:
            return None
        with no_chance_drawn(self.device):
            return Pruning(lesson.prune, lesson.run, lesson.student, lesson.steps)

    def _parts(self) -> dict[str, Remembers]:
        """Return every part that keeps state, by name; plain functions keep none."""
        terms = {f"objective {name}": term for name, term in self.lesson.terms.built.items()}
        augments = {f"augment {index}": augment for index, augment in enumerate(self.augments)}
        own = {"student": self.lesson.student, "optimizer": self.optimizer, "rate": self.schedule}
        own |= {} if self.average is None else {"average": self.average}
        own |= {} if self.pruning is None else {"pruning": self.pruning}
        own |= {f"optimizer of {learner.name}": learner.optimizer for learner in self.learners}
        peers = {f"teacher {name}": peer for name, peer in self.lesson.peers.items()}
        every = own | terms | augments | peers
        return {name: part for name, part in every.items() if isinstance(part, Remembers)}


def _computers(computed: Mapping[str, int]) -> str:
    """Return `2 processes of 1 thread`, say."""
    words = [
        f"{n} {what}{'' if n == 1 else ending}"
        for n, what, ending in (
            (computed["processes"], "process", "es"),
            (computed["threads"], "thread", "s"),
        )
    ]
    return " of ".join(words)
