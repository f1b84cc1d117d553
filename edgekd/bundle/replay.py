"""Doing a bundle's run again, here: what is other, what comes of it, and whether that agrees.

Nothing of a bundle is code but what its pipeline lists under `plugins:`, and that runs only with
the user's word. Targets that are not this machine are taken from the user's own target files: a
bundle does not say whom to connect to.

Paths: the run's options hold paths of the machine that it ran on. Each is looked for where it was,
a relative one in the folder of the original pipeline file, and `moved` says where it is by now.
Data that is absent ends the replay by its name. Data that is altered is told, and lifts the promise
of every stage that reads it, and of all that rests on one.

Without a store of the user's, everything runs anew in a folder that goes with the replay. A store
that is given keeps results, so that a long replay can be ended and goes on; what was kept there
says so in its row.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgekd.bundle.compare import compare, read_measurements, sentence
from edgekd.bundle.document import Bundle
from edgekd.bundle.environment import Environment, compare_environments
from edgekd.bundle.measured import Row
from edgekd.bundle.unpack import Archive
from edgekd.bundle.workplace import lay_out
from edgekd.core.trouble import named_trouble
from edgekd.pipeline.events import Event, Listener, RunDone
from edgekd.pipeline.outcome import RunResult
from edgekd.pipeline.run import Settings, plan_pipeline, run_pipeline


@dataclass(frozen=True)
class Places:
    """Where a replay keeps things; what is not given is removed with it."""

    store: Path | None = None
    runs: Path | None = None


@dataclass(frozen=True)
class Replay:
    """What a replay came to."""

    bundle: Bundle
    environment: Environment
    result: RunResult
    rows: Sequence[Row]
    sentence: str

    @property
    def exit_code(self) -> int:
        """0 where all is as promised, else 1."""
        return int(any(row.broken for row in self.rows))


def replay(
    file: Path,
    *,
    places: Places,
    moved: Mapping[str, str],
    trust_plugins: bool,
    listener: Listener,
    tell: Callable[[Bundle, Environment], None],
) -> Replay:
    """Run a bundle again and return how it compares; `tell` hears what is other before it runs.

    RequestError where the bundle is not sound or cannot be run here, StageError where a stage
    fails.
    """
    with named_trouble(), _folder() as folder:
        unpacked = folder / "bundle"
        unpacked.mkdir()
        with Archive(file) as archive:
            bundle = archive.unpack(unpacked)
        measured = read_measurements(bundle, unpacked, str(file))
        request = lay_out(bundle, unpacked, folder / "work", moved, trust_plugins=trust_plugins)
        settings = Settings(places.store or folder / "store", places.runs or folder / "runs")
        until = bundle.request.until
        plan = plan_pipeline(request, settings, until)
        environment = compare_environments(bundle, plan)
        tell(bundle, environment)
        hear = listener if places.runs else _without_paths(listener)
        result = run_pipeline(request, settings, hear, until)
        rows = list(compare(bundle, measured, environment, result))
    return Replay(bundle, environment, result, rows, sentence(rows, environment))


def _without_paths(listener: Listener) -> Listener:
    """Return a listener that names no report and no artifact: they are gone with the replay."""

    def hear(event: Event) -> None:
        if isinstance(event, RunDone):
            event = replace(event, report=None, artifacts=())
        listener(event)

    return hear


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edgekd-replay-") as name:
        yield Path(name).resolve()
