"""Measuring and scoring programs on a target: a folder goes there once, documents come back."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.core.protocols.transport import Transport
from edgekd.core.results import Profile, Sustained
from edgekd.devices.answers import Failure, Scores, Streamed, Timing, failure, timing, unlike
from edgekd.devices.job import Job
from edgekd.devices.kept import STABLE, Arrays, Journal
from edgekd.devices.link.bare import Words, bring, conduct
from edgekd.devices.model_file import program_files
from edgekd.devices.native.runners import copy_runners, runner
from edgekd.devices.settings import Settings
from edgekd.devices.survey import lacking
from edgekd.devices.target import Target
from edgekd.devices.turn import Told

SCORING_BATCH = 64


@dataclass
class Session:
    """A target with the programs and inputs that were brought there.

    What it measures is kept in `journal`, and taken from there if it was measured before, of the
    same programs with the same settings on the same machine. Failures are not kept.
    """

    target: Target
    jobs: Sequence[Job]
    journal: Journal
    traced: bool = False
    """Whether each restart also tells what share of time is spent outside the back-end."""
    measured_at: str = ""
    """When the first measurement was taken."""
    sittings: set[str] = field(default_factory=set)
    """When the processes began that measured: more than one where some of it was kept."""
    _found: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)
    _inputs: dict[Path, str] = field(default_factory=dict)
    _words: dict[Path, Words] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._transport: Transport = self.target.transport.build()
        self._runtime = {job.name: job.runtime for job in self.jobs}

    def tell(self, told: Told) -> None:
        """Have it said through `told` for whom this waits, of each other run once."""

        def once(message: str) -> None:
            if message not in self._said:
                self._said.add(message)
                told(message)

        self._transport.told = once

    @property
    def machine(self) -> dict[str, str]:
        """The target as the first measurement found it, and the versions of its runtimes."""
        return self._found | self._versions

    def score(
        self, name: str, examples: Path, settings: Settings, batch: int = SCORING_BATCH
    ) -> Scores | Failure:
        """Return a program's outputs for all examples, or how it failed, in a fresh process.

        `examples` is a folder with one .npy per input, examples first.
        """
        key = self._key("score", settings) | {"batch": batch}
        document, arrays = self._taken(key, [name], examples, settings, {"batch": batch})
        if name in document["failed"]:
            return failure(document["failed"][name])
        about = document["scored"][name]
        self._versions[self._runtime[name]] = about["version"]
        signature = next(job.signature for job in self.jobs if job.name == name)
        if strange := unlike(signature, arrays, about["examples"]):
            return Failure(strange)
        return Scores(arrays, about["version"], about["batch"])

    def time(
        self, names: Sequence[str], samples: Path, settings: Settings, number: int
    ) -> dict[str, Timing | Failure]:
        """Return one restart of the named programs, measured in turns, or how they failed.

        `number` is how many restarts were taken before: every other one turns the order round.
        """
        more = {"number": number} | ({"traced": True} if self.traced else {})
        key = self._key("measure", settings) | more
        document, _ = self._taken(key, names, samples, settings, more)
        found: dict[str, Timing | Failure] = {}
        for name in names:
            if name in document["failed"]:
                found[name] = failure(document["failed"][name])
            else:
                taken = found[name] = timing(document["measured"][name])
                self._versions[self._runtime[name]] = taken.runtime_version
        return found

    def profile(self, name: str, samples: Path, settings: Settings) -> Profile | Failure | None:
        """Return what a program's operators took; None where its runtime does not tell."""
        key = self._key("profile", settings)
        document, _ = self._taken(key, [name], samples, settings, {})
        if name in document["failed"]:
            return failure(document["failed"][name])
        told = document["profiled"].get(name)
        return told and Profile.model_validate(told)

    def sustain(self, name: str, samples: Path, settings: Settings) -> Sustained | Failure:
        """Return how a program ran for `sustained_s` without a pause."""
        more = {"sustained_s": settings.sustained_s}
        key = self._key("sustain", settings) | more
        document, _ = self._taken(key, [name], samples, settings, more)
        if name in document["failed"]:
            return failure(document["failed"][name])
        windows = document["sustained"][name]
        return Sustained(seconds=settings.sustained_s, windows=windows)

    def stream(
        self, name: str, samples: Path, settings: Settings, *, batch: int, streams: int, number: int
    ) -> Streamed | Failure:
        """Return samples a second in so many processes at once, `batch` examples a call."""
        more = {"batch": batch, "streams": streams, "number": number}
        key = self._key("stream", settings) | more
        document, _ = self._taken(key, [name], samples, settings, more)
        if name in document["failed"]:
            return failure(document["failed"][name])
        return Streamed(**document["streamed"][name])

    def _key(self, do: str, settings: Settings) -> dict[str, Any]:
        """Return what tells this measurement from others of the same programs."""
        target = self.target.model_dump(
            mode="json",
            exclude={"description": True, "bench": True, "hardware": {"watts_per_core": True}},
        )
        return {"do": do, "target": target, "settings": settings.of_a_process}

    def _taken(
        self,
        key: Mapping[str, Any],
        names: Sequence[str],
        inputs: Path,
        settings: Settings,
        more: Mapping[str, Any],
    ) -> tuple[Mapping[str, Any], Arrays]:
        """Return a document with its arrays, from the journal where they are kept there."""
        digests = {job.name: job.digest for job in self.jobs if job.name in names}
        kept = self.journal.find(key, digests)
        if kept and self._is_still(kept.document):
            self._use(kept.document, kept.sitting)
            return kept.document, kept.arrays
        document = self._run(key["do"], names, settings, more, inputs)
        scored = document.get("scored", {})
        arrays = {name: array for each in scored for name, array in self._outputs(each).items()}
        self._use(document, self.journal.sitting)
        sound = {name: digest for name, digest in digests.items() if name not in document["failed"]}
        if sound:
            beside = {"failed": {}, "versions": dict(self._versions)}
            self.journal.keep(key, sound, document | beside, arrays)
        return document, arrays

    def _use(self, document: Mapping[str, Any], sitting: str) -> None:
        self.sittings.add(sitting)
        if not self.measured_at or document["measured_at"] < self.measured_at:
            self.measured_at, self._found = document["measured_at"], document["machine"]

    def _is_still(self, document: Mapping[str, Any]) -> bool:
        """Tell whether the target is what it was when a document was taken there."""
        now, then = self._identity["machine"], document["machine"]
        taken = document.get("measured", {}) | document.get("scored", {})
        versions = {self._runtime[name]: about["version"] for name, about in taken.items()}
        versions = document.get("versions", {}) | versions  # those that it was taken beside
        same = all(now.get(name) == then.get(name) for name in STABLE)
        return same and versions.items() <= self._identity["versions"].items()

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What the target is now, with the versions of the runtimes there."""
        first = {job.runtime: job.name for job in self.jobs}
        document = self._run("identify", [*first.values()], Settings("identify", 1, 1), {})
        versions = {self._runtime[name]: text for name, text in document["versions"].items()}
        return document | {"versions": versions}

    def _run(
        self,
        do: str,
        names: Sequence[str],
        settings: Settings,
        more: Mapping[str, Any],
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Run a job of the named programs; return its document."""
        there, programs = self._brought
        samples = self._pushed(inputs) if inputs and not self.target.bare else ""
        asked = {name: value for name, value in settings.of_a_process.items() if name != "mode"}
        asked |= {"limit_s": settings.warmup_limit_s, "threads": self.target.threads, "do": do}
        asked |= {"programs": [programs[name] | {"samples": samples} for name in names]}
        python = self._transport.python
        if python is None:
            words = self._spoken(inputs) if inputs else {}
            return conduct(self._transport, there, asked | dict(more), words)
        with self.journal.workshop() as made:
            file = made / "job.json"
            file.write_text(json.dumps(asked | dict(more)), "utf-8")
            job = self._transport.push(file)
        command = [python, "-s", "-E", f"{there}/bench.py", job]
        document: dict[str, Any] = json.loads(self._transport.run(command))
        if "missing" in document:
            raise lacking(self.target, document["missing"], document["python"])
        return document

    @cached_property
    def _brought(self) -> tuple[str, dict[str, dict[str, Any]]]:
        """The folder on the target with runners and programs, and what is said of each program."""
        with self.journal.workshop() as made:
            here = made / "work"
            copy_runners(self.target, here)
            for index, job in enumerate(self.jobs):
                for file in program_files(job.file):
                    place = here / f"programs/{index}" / file.relative_to(job.file.parent)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, place)
            there = self._transport.push(here)
        level = self.target.graph_level
        return there, {
            job.name: job.signature.as_dict()
            | {
                "name": job.name,
                "file": f"{there}/programs/{index}/{job.file.name}",
                "runner": runner(job.runtime, self.target.native, job.runner),
                "scores": f"{there}/scores/{index}",
                "graph_level": level or job.graph_level,
                "whole_calls": job.whole_calls,
                "batched": job.batched,
            }
            for index, job in enumerate(self.jobs)
        }

    def _pushed(self, inputs: Path) -> str:
        """Return where a folder of inputs is on the target."""
        if inputs not in self._inputs:
            self._inputs[inputs] = self._transport.push(inputs)
        return self._inputs[inputs]

    def _spoken(self, inputs: Path) -> Words:
        """Return the runners' command lines on a device without Python, with inputs there."""
        if inputs not in self._words:
            _, programs = self._brought
            with self.journal.workshop() as made:
                self._words[inputs] = bring(
                    self._transport, [*programs.values()], self.target.threads, inputs, made
                )
        return self._words[inputs]

    def _outputs(self, name: str) -> Arrays:
        """Return the outputs that a program left on the target."""
        with self.journal.workshop() as here:
            self._transport.pull(self._brought[1][name]["scores"], here)
            return {path.stem: np.load(path) for path in sorted(here.iterdir())}
