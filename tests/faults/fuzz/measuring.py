"""Opens mutants of ONNX and .pte files as edgekd does, all the way to the device: see `child`.

This process stands for edgekd's own, which must go on. $EDGEKD_PROGRAMS is the folder of the good
programs.
"""

import random
import resource
from pathlib import Path

from edgekd.devices.answers import Failure
from edgekd.devices.bench import Session
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.model_file import describe
from edgekd.devices.settings import settle
from edgekd.devices.target import Bench, Target
from fuzz import programs
from fuzz.child import Outcome, Try, answered, work

SHORT = settle(Bench(), Bench(mode="quick", timeout_s=60.0))


class Measuring:
    """Describes and scores programs on this machine."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.kept = [programs.good(ending) for ending in (".onnx", ".pte")]
        runtimes = ("onnxruntime", "executorch")
        self.tried: set[str] = set()
        here = {"description": "here", "transport": "local", "runtimes": runtimes}
        self.target = Target.model_validate(here)

    def attempt(self, seed: int, number: int) -> Outcome:
        """Return what came of a mutant; ONNX and .pte take turns."""
        rng = random.Random(f"{seed}/{number}")
        kept = self.kept[number % 2]
        path = rng.choice(list(kept))
        how, content = programs.mutated(path, kept, rng)
        if path.suffix not in self.tried:  # the good one first: it has to run
            self.tried.add(path.suffix)
            came, why = self.measured(self._written(f"good{number}", path, kept[path]), path)
            assert (came, why) == ("described: read, scored: read", ""), path
        came, why = self.measured(self._written(f"{number}", path, content), path)
        return Outcome(f"{path.suffix} {how} {came}", why, {"content": content[:400_000].hex()})

    def _written(self, name: str, path: Path, content: bytes) -> Path:
        file = self.folder / name / path.name
        file.parent.mkdir()
        file.write_bytes(content)
        return file

    def measured(self, file: Path, like: Path) -> tuple[str, str]:
        """Return what came of describing and scoring a file, and what should not have happened."""
        _, described, why = answered(lambda: describe(file))
        if why:
            return f"describing {described}", why
        found, scored, why = answered(lambda: self._score(file, like))
        if isinstance(found, Failure):
            scored = "failed"
            why = f"a traceback: {found!r:.300}" if "Traceback" in str(found) else why
        return f"described: {described}, scored: {scored}", why

    def _score(self, file: Path, like: Path) -> object:
        job = Job("mutant", file, programs.runtime(like.name), programs.signature(like.name))
        session = Session(self.target, [job], Journal(file.parent / "journal"))
        return session.score("mutant", programs.samples(like), SHORT)


def prepare(folder: Path) -> Try:
    """Return what measures one mutant."""
    return Measuring(folder).attempt


if __name__ == "__main__":
    work(prepare, memory=resource.RLIM_INFINITY)
