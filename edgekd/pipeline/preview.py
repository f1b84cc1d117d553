"""What stages can say is wrong before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgekd.core.config import Config
from edgekd.core.errors import EdgekdError, Problem
from edgekd.core.needs import ALONE, Hands, Needs
from edgekd.core.protocols.task import Task
from edgekd.core.refs import (
    Ref,
    UseAugment,
    UseModel,
    UseRuntime,
    UseStage,
    UseTask,
    UseTransform,
    placed,
    refs_of,
)
from edgekd.pipeline.document import Document, spell, steps_of
from edgekd.pipeline.graph import IMPLIED_RUNTIME
from edgekd.pipeline.keeping import JUDGE


@dataclass(frozen=True)
class StagePreview:
    """What a stage's check may look at: see `core.protocols.stage.Preview`.

    A stage that could not be read itself is None to the others: its own problems are reported.
    """

    stages: Mapping[str, UseStage]
    run_task: Task
    targets: Mapping[str, Mapping[str, Any]]
    hands: Hands = ALONE
    own_tasks: Mapping[str, Task] = field(default_factory=dict)
    """Of stages that have one of their own, by what the file says of it, as JSON."""
    own: UseTask | None = None
    """Which of them is that of the stage that looks; None for the run's."""
    _told: dict[int, tuple[Config, Needs | None]] = field(default_factory=dict, repr=False)
    """What was estimated, by the options, which stages that differ in their seed alone share."""

    @property
    def task(self) -> Task:
        """The task of the stage that looks."""
        return self._task(self.own)

    def seen_by(self, use: UseStage) -> "StagePreview":
        """Return the same as a stage sees it, whose task may be its own."""
        return replace(self, own=use.task)

    def task_of(self, ref: Ref) -> Task:
        """Return the task of the stage that a reference leads to; the run's where none is known."""
        stage = self.stages.get(ref.stage)
        return self._task(stage.task if stage else None)

    def model(self, ref: Ref) -> UseModel | None:
        """Return the definition of the model that a stage will make, where it is known."""
        source = self._option(ref, "model")
        if isinstance(source, Ref):
            return self.model(source)
        return source if isinstance(source, UseModel) else None

    def options(self, ref: Ref) -> Config | None:
        """Return the options of the stage that a reference leads to, where they are known."""
        return self.stages[ref.stage].options if ref.stage in self.stages else None

    def runtime(self, ref: Ref) -> str | None:
        """Return the runtime of the program that a reference leads to, where it is known."""
        if ref.stage not in self.stages:
            return None
        use = self._option(ref, "runtime")
        if isinstance(use, UseRuntime):
            return use.kind
        return None if self.makes(ref) == "program" else IMPLIED_RUNTIME

    def makes(self, ref: Ref) -> str | None:
        """Return the kind of result that a reference leads to, where its stage is known."""
        stage = self.stages.get(ref.stage)
        return str(stage.plugin.traits["makes"]) if stage else None

    def kind(self, ref: Ref) -> str | None:
        """Return the kind of the stage that a reference leads to, where it is known."""
        ref = self._kept(ref)
        return self.stages[ref.stage].kind if ref.stage in self.stages else None

    def transform(self, ref: Ref) -> UseTransform | None:
        """Return the transform of the stage that a reference leads to, where it has one."""
        use = self._option(self._kept(ref), "transform")
        return use if isinstance(use, UseTransform) else None

    def needs(self, use: UseStage) -> Needs | None:
        """Return what a stage is estimated to need; None where it cannot tell."""
        if id(use.options) not in self._told:
            self._told[id(use.options)] = use.options, self._estimated(use)
        return self._told[id(use.options)][1]

    def _estimated(self, use: UseStage) -> Needs | None:
        estimate = use.plugin.traits.get("estimate")
        try:
            seen = self.seen_by(use)
            found: Needs | None = estimate(use.options, seen) if estimate else None
        except EdgekdError:
            raise
        except Exception:  # an estimate stops nothing; what is wrong is told where it matters
            return None
        return found

    def _kept(self, ref: Ref) -> Ref:
        """Return the stage whose result is kept where it pays: what it makes may be had."""
        while (stage := self.stages.get(ref.stage)) and stage.kind == JUDGE:
            ref = stage.options.model  # type: ignore[attr-defined]
        return ref

    def _task(self, own: UseTask | None) -> Task:
        return self.own_tasks.get(own.model_dump_json(), self.run_task) if own else self.run_task

    def _option(self, ref: Ref, name: str) -> object:
        stage = self.stages.get(ref.stage)
        return getattr(stage.options, name, None) if stage else None


def check_stages(preview: StagePreview, document: Document) -> Iterator[Problem]:
    """Yield every problem that a stage's own check finds, at its place in the file."""
    checked = set()
    for name, use in preview.stages.items():
        if id(use.options) in checked:  # as of an earlier stage, but for the seed
            continue
        checked.add(id(use.options))
        check, seen = use.plugin.traits.get("check"), preview.seen_by(use)
        own = check(use.options, seen) if check else ()
        others = _check_task(use, preview)
        for problem in (*own, *others, *_check_augments(use, seen.task)):
            at = ("stages", name, *steps_of(problem.path))
            yield document.problem(at, problem.message, problem.next_step)


def _check_task(use: UseStage, preview: StagePreview) -> Iterator[Problem]:
    """Yield why a stage has no task of its own, and what it reads that is of another task.

    A stage that may have one says `@stage(..., own_task=True)`; one to which a model of another may
    say something names the options that do, `hears=("teacher",)`.
    """
    traits = use.plugin.traits
    if use.task is not None and not traits.get("own_task"):
        able = [plugin.name for plugin in UseStage.registry if plugin.traits.get("own_task")]
        message = f"a stage of kind '{use.kind}' has the pipeline's task and none of its own."
        yield Problem("task", message, f"Remove it. Kinds that may have one: {', '.join(able)}.")
        return
    for path, ref in refs_of(use.options):
        other = preview.stages.get(ref.stage)
        hears = path[0] in traits.get("hears", ()) and preview.makes(ref) == "model"
        if other is not None and other.task != use.task and not hears:
            message = f"{ref} is of another task than this stage."
            step = (
                "Such a model can only be the teacher: of a distill stage. To compare with, take a "
                "stage of this task, as a student that learned from labels alone."
            )
            yield Problem(spell(path), message, step)


def _check_augments(use: UseStage, task: Task) -> Iterator[Problem]:
    """Yield what an augmentation can tell of the task before it meets a batch."""
    for path, augment in placed(use.options):
        if not isinstance(augment, UseAugment):
            continue
        for problem in _check_augment(augment, task):
            here = spell((*path, *steps_of(problem.path)))
            yield Problem(here, problem.message, problem.next_step)


def _check_augment(use: UseAugment, task: Task) -> Iterator[Problem]:
    changed, check = (use.plugin.traits.get(name) for name in ("changes", "check"))
    inputs = [port.name for port in task.signature().inputs]
    if changed and changed not in inputs:
        message = f"{use.kind} changes {changed}; this task's examples are {' and '.join(inputs)}."
        yield Problem("", message, "Leave it out.")
    elif check:
        yield from check(use.options, task)
