"""What comes back from a target: samples, outputs, or how a program failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.core.results import Restart
from edgekd.core.signature import Port, Signature
from edgekd.devices.kept import Arrays


@dataclass(frozen=True)
class Failure:
    """What became of a program that could not be measured."""

    how: str
    """What happened and when: `was killed by SIGSEGV while loading`."""
    lines: Sequence[str] = ()
    """What its process wrote last."""
    late: bool = False

    def __str__(self) -> str:
        """Return what happened, then what was written last, line by line."""
        hint = ["If it is only slow, give it longer: set bench.timeout_s."] if self.late else []
        wrote = ["It wrote last:", *self.lines] if self.lines else []
        return "\n".join([self.how, *wrote, *hint])


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
class Streamed:
    """One program in several fresh processes that ran at the same time."""

    per_s: float
    """Samples a second, of all together."""
    cores: float
    """Processor time a second, of all together."""
    samples_a_call: int


@dataclass(frozen=True)
class Scores:
    """What a program answered to every example, by output name."""

    outputs: Arrays
    runtime_version: str
    batch: int


def unlike(signature: Signature, outputs: Arrays, examples: int) -> str:
    """Return in what the answers to all examples are not those of a signature, or nothing.

    Outputs of several calls stand one after another, so that only what varies with the batch has
    a first dimension that is known.
    """
    state = {name for pair in signature.state for name in pair}
    batch = {port.shape[0] for port in signature.inputs if port.shape and port.name not in state}
    for port in signature.outputs:
        if port.name not in outputs:
            return f"gave no '{port.name}'"
        found = outputs[port.name]
        wanted = (examples, *port.shape[1:])
        whole = port.name not in state and port.shape[:1] and port.shape[0] in batch
        if port.shape and not _fits(found, port, wanted if whole else (len(found), *wanted[1:])):
            return (
                f"gave '{port.name}' as {found.dtype} {list(found.shape)}, where its signature "
                f"says {port.dtype} {list(wanted)}"
            )
    return ""


def _fits(found: NDArray[Any], port: Port, wanted: Sequence[int | str]) -> bool:
    """Tell whether an array has the type of a port and the dimensions that are fixed."""
    return (
        found.dtype == port.dtype
        and found.ndim == len(wanted)
        and all(a == b for a, b in zip(found.shape, wanted, strict=True) if isinstance(b, int))
    )


def timing(raw: Mapping[str, Any]) -> Timing:
    """Return what the runner says of one program in one process."""
    kept = {name: raw[name] for name in Restart.model_fields if name in raw}
    latencies = np.asarray(raw["ns"], dtype=np.float64) / 1e6
    return Timing(
        Restart(runs=len(latencies), **kept),
        latencies,
        raw["throttled"],
        raw["version"],
        raw["modules"],
    )


def failure(about: Mapping[str, Any]) -> Failure:
    """Return what the runner says of a program that failed."""
    return Failure(about["how"], about["lines"], about["late"])
