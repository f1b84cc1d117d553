"""A program that is to be measured."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edgekd.core.artifact import digest_file, digest_json
from edgekd.core.signature import Signature
from edgekd.devices.model_file import program_files
from edgekd.devices.native.runners import script


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
    whole_calls: bool = False
    """Whether each example of an input is all that one call takes of it, not one row of a batch."""
    batched: tuple[str, ...] = ()
    """Inputs of which one call can take any number of examples."""

    @property
    def runner(self) -> str:
        """The file of `targets/runners/` that loads it."""
        return script(self.runtime)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that shapes what it does: its files, and how it is called."""
        files = {str(p.relative_to(self.file.parent)): p for p in program_files(self.file)}
        about = [self.file.name, self.runtime, self.signature.as_dict(), self.graph_level]
        about += ["whole_calls"] if self.whole_calls else []
        return digest_json([about, {name: digest_file(path) for name, path in files.items()}])
