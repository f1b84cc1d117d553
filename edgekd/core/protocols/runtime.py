"""What a runtime must do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from edgekd.core.protocols.values import Arrays, Batch, Facts
from edgekd.core.refs import UseTransform
from edgekd.core.signature import Signature

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class Runtime(Protocol):
    """Makes a program file of a model, and runs one here for checking (never for timing)."""

    suffix: str
    """Ending of its program files: `.onnx`."""
    runner: str
    """File in `targets/runners/` that loads such a program on a device."""

    def export(
        self,
        model: nn.Module,
        *,
        signature: Signature,
        samples: Batch,
        metadata: Mapping[str, str],
        quantization: UseTransform | None,
        calibration: Sequence[Batch],
        activation: Literal["uint8", "int8"],
        out: Path,
    ) -> Facts:
        """Write the program to `out` (with `suffix`), external data beside it; return facts."""

    def open(self, program: Path) -> Callable[[Arrays], Arrays]:
        """Return a function from inputs to outputs, both by name."""

    # Optional: `inside(program, model, *, signature, samples, quantization, calibration)` returns
    # `runtimes.insides.Insides`, for programs that depart from their model to name the layer;
    # `traced_rows` and `try_export(module, inputs)`, which raises what the exporter raises, for
    # models that cannot be exported to name the module (and raise `trace.CannotExportError`).
