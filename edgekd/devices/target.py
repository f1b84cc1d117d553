"""What a target file says: one device, how to reach it, and how it is to be measured."""

import platform
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edgekd.core import kinds
from edgekd.core.config import Config, Count, NonNegative, Positive, PositiveCount
from edgekd.core.errors import nearest
from edgekd.core.refs import UseTransport
from edgekd.devices.native.runners import sources

Sustain = Annotated[float, Field(ge=10, le=3600)]
"""Long enough for a few windows, and for one command of a transport."""


class Bench(Config):
    """How much is measured; what is left out is as the mode says."""

    mode: Literal["quick", "standard", "thorough"] | None = None
    """How much time measuring may take: `quick` for trying out, `thorough` for claims."""
    restarts: PositiveCount | None = None
    """Fresh processes per program; an interval needs at least 2."""
    max_restarts: PositiveCount | None = None
    """How many there may be in all where a latency gate is still open after `restarts`."""
    warmup_runs: PositiveCount | None = None
    """Least number of runs before anything is measured."""
    warmup_s: Positive | None = None
    """Least time in seconds before anything is measured."""
    min_runs: PositiveCount | None = None
    """Least number of measured runs per restart."""
    min_s: Positive | None = None
    """Least measured time per restart, in seconds."""
    samples: PositiveCount | None = None
    """How many real inputs of the validation split the runs rotate over."""
    tolerance: Positive | None = None
    """Two warm-up windows agree where their medians differ by at most this share."""
    max_drift: Positive | None = None
    """Most that the median may move between the first and the last fifth of a restart."""
    cool_down_s: NonNegative | None = None
    """Pause after each restart, in seconds."""
    profile: bool | None = None
    """Whether operators are timed too, in a process of its own after all else."""
    sustained_s: Sustain | None = None
    """How long candidates and reference run without a pause, in seconds, 10 to 3600."""
    throughput: bool | None = None
    """Whether samples a second of candidates and reference are measured too."""
    batches: tuple[PositiveCount, ...] | None = Field(default=None, min_length=1, max_length=8)
    """Examples in a call when they are."""
    streams: tuple[PositiveCount, ...] | None = Field(default=None, min_length=1, max_length=8)
    """Processes that run at the same time when they are, each with the target's threads."""
    timeout_s: Positive | None = None
    """How long one answer of a program's process may take, in seconds."""
    memory_mib: PositiveCount | None = None
    """Most memory that a program's process may ask for; without it, 80 % of the device's."""
    scores_mib: PositiveCount | None = None
    """Size of the largest file of answers that a program may write while it is scored."""


class Hardware(Config):
    """What is known of a device before it is reached."""

    arch: str = Field(default_factory=platform.machine)
    """Machine name as `uname -m` says it; without it, that of this machine."""
    cores: Count = 0
    """Number of cores, 0 where it is not said."""
    memory_mib: Count = 0
    """Size of the memory, 0 where it is not said."""
    watts_per_core: Positive | None = None
    """Power in watts that a busy core takes. Where the device has no meter, energy is estimated
    from it and labelled so; without it nothing is said of energy there."""


class Quantization(Config):
    """What quantized programs run best here."""

    activation: Literal["auto", "uint8", "int8"] = "auto"
    """Type of int8 activations in ONNX Runtime; `auto` is uint8 on x86 and int8 elsewhere."""


class Target(Config):
    """One device."""

    description: str
    """What it is, for people."""
    transport: UseTransport
    """How it is reached."""
    runtimes: tuple[str, ...] = Field(min_length=1)
    """Runtimes that are installed there."""
    native: tuple[str, ...] = ()
    """Of these, the ones that run through edgekd's C++ runner, which brings its libraries along:
    nothing of them is installed there. See `edgekd runner build`."""
    threads: PositiveCount = 1
    """Threads that a program may use."""
    graph_level: Literal["all", "extended", "basic", "off"] | None = None
    """How far ONNX Runtime may rewrite graphs here; else what each was exported for."""
    hardware: Hardware = Hardware()
    """What is known of it."""
    quantization: Quantization = Quantization()
    """What quantized programs run best here."""
    bench: Bench = Bench()
    """How it is measured where that differs from the mode."""
    emulated: bool = False
    """An emulated device proves packaging and numerics; it is not timed."""

    @property
    def bare(self) -> bool:
        """Whether the device has no Python."""
        return getattr(self.transport.options, "python", "") is None

    @field_validator("runtimes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = kinds.runtime.names()
        for name in names:
            if name not in known:
                raise ValueError(f"no runtime is named '{name}'. {nearest(name, known)}")
        return names

    @field_validator("native")
    @classmethod
    def _built(cls, names: tuple[str, ...], given: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            if name not in given.data.get("runtimes", names):
                raise ValueError(f"'{name}' is not among the runtimes of this target")
            if not sources(name):
                raise ValueError(f"there is no C++ runner for '{name}'")
        return names

    @model_validator(mode="after")
    def _runs(self) -> Self:
        others = [name for name in self.runtimes if name not in self.native]
        if self.bare and others:
            raise ValueError(
                f"{' and '.join(others)} is run by Python, of which the transport says that there "
                "is none (python: null). Name runtimes alone that are under native too"
            )
        return self
