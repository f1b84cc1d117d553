"""A run for a stage or a training that is tried alone, without a pipeline around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.core.checkpoint import Checkpoint
from edgekd.core.protocols.stage import Ancestor, Origin
from edgekd.core.protocols.task import Task
from edgekd.core.refs import Ref


@dataclass
class ExampleRun:
    """A `core.protocols.stage.Run` in a folder of its own; what it is told is kept in lists."""

    folder: Path
    task: Task
    name: str = "example"
    seed: int = 0
    device: str = "cpu"
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    stops: Callable[[], bool] = lambda: False
    """Tells whether the run is asked to end."""
    ancestors: Mapping[str, Ancestor] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    told: list[tuple[int, int, str]] = field(default_factory=list)
    """Every `progress`: done, total, what."""
    numbers: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    """Every `progress` that had numbers: done, numbers."""
    epochs: list[Mapping[str, Any]] = field(default_factory=list)
    """Every `epoch`."""

    @property
    def origin(self) -> Origin:
        """A request that says nothing."""
        return Origin(self.name, f"{self.name}.yaml", "", (), "")

    @property
    def out(self) -> Path:
        """The folder to fill, made on first use."""
        return _made(self.folder / self.name)

    @property
    def unfinished(self) -> Path:
        """The folder that outlives an interruption, made on first use."""
        return _made(self.folder / f"{self.name}.unfinished")

    def stop_asked(self) -> bool:
        """Tell whether the run is asked to end."""
        return self.stops()

    def notice(self, message: str) -> None:
        """Keep a notice."""
        self.notices.append(message)

    def input(self, ref: Ref) -> Path:
        """Return the folder beside this run's that has the name of the other stage."""
        return self.folder / ref.stage

    def progress(self, done: int, total: int, what: str, **numbers: float) -> None:
        """Keep how far the stage is."""
        self.told.append((done, total, what))
        if numbers:
            self.numbers.append((done, numbers))

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Keep what an epoch came to."""
        self.epochs.append(entry)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
