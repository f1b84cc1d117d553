"""Independent stages at the same time, each in a worker process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from edgekd.core.errors import RunInterruptedError
from edgekd.pipeline.events import RunStopping
from edgekd.pipeline.execution import Execution
from edgekd.pipeline.resolved import ResolvedStage
from edgekd.pipeline.workshop import Workshop

SECONDS_TO_END = 5


@dataclass
class _Job:
    """A stage at work."""

    stage: ResolvedStage
    workshop: Workshop
    thread: Thread
    over: bool = False
    error: BaseException | None = None
    """Why it came to no result."""


@dataclass
class Together:
    """An execution with several workers; measuring is never done beside anything else."""

    execution: Execution
    workshops: list[Workshop]
    here: Workshop | None = None
    """Where the others are on a cluster: the one of this machine, for what must stay on it."""
    waiting: dict[str, ResolvedStage] = field(init=False)
    busy: dict[str, _Job] = field(default_factory=dict)
    ended: "SimpleQueue[str]" = field(default_factory=SimpleQueue)
    """Wakes the parent; what came of a job stands in the job, so that no signal can lose it."""
    fatal: BaseException | None = None
    """What ends the run once all jobs have ended."""

    def __post_init__(self) -> None:
        self.waiting = {step.stage.name: step.stage for step in self.execution.plan.steps}

    def all(self) -> None:
        """Make or take every stage's result, as soon as what it reads is there."""
        with self._none_left_behind():
            while self.busy or (self.waiting and self.fatal is None):
                try:
                    self._start()
                    self._give_back()
                    self.ended.get()
                    self._collect()
                except (KeyboardInterrupt, RunInterruptedError) as error:
                    if self.fatal is not None:
                        raise
                    jobs = self.busy.values()
                    self.execution.tell(RunStopping(any(job.stage.stops for job in jobs)))
                    self._end_all(error)
        if self.fatal is not None:
            raise self.fatal

    def _start(self) -> None:
        """Give every free worker a stage whose inputs are there."""
        for name, stage in [*self.waiting.items()] if self.fatal is None else ():
            if any(job.stage.measures for job in self.busy.values()):
                return
            workshop = self._free(stage) if self._is_ready(stage) else None
            if workshop is not None:
                workshop.start()  # here: the system ends a worker with the thread that started it
                job = _Job(stage, workshop, Thread(target=self._work, args=(name,), daemon=True))
                self.busy[name] = job
                del self.waiting[name]
                job.thread.start()

    def _free(self, stage: ResolvedStage) -> Workshop | None:
        """Return a worker that may take a stage now."""
        alone = stage.measures
        if len(self.busy) >= (1 if alone else len(self.workshops)):
            return None
        able = [self.here] if self.here and stays_here(stage) else self.workshops
        return next((one for one in able if one not in self._taken()), None)

    def _taken(self) -> list[Workshop]:
        return [job.workshop for job in self.busy.values()]

    def _give_back(self) -> None:
        """Leave the cluster to others, and to workers that wait for room, where nothing is to do.

        An idle one that kept its node could keep a waiting one from starting for ever.
        """
        for workshop in self.workshops if self.here else ():
            if workshop not in self._taken():
                workshop.close()

    def _is_ready(self, stage: ResolvedStage) -> bool:
        return not any(name in self.waiting or name in self.busy for name in stage.inputs)

    def _work(self, name: str) -> None:
        """Make one stage's result, in a thread of its own."""
        job = self.busy[name]
        try:
            self.execution.settle(job.stage, job.workshop)
        except BaseException as error:
            job.error = error
        job.over = True
        self.ended.put(name)

    def _collect(self) -> None:
        """Take what has ended out of the way; the first error ends what is still at work."""
        for name, job in [*self.busy.items()]:
            if job.over:
                job.thread.join()
                del self.busy[name]
                if job.error is not None and self.fatal is None:
                    self._end_all(job.error)

    def _end_all(self, why: BaseException) -> None:
        """Ask all jobs to end; what they have written down is kept."""
        self.fatal = why
        if isinstance(why, KeyboardInterrupt | RunInterruptedError):
            self.fatal = RunInterruptedError(_interrupted([*self.busy]))
        for job in self.busy.values():
            job.workshop.stop()

    @contextmanager
    def _none_left_behind(self) -> Iterator[None]:
        try:
            yield
        finally:
            for job in self.busy.values():
                job.workshop.kill()
            for job in self.busy.values():
                job.thread.join(SECONDS_TO_END)


def stays_here(stage: ResolvedStage) -> bool:
    """Tell whether a stage is for the machine that the user is at: one that measures or reports."""
    return bool(stage.targets) or stage.measures or stage.makes == "report"


def _interrupted(stages: list[str]) -> str:
    where = f" in {', '.join(stages)}" if stages else ""
    return f"Interrupted{where}.\n  What was finished is kept: run the same command again to go on."
