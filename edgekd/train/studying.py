"""What a step of a training shows the parts that learn by something else than its loss."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.seeds import sub_seed
from edgekd.core.signature import Signature
from edgekd.ops.draws import Draws
from edgekd.ops.named import call_by_name
from edgekd.train.chance import no_chance_drawn
from edgekd.train.course import Course
from edgekd.train.frozen import at_rest
from edgekd.train.guard import STEPS_BETWEEN_LOOKS
from edgekd.train.learners import Learner
from edgekd.train.teaching import Answers, in_float32


def study(course: Course, plain: Batch, batch: Batch, rate: float) -> None:
    """Let parts learn that do so on their own, from a step that is over.

    What they draw is of a seed of the step, and leaves no trace in the training.
    """
    for learner in course.learners:
        with no_chance_drawn(course.device), at_rest(course.lesson.learners):
            shown = Shown(course, learner, plain, batch, rate)
            torch.manual_seed(shown.seed)
            learner.part.after_step(shown)


class Shown:
    """A `core.study.Study`."""

    def __init__(self, course: Course, learner: Learner, plain: Batch, batch: Batch, rate: float):
        self._course, self._learner, self._given = course, learner, (plain, batch)
        self.step, self.rate = course.step + 1, rate
        self.seed = sub_seed(course.lesson.run.seed, "study", learner.name, self.step)

    @cached_property
    def plain(self) -> Batch:
        """The examples before any augmentation."""
        return self._course.whole(self._given[0])

    @cached_property
    def batch(self) -> Batch:
        """The examples as the student saw them."""
        return self._course.whole(self._given[1])

    @cached_property
    def draws(self) -> Draws:
        """Chance of these examples in this step."""
        return Draws(self.seed, self._course.view, self.plain["ids"])

    @cached_property
    def parameters(self) -> Mapping[str, Tensor]:
        """What learns of the student, by name."""
        every = self._course.lesson.student.named_parameters()
        return {name: own.detach() for name, own in every if own.requires_grad}

    def student(
        self, batch: Batch, parameters: Mapping[str, Tensor] | None = None
    ) -> Mapping[str, Tensor]:
        """Return the student's outputs, with other parameters where given."""
        lesson = self._course.lesson
        named = _ByName(lesson.student, lesson.run.task.signature())
        own = {f"module.{n}": p for n, p in {**self.parameters, **(parameters or {})}.items()}
        found: dict[str, Tensor] = functional_call(named, own, (batch,))
        return in_float32(found)

    def teacher(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the teacher's outputs; what is kept of them has no gradient."""
        teacher = self._learner.teacher
        assert teacher is not None, f"{self._learner.name} has no teacher"
        if isinstance(teacher, Answers):
            return teacher.answers(batch)
        return teacher(batch, self._course.view).outputs

    def held_out(self) -> Batch:
        """Return labelled training examples that nothing else learns from."""
        return self._course.held_out()

    def learn(self, loss: Tensor) -> None:
        """Move the learner's parameters; every process ends with the same."""
        name, optimizer, processes = self._learner.name, self._learner.optimizer, self._course.group
        looks = loss.device.type == "cpu" or self.step % STEPS_BETWEEN_LOOKS == 0
        if looks and not loss.isfinite():
            raise StageError(
                f"what {name} learns by is {loss.item():.4g} after step {self.step}.",
                f"Lower the learning rate of {name}, or train.learning_rate.",
            )
        own = [p for given in optimizer.param_groups for p in given["params"]]
        for parameter, slope in zip(own, torch.autograd.grad(loss, own), strict=True):
            parameter.grad = processes.total(slope) / processes.size
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def note(self, **numbers: Tensor) -> None:
        """Have numbers stand in the history."""
        for name, value in numbers.items():
            self._course.note(f"{self._learner.name}.{name}", value)


class _ByName(nn.Module):
    """A module called by names, so that its parameters can be replaced for a call."""

    def __init__(self, module: nn.Module, signature: Signature):
        super().__init__()
        self.module, self.signature = module, signature

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return call_by_name(self.module, self.signature, batch)
