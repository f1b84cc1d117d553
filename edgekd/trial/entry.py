"""A program that takes part in a comparison."""

from dataclasses import dataclass
from pathlib import Path

from edgekd.core.artifact import digest_file
from edgekd.core.results import MeasuredProgram, Role
from edgekd.devices.job import Job
from edgekd.devices.model_file import program_files
from edgekd.runtimes.folder import Program


@dataclass(frozen=True)
class Entry:
    """A program with its part in the comparison."""

    name: str
    role: Role
    file: Path
    program: Program
    whole_calls: bool = False
    """Whether each sample is all that one call takes, not one row of a batch."""
    free: tuple[str, ...] = ()
    """With whole calls, the inputs whose first dimension may have any size."""

    @property
    def job(self) -> Job:
        """What the target must be told."""
        return Job(
            self.name,
            self.file,
            self.program.runtime,
            self.program.signature,
            self.program.facts.get("program", {}).get("graph_level", "all"),
            self.whole_calls,
            self._batched,
        )

    @property
    def _batched(self) -> tuple[str, ...]:
        """Inputs of which one call can take any number of examples; state stands for one."""
        if self.whole_calls or self.program.signature.state:
            return self.free
        ports = self.program.signature.inputs
        return tuple(p.name for p in ports if p.shape and isinstance(p.shape[0], str))

    @property
    def size_bytes(self) -> int:
        """The size of all its files."""
        return sum(path.stat().st_size for path in program_files(self.file))

    def described(self) -> MeasuredProgram:
        """Return the program as a report names it."""
        return MeasuredProgram(
            name=self.name,
            role=self.role,
            runtime=self.program.runtime,
            precision=self.program.precision,
            file=self.program.file,
            size_bytes=self.size_bytes,
            digest=digest_file(self.file),
            parameters=self.program.parameters,
        )
