"""What a device really is, and what of its target file is untrue."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core import kinds
from edgekd.core.errors import Problem, UnreachableError
from edgekd.core.protocols.transport import Transport
from edgekd.devices.link.bare import conduct
from edgekd.devices.native.runners import copy_runners, runner, script
from edgekd.devices.target import Target

MEMORY_SHARE = 0.15
"""What firmware, graphics and the kernel keep of the memory that is sold."""
HOT_C = 70.0
"""Where small boards are near the temperature at which they slow themselves."""
ANSWER_S = 120.0
MAY_BE_KEPT = ("governor", "frequency_mhz", "temperature_c", "load_average")
"""What a reader of measurements looks for, and a device may not let be read."""


@dataclass(frozen=True)
class Claim:
    """One thing that a target file says and the device does not bear out."""

    path: str
    """Where in the file, as `hardware.cores`."""
    says: str
    found: str

    def __str__(self) -> str:
        return f"{self.path} says {self.says}, the device has {self.found}"


@dataclass(frozen=True)
class Survey:
    """A device as it was found."""

    machine: Mapping[str, str]
    runtimes: Mapping[str, str]
    """Version by name, of those that load there."""
    untrue: Sequence[Claim]
    notes: Sequence[str]
    """What makes measurements there less steady, or is there unsaid."""


def survey(target: Target) -> Survey:
    """Reach a device and look; UnreachableError where it does not answer."""
    document = _identity(target.transport.build(), target)
    machine, versions = document["machine"], document["versions"]
    failed = {name: _last(about) for name, about in document["failed"].items()}
    untrue = [*_hardware(target, machine), *_runtimes(target, failed)]
    return Survey(machine, versions, untrue, [*_notes(target, machine, versions)])


def lacking(target: Target, packages: Sequence[str], python: str) -> UnreachableError:
    """Return what to say of a device without the packages that measuring there takes."""
    names = " and ".join(packages)
    step = f"Install it: {python} -m pip install {' '.join(packages)}"
    if hasattr(target.transport.options, "python"):
        named = "transport: {python: /home/pi/venv/bin/python}"
        step += f"; or name the interpreter that has it: {named}."
    verb = "is" if len(packages) == 1 else "are"
    message = f"{target.description}: {names} {verb} missing for its {python}."
    return UnreachableError(str(Problem("runtimes", message, step)))


def _identity(transport: Transport, target: Target) -> dict[str, Any]:
    """Return the machine, and version or failure of every runtime that edgekd knows."""
    asked: dict[str, Any] = {"do": "identify", "threads": target.threads, "timeout_s": ANSWER_S}
    asked |= {"memory_mib": 0, "programs": [*_loaders(target)]}
    with tempfile.TemporaryDirectory(prefix="edgekd-") as made:
        here = Path(made) / "work"
        copy_runners(target, here)
        (here / "job.json").write_text(json.dumps(asked), "utf-8")
        there, python = transport.push(here), transport.python
        if python is None:
            return conduct(transport, there, asked, {})
    command = [python, "-s", "-E", f"{there}/bench.py", f"{there}/job.json"]
    document: dict[str, Any] = json.loads(transport.run(command))
    return document


def _loaders(target: Target) -> Iterator[dict[str, str]]:
    for name in kinds.runtime.names():
        if not target.bare or name in target.native:
            yield {"name": name, "runner": runner(name, target.native, script(name))}


def _last(about: Mapping[str, Any]) -> str:
    """Return why a runtime did not load, in one line."""
    return str(about["lines"][-1] if about["lines"] else about["how"])


def _hardware(target: Target, machine: Mapping[str, str]) -> Iterator[Claim]:
    """Yield what is untrue of the hardware."""
    said, cores = target.hardware, int(machine.get("cores", 0))
    if said.arch != machine["arch"]:
        yield Claim("hardware.arch", said.arch, machine["arch"])
    if said.cores and cores and said.cores != cores:
        yield Claim("hardware.cores", str(said.cores), str(cores))
    memory = int(machine.get("memory_mib", 0))
    if said.memory_mib and memory and abs(memory / said.memory_mib - 1) > MEMORY_SHARE:
        yield Claim("hardware.memory_mib", str(said.memory_mib), str(memory))
    usable = len(machine.get("affinity", "").split()) or cores
    if usable and target.threads > usable:
        yield Claim("threads", str(target.threads), f"{usable} cores that may be used")


def _runtimes(target: Target, failed: Mapping[str, str]) -> Iterator[Claim]:
    """Yield the runtimes that are said to be there and do not load."""
    for name in target.runtimes:
        if name in failed:
            yield Claim("runtimes", name, f"none that loads: {failed[name]}")


def _notes(
    target: Target, machine: Mapping[str, str], versions: Mapping[str, str]
) -> Iterator[str]:
    """Yield what a reader of measurements there should know."""
    governor = machine.get("governor", "performance")
    if governor != "performance":
        yield f"the frequency governor is {governor}: the clock may change between measurements"
    if float(machine.get("temperature_c", 0)) >= HOT_C:
        yield f"it is hot: {machine['temperature_c']} degrees Celsius"
    for name in sorted({*versions} - {*target.runtimes}):
        yield f"{name} {versions[name]} is there too and is not listed under runtimes"
    if target.bare and (kept := [name for name in MAY_BE_KEPT if name not in machine]):
        yield f"its system does not tell: {', '.join(kept)}"
