"""A stage's run, as a process that works on it sees it."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from edgekd.core import kinds
from edgekd.core.artifact import Manifest
from edgekd.core.checkpoint import Checkpoint
from edgekd.core.member import Member
from edgekd.core.protocols.stage import Ancestor, Origin, Run
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Facts
from edgekd.core.refs import Ref, UseTask, as_read
from edgekd.core.registry import load_user_module
from edgekd.pipeline.graph import read_instead

SECONDS_BETWEEN_PROGRESS = 0.1

Say = Callable[[Mapping[str, Any]], None]
"""Tells the parent something."""


class Wish(Protocol):
    """Knows whether the run shall end."""

    @property
    def asked(self) -> bool:
        """Whether the user or the system asked for it."""


@dataclass
class Workroom:
    """What a process keeps from one stage to the next."""

    tasks: dict[str, tuple[Mapping[str, str], Task]] = field(default_factory=dict)
    """With the digests of their data."""
    plugins: set[tuple[str, str]] = field(default_factory=set)
    """Modules that are imported, with the folder that they were named in."""

    def load(self, request: Mapping[str, Any]) -> None:
        """Import the user's modules that a request names, once."""
        for reference in request["plugins"]:
            if (reference, request["beside"]) not in self.plugins:
                load_user_module(reference, Path(request["beside"]))
                self.plugins.add((reference, request["beside"]))


@dataclass
class StageRun:
    """What a stage may use: see `core.protocols.stage.Run`."""

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
    data: Mapping[str, str]
    """Digests of the data as it was when the stage was planned."""
    wish: Wish
    say: Say
    room: Workroom
    notices: list[str] = field(default_factory=list)
    """What the user was told."""
    _last: float = field(default=0.0, init=False)

    @cached_property
    def task(self) -> Task:
        """The task; its data is read and audited once per process while it stays the same."""
        key = self.use_task.model_dump_json()
        data, task = self.room.tasks.get(key, ({}, None))
        if task is None or not data.items() >= self.data.items():
            built: Task = self.use_task.build()
            for message in getattr(built, "audit", list)():
                self.notice(message)
            data, task = self.room.tasks[key] = self.data, built
        return task

    def input(self, ref: Ref) -> Path:
        """Return the folder of another stage's result, or of what stands between."""
        return self.inputs[read_instead(ref, self.instead)]

    def stop_asked(self) -> bool:
        """Tell whether the user or the system asked the run to end."""
        return self.wish.asked

    def notice(self, message: str) -> None:
        """Tell the user something that is likely a mistake but lets the stage go on."""
        self.notices.append(message)
        self.say({"answer": "notice", "message": message})

    def progress(self, done: int, total: int, what: str, **numbers: float) -> None:
        """Say how far the stage is, at most ten times a second."""
        now = time.monotonic()
        if done >= total or now - self._last >= SECONDS_BETWEEN_PROGRESS:
            self._last = now
            numbers = {name: float(value) for name, value in numbers.items()}
            message = {"done": done, "total": total, "what": what, "numbers": numbers}
            self.say({"answer": "progress"} | message)

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Tell what an epoch came to: every one of them, without what JSON has no number for."""
        entry = json.loads(json.dumps(entry), parse_constant=lambda _: None)
        self.say({"answer": "epoch", "entry": entry})


def stage_run(
    request: Mapping[str, Any], out: Path, wish: Wish, say: Say, room: Workroom
) -> StageRun:
    """Return the run that a request asks for; what it makes goes to `out`."""
    return StageRun(
        name=request["name"],
        out=out,
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
        data=request["data"],
        wish=wish,
        say=say,
        room=room,
    )


def do_stage(request: Mapping[str, Any], run: StageRun) -> Facts:
    """Return what the stage of a request found out; StageError where memory runs out."""
    from edgekd.train.memory import enough_memory
    from edgekd.train.rehearsed import rehearsed

    plugin = kinds.stage.get(request["kind"])
    options = plugin.config.model_validate(as_read(request["options"]))
    with enough_memory(run.name, _lower(request["needs"])):
        if request["rehearse"]:
            return rehearsed(plugin, options, cast(Run, run), request["rehearse"])
        facts: Facts = plugin.build(options)(run)
    return facts


def _origin(data: Mapping[str, Any]) -> Origin:
    members = {name: Member(**member) for name, member in data["members"].items()}
    return Origin(**{**data, "members": members})


def _lower(needs: Mapping[str, Any] | None) -> str:
    """Return what to do about a stage that ran out of memory."""
    options = " or ".join((needs or {}).get("lower", ()))
    return f"Lower {options}." if options else "End other programs, or take a smaller model."
