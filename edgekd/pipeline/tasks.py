"""The tasks of a pipeline: its own, and those that stages have instead, built where they stand."""

from collections.abc import Mapping

from edgekd.core.errors import Problem, RequestError
from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseSource, UseStage, UseTask
from edgekd.pipeline.document import Document, Steps
from edgekd.pipeline.spec import Reading


def without_same_task(reading: Reading) -> dict[str, UseStage]:
    """Return the stages; one that has the pipeline's task anew has none of its own."""
    return {
        name: use.model_copy(update={"task": None}) if use.task == reading.task else use
        for name, use in reading.stages.items()
    }


def own_tasks(
    stages: Mapping[str, UseStage], document: Document, problems: list[Problem]
) -> dict[str, Task]:
    """Return the tasks that stages have of their own, each once: see `StagePreview.own_tasks`."""
    found: dict[str, Task | None] = {}
    for name, use in stages.items():
        if use.task is not None and (written := use.task.model_dump_json()) not in found:
            at = ("stages", name, "task")
            found[written] = build_task(use.task, document, at, problems)
    return {written: task for written, task in found.items() if task is not None}


def build_task(
    use: UseTask | None, document: Document, at: Steps, problems: list[Problem]
) -> Task | None:
    """Return the task that stands at a place; missing or unusable data is added to the problems."""
    if use is None:
        return None
    data = ".".join(map(str, (*at, "data")))
    place = document.place((*at, "data"))
    try:
        task: Task = use.build()
        task.files()
        told = [*getattr(task, "check", tuple)()]
    except RequestError as error:
        problems += [
            Problem(_at_home(p.path, at) if p.path else data, p.message, p.next_step, place)
            for p in error.problems
        ]
    except (ValueError, OSError) as error:
        problems.append(Problem(data, f"{error}", "", place))
    else:
        for problem in told:
            path = _at_home(problem.path, at)
            place = document.place(tuple(path.split(".")))
            problems.append(Problem(path, problem.message, problem.next_step, place))
        return task
    return None


def _at_home(path: str, at: Steps) -> str:
    """Return where something of a task stands in the file: tasks speak of it as `task.data`."""
    return ".".join((*map(str, at), *path.split(".")[1:]))


def remarks_of_own(use: UseStage) -> list[str]:
    """Return what a plan says of a stage that has a task of its own."""
    if use.task is None:
        return []
    data = getattr(use.task.options, "data", None)
    of = f", {data.kind}" if isinstance(data, UseSource) else ""
    return [f"learns a task of its own: {use.task.kind}{of}"]
