"""A program asked about examples, in processes of its own: whoever made it, it can harm no one."""

import shutil
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature
from edgekd.devices.answers import Failure
from edgekd.devices.bench import Session
from edgekd.devices.columns import write_columns
from edgekd.devices.job import Job
from edgekd.devices.kept import Journal
from edgekd.devices.settings import PRESETS
from edgekd.devices.target import Target
from edgekd.runtimes.folder import load_program

BYTES_AT_ONCE = 64 * 2**20
"""Of inputs: each time a process is started, which costs some tenths of a second."""
FEWEST = 256
HERE = {"description": "this machine", "transport": {"kind": "local"}}


class Asked:
    """A program on this machine; every batch is answered by a fresh process under limits.

    Args:
        name: of the stage that made it, for messages.
        folder: where the program lies with its description.
        work: a folder for what is only needed meanwhile.

    """

    def __init__(self, name: str, folder: Path, work: Path):
        program = load_program(folder)
        self.name, self.signature, self.work = name, program.signature, work / "asked"
        self._target = Target.model_validate(HERE | {"runtimes": (program.runtime,)})
        level = program.facts.get("program", {}).get("graph_level", "all")
        file = folder / program.file
        self._job = Job(name, file, program.runtime, program.signature, level)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch by name; StageError where the program fails."""
        shutil.rmtree(self.work, ignore_errors=True)
        inputs = self.work / "inputs"
        inputs.mkdir(parents=True)
        fed_back = {into for _, into in self.signature.state}
        ports = [port.name for port in self.signature.inputs if port.name not in fed_back]
        columns = {name: batch[name].cpu().contiguous().numpy() for name in ports}
        write_columns(inputs, [columns], len(batch["ids"]))
        session = Session(self._target, [self._job], Journal(self.work / "journal"))
        try:
            found = session.score(self.name, inputs, PRESETS["quick"])
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
        if isinstance(found, Failure):
            step = "Check that it runs by itself: give it as reference: to a validate stage."
            raise StageError(f"{self.name} could not be asked: it {found}", step)
        return {name: torch.from_numpy(array) for name, array in found.outputs.items()}


def at_once(signature: Signature) -> int:
    """Return how many examples one process is asked about."""
    size = sum(4 * prod(port.concrete(**signature.sizes(1))) for port in signature.inputs)
    return max(FEWEST, BYTES_AT_ONCE // size)
