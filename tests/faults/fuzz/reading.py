"""Reads mutants of pipeline and target files as a request does: see `child`."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from edgekd.core.artifact import digest_json
from edgekd.core.errors import EdgekdError, RequestError
from edgekd.pipeline.document import override, parse_document
from edgekd.pipeline.resolve import resolve
from edgekd.pipeline.resolved import Request, Resolved
from edgekd.pipeline.targets import find_targets, read_target
from fuzz.child import Outcome, Try, answered, work
from fuzz.files import Mutant, furnish, mutant, pipelines
from fuzz.hostile import CANARY
from fuzz.watch import Watch


def prepare(folder: Path) -> Try:
    """Return what reads one mutant."""
    torch.set_num_threads(1)
    furnish(folder)
    reading = Reading(folder, Watch(folder))
    for text in dict.fromkeys(pipelines()):  # everything that reading imports is imported
        good = reading.outcome(Mutant("pipeline", "values", text.encode()))
        assert good.kind.startswith("pipeline values resolved"), (text, good)
    return lambda seed, number: reading.outcome(mutant(seed, number))


class Reading:
    """Reads files in a folder."""

    def __init__(self, folder: Path, watch: Watch):
        self.folder, self.watch = folder, watch

    def outcome(self, found: Mutant) -> Outcome:
        """Return what came of a mutant."""
        pipeline = found.what == "pipeline"
        file = self.folder / ("mutant.yaml" if pipeline else "targets/mutant.yaml")
        file.write_bytes(found.content)
        self.watch.begin()
        try:
            _, came, why = answered(lambda: self._read(file, found))
        finally:
            seen = self.watch.end()
        came = "resolved" if came == "read" else came
        came, ran = self._code_run(came, seen, file, found)
        why = why or ran
        evidence = {"content": found.content.hex(), "sets": found.sets}
        return Outcome(f"{found.what} {found.how} {came}", why, evidence)

    def _read(self, file: Path, found: Mutant) -> None:
        try:
            self._request(file, found)
        except RequestError as error:
            for problem in error.problems:
                assert problem.place, problem
            raise

    def _request(self, file: Path, found: Mutant) -> None:
        if found.what == "target":
            json.dumps(read_target("mutant", find_targets(self.folder)))
            return
        resolved = resolve(Request(str(file), found.sets))
        sent = json.dumps({"resolved": resolved.as_dict()})
        received = Resolved.from_dict(json.loads(sent)["resolved"])
        for stage in received.stages:  # the parent makes keys of it
            digest_json(asdict(stage))

    def _code_run(self, came: str, seen: set[str], file: Path, found: Mutant) -> tuple[str, str]:
        """Return the outcome, or what was run or written that no `plugins:` asked for."""
        canary = self.folder / CANARY
        ran = canary.exists()
        canary.unlink(missing_ok=True)
        if (ran or seen) and self._asked(file, found):
            return f"{came} with its plug-ins", ""
        if ran or seen:
            return came, f"run: {sorted(seen)} canary: {ran}"
        return came, ""

    def _asked(self, file: Path, found: Mutant) -> bool:
        """Tell whether the file lists code under `plugins:` that is there."""
        try:
            text = found.content.decode("utf-8")
            value = override(parse_document(text, str(file)), found.sets).value
        except (EdgekdError, UnicodeDecodeError):
            return False
        listed = value.get("plugins") if isinstance(value, dict) else None
        if not isinstance(listed, tuple):
            return False
        there = {path.resolve() for path in self.folder.glob("*.py") if path.is_file()}
        named = [entry for entry in listed if isinstance(entry, str) and "\0" not in entry]
        return any((self.folder / entry).resolve() in there for entry in named)


if __name__ == "__main__":
    work(prepare)
