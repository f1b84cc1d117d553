"""The warm process that resolves pipelines and runs torch stages, one after another.

It reads one JSON request per line and answers with JSON lines: progress, then one `done`,
`refused` (the user can mend it) or `crashed`. What libraries print goes to the run's log.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import IO, Any

from edgekd.core import kinds
from edgekd.core.artifact import Manifest
from edgekd.core.checkpoint import Checkpoint
from edgekd.core.errors import EdgekdError, RequestError, RunInterruptedError, StageError
from edgekd.core.member import Member
from edgekd.core.protocols import Ancestor, Facts, Origin, Task
from edgekd.core.quantity import Quantity
from edgekd.core.refs import Ref, UseTask, as_read
from edgekd.core.registry import load_user_module
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.graph import read_instead
from edgekd.pipeline.machine import this_machine
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request
from edgekd.pipeline.room import check_room

SECONDS_BETWEEN_PROGRESS = 0.1
PR_SET_PDEATHSIG = 1
INTERRUPTED = RunInterruptedError.exit_code


@dataclass
class Stopping:
    """The wish that the run shall end: SIGINT or SIGTERM, from the parent or from the system."""

    parent: int
    signals: set[int] = field(default_factory=set)
    """Those that came; a service manager may send one to every process, so two can be one wish."""
    patient: bool = False
    """Whether a stage runs that asks by itself and ends after its step; all else is interrupted."""

    @property
    def asked(self) -> bool:
        """Whether the run shall end."""
        return bool(self.signals)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Note the wish; leave at once where it is repeated or where the parent is gone."""
        if number in self.signals or os.getppid() != self.parent:
            raise SystemExit(INTERRUPTED)
        first, self.signals = not self.signals, self.signals | {number}
        if first and not self.patient:
            raise KeyboardInterrupt


@dataclass
class StageRun:
    """What a stage may use: see `core.protocols.Run`."""

    name: str
    out: Path
    seed: int
    device: str
    use_task: UseTask
    inputs: Mapping[str, Path]
    instead: Mapping[str, Mapping[str, str]]
    ancestors: Mapping[str, Ancestor]
    origin: Origin
    targets: Mapping[str, Mapping[str, Any]]
    unfinished: Path
    checkpoint: Checkpoint
    stopping: Stopping
    channel: IO[str]
    data: Mapping[str, str]
    """Digests of the data as it was when the stage was planned."""
    _tasks: dict[str, tuple[Mapping[str, str], Task]]
    notices: list[str] = field(default_factory=list)
    """What the user was told."""
    _last: float = field(default=0.0, init=False)

    @cached_property
    def task(self) -> Task:
        """The task, with its data read and audited once per worker as long as it stays the same."""
        key = self.use_task.model_dump_json()
        data, task = self._tasks.get(key, ({}, None))
        if task is None or not data.items() >= self.data.items():
            built: Task = self.use_task.build()
            for message in getattr(built, "audit", list)():
                self.notice(message)
            data, task = self._tasks[key] = self.data, built
        return task

    def input(self, ref: Ref) -> Path:
        """Return the folder of another stage's result, or of what stands between."""
        return self.inputs[read_instead(ref, self.instead)]

    def stop_asked(self) -> bool:
        """Tell whether the user or the system asked the run to end."""
        return self.stopping.asked

    def notice(self, message: str) -> None:
        """Tell the user something that is likely a mistake but lets the stage go on."""
        self.notices.append(message)
        _say(self.channel, {"answer": "notice", "message": message})

    def progress(self, done: int, total: int, what: str, **numbers: float) -> None:
        """Say how far the stage is, at most ten times a second."""
        now = time.monotonic()
        if done >= total or now - self._last >= SECONDS_BETWEEN_PROGRESS:
            self._last = now
            numbers = {name: float(value) for name, value in numbers.items()}
            message = {"done": done, "total": total, "what": what, "numbers": numbers}
            _say(self.channel, {"answer": "progress"} | message)


def main() -> None:
    """Serve requests until there are no more, or until a signal comes between two of them."""
    try:
        _serve()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _serve() -> None:
    stopping = Stopping(os.getppid())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopping)
    _end_with_parent()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anything prints from here on goes to the log, not between the answers
    tasks: dict[str, tuple[Mapping[str, str], Task]] = {}
    loaded: set[tuple[str, str]] = set()
    for line in sys.stdin:
        request = json.loads(line)
        stopping.patient = False
        try:
            with named_trouble():
                answer = _answer(request, channel, tasks, loaded, stopping)
            _say(channel, {"answer": "done"} | answer)
        except KeyboardInterrupt:
            _say(channel, {"answer": "refused"} | _described(RunInterruptedError("")))
        except EdgekdError as error:
            _say(channel, {"answer": "refused"} | _described(error))
        except Exception as error:  # any fault of a plug-in ends its stage, not the worker
            with suppress(OSError):  # the disk of the log may be full
                traceback.print_exc()
            _say(channel, {"answer": "crashed", "message": f"{type(error).__name__}: {error}"})


def _end_with_parent() -> None:
    """Have the system end this process with the one that started it, however that one ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def plain(facts: Facts) -> dict[str, Any]:
    """Return a stage's facts as JSON values."""
    return {k: v.as_dict() if isinstance(v, Quantity) else v for k, v in facts.items()}


def _answer(
    request: dict[str, Any],
    channel: IO[str],
    tasks: dict[str, tuple[Mapping[str, str], Task]],
    loaded: set[tuple[str, str]],
    stopping: Stopping,
) -> dict[str, Any]:
    """Return what was asked for; `loaded` holds the plug-in modules that are imported."""
    if request["do"] == "resolve":
        resolved = resolve(Request(**request["request"]))
        beside = str(Path(resolved.request.file).parent)
        loaded |= {(reference, beside) for reference in resolved.plugins}
        return {"resolved": resolved.as_dict()}
    for reference in request["plugins"]:
        if (reference, request["beside"]) not in loaded:
            load_user_module(reference, Path(request["beside"]))
            loaded.add((reference, request["beside"]))
    run = StageRun(
        name=request["name"],
        out=Path(request["out"]),
        seed=request["seed"],
        device=request["device"],
        use_task=UseTask.model_validate(as_read(request["task"])),
        inputs={name: Path(folder) for name, folder in request["inputs"].items()},
        instead=request["instead"],
        ancestors={
            name: Ancestor(Path(folder), Manifest.read(Path(folder)))
            for name, folder in request["ancestors"].items()
        },
        origin=_origin(request["origin"]),
        targets=as_read(request["targets"]),
        unfinished=Path(request["unfinished"]),
        checkpoint=Checkpoint.model_validate(request["checkpoint"]),
        stopping=stopping,
        channel=channel,
        data=request["data"],
        _tasks=tasks,
    )
    from edgekd.train.device import free_bytes, use_threads
    from edgekd.train.memory import enough_memory

    use_threads(request["threads"])
    notice = check_room(request["needs"], run.out, free_bytes(run.device))
    if notice:
        run.notice(notice)
    plugin = kinds.stage.get(request["kind"])
    started, started_cpu = time.monotonic(), _cpu_seconds()
    options = plugin.config.model_validate(as_read(request["options"]))
    stopping.patient = plugin.traits.get("stops", False)
    with enough_memory(run.name, _lower(request["needs"])):
        facts: Facts = plugin.build(options)(run)
    stopping.patient = False
    return {
        "facts": plain(facts) | ({"notices": run.notices} if run.notices else {}),
        "seconds": time.monotonic() - started,
        "cpu_seconds": _cpu_seconds() - started_cpu,
        "host": this_machine(),
    }


def _origin(data: Mapping[str, Any]) -> Origin:
    members = {name: Member(**member) for name, member in data["members"].items()}
    return Origin(**{**data, "members": members})


def _lower(needs: Mapping[str, Any] | None) -> str:
    """Return what to do about a stage that ran out of memory."""
    options = " or ".join((needs or {}).get("lower", ()))
    return f"Lower {options}." if options else "End other programs, or take a smaller model."


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it started and saw end."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _described(error: EdgekdError) -> dict[str, Any]:
    if isinstance(error, RequestError):
        return {"error": "RequestError", "problems": [asdict(p) for p in error.problems]}
    if isinstance(error, StageError):
        return {"error": "StageError", "message": error.message, "next_step": error.next_step}
    return {"error": type(error).__name__, "message": str(error)}


def _say(channel: IO[str], message: dict[str, Any]) -> None:
    channel.write(json.dumps(message, allow_nan=False) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
