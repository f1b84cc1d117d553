"""Measuring and scoring programs on a target: a job folder goes there, a document comes back."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core import kinds
from edgekd.core.errors import StageError
from edgekd.core.results import Restart
from edgekd.core.shipped import shipped
from edgekd.core.signature import Signature
from edgekd.devices.settings import Settings
from edgekd.devices.target import Target

SCORING_BATCH = 64


@dataclass(frozen=True)
class Job:
    """A program to run on a target."""

    name: str
    file: Path
    """The program; its external data lies beside it."""
    runtime: str
    signature: Signature
    graph_level: str = "all"
    """How far ONNX Runtime may rewrite its graph, where the target does not say."""


@dataclass(frozen=True)
class Timing:
    """One program in one fresh process."""

    restart: Restart
    latencies_ms: NDArray[np.float64]
    throttled: bool
    runtime_version: str
    modules: Sequence[str]
    """Top-level modules that the process had loaded at its end."""


@dataclass(frozen=True)
class Scores:
    """What a program answered to every example, by output name."""

    outputs: Mapping[str, NDArray[Any]]
    runtime_version: str
    batch: int


@dataclass
class Session:
    """A target with the programs and inputs that were brought there."""

    target: Target
    jobs: Sequence[Job]
    machine: dict[str, str] = field(default_factory=dict)
    """The target as it was found, after the first measurement."""
    measured_at: str = ""

    def __post_init__(self) -> None:
        self._transport = self.target.transport.build()

    def score(
        self, examples: Path, settings: Settings, batch: int = SCORING_BATCH
    ) -> dict[str, Scores]:
        """Return every program's outputs for all examples; each runs in a fresh process.

        `examples` is a folder with one .npy per input, examples first.
        """
        with self._job("score", examples, settings, {"batch": batch}) as (there, document):
            found = {}
            for job, about in zip(self.jobs, document["scored"], strict=True):
                with tempfile.TemporaryDirectory() as here:
                    self._transport.pull(f"{there}/scores/{job.name}", Path(here))
                    outputs = {path.stem: np.load(path) for path in sorted(Path(here).iterdir())}
                self._know(job.runtime, about["version"])
                found[job.name] = Scores(outputs, about["version"], about["batch"])
            return found

    def time(
        self, names: Sequence[str], samples: Path, settings: Settings, number: int
    ) -> dict[str, Timing]:
        """Return one restart of the named programs, measured in turns.

        `number` is how many restarts were taken before: every other one turns the order round.
        """
        with self._job("measure", samples, settings, {"number": number, "names": names}) as job:
            found = {}
            for name, raw in job[1]["measured"].items():
                runtime = next(job.runtime for job in self.jobs if job.name == name)
                self._know(runtime, raw["version"])
                found[name] = _timing(raw)
            return found

    def _know(self, runtime: str, version: str) -> None:
        self.machine[runtime] = version

    @contextmanager
    def _job(
        self, do: str, inputs: Path, settings: Settings, more: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Bring a job there, run it, and yield its folder there and its document."""
        names = more.get("names", [job.name for job in self.jobs])
        with tempfile.TemporaryDirectory(prefix="edgekd-job-") as made:
            here = Path(made) / do
            caches = shutil.ignore_patterns("__pycache__")
            shutil.copytree(shipped("targets") / "runners", here, ignore=caches)
            shutil.copytree(inputs, here / "inputs")
            programs = [
                _brought(job, here) | {"graph_level": self.target.graph_level or job.graph_level}
                for job in self.jobs
                if job.name in names
            ]
            values = {name: value for name, value in vars(settings).items() if name != "mode"}
            values |= {"limit_s": settings.warmup_limit_s, "threads": self.target.threads}
            values |= {"programs": programs, "do": do}
            (here / "job.json").write_text(json.dumps(values | dict(more)), "utf-8")
            there = self._transport.push(here)
        command = [self._transport.python, "-s", "-E", f"{there}/bench.py", f"{there}/job.json"]
        document = json.loads(self._transport.run(command))
        if "failed" in document:
            raise _failure(document["failed"], self.target)
        self.machine |= document["machine"]
        self.measured_at = self.measured_at or document["measured_at"]
        yield there, document


def program_files(program: Path) -> list[Path]:
    """Return a program with the external data beside it, without our own descriptions."""
    beside = (path for path in program.parent.iterdir() if path.is_file())
    return sorted(path for path in beside if path == program or path.suffix != ".json")


def _brought(job: Job, here: Path) -> dict[str, Any]:
    """Copy a program into the job's folder; return what the runner must know of it."""
    place = Path("programs") / job.name
    (here / place).mkdir(parents=True)
    for path in program_files(job.file):
        shutil.copyfile(path, here / place / path.name)
    described = job.signature.as_dict()
    return described | {
        "name": job.name,
        "file": str(place / job.file.name),
        "runner": kinds.runtime.get(job.runtime).target.runner,  # type: ignore[attr-defined]
        "samples": "inputs",
        "scores": f"scores/{job.name}",
    }


def _timing(raw: Mapping[str, Any]) -> Timing:
    kept = {name: raw[name] for name in Restart.model_fields if name in raw}
    latencies = np.asarray(raw["ns"], dtype=np.float64) / 1e6
    return Timing(
        Restart(runs=len(latencies), **kept),
        latencies,
        raw["throttled"],
        raw["version"],
        raw["modules"],
    )


def _failure(failed: Mapping[str, Any], target: Target) -> StageError:
    """Return the error of a program whose process did not answer."""
    last = "\n".join(failed["lines"])
    steps = [f"It wrote last:\n{last}" if last else "It wrote nothing before."]
    if failed.get("late"):
        steps.append("If it is only slow, give it longer: set bench.timeout_s.")
    return StageError(
        f"program '{failed['program']}' on {target.description}: its process {failed['how']} "
        f"(at '{failed['doing']}').",
        "\n".join(steps),
    )
