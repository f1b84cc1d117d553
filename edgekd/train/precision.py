"""Half precision where it is fast, and only once a trial has shown that it does no harm."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.core.protocols.values import Batch

TRIED = 4
"""Batches of a trial."""
LOSS_TOLERANCE = 0.01
"""Most by which a loss may differ, as a share of it."""
GRADIENT_COSINE = 0.99
"""Least cosine between the two gradients of a batch, all weights as one vector."""

OUTPUT_TOLERANCE = 0.02
"""Most by which a teacher's outputs may differ, root mean square, as a share of their spread."""

Wanted = Literal["float32", "bfloat16", "auto"]


@dataclass(frozen=True)
class Precision:
    """What a forward pass multiplies in."""

    half: bool
    """Whether that is bfloat16."""
    why: str
    """For people."""

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.half)


def decide(
    wanted: Wanted,
    student: nn.Module,
    loss: Callable[[nn.Module, Batch, Precision], Tensor],
    batches: Iterable[Batch],
    device: torch.device,
) -> Precision:
    """Return what to train in; `loss` gives that of a copy of the student, in a precision.

    Nothing is changed: neither the student nor the generators of the process.
    """
    if wanted == "float32":
        return Precision(False, "float32")
    if wanted == "bfloat16":
        return Precision(True, "bfloat16, as asked for")
    if not made_for_it(device):
        return Precision(False, f"float32: this {device.type} has no instructions for bfloat16")
    apart, cosines = [0.0], [1.0]
    student.train()
    for batch in batches:
        (full, slope), (half, other) = (
            _tried(copy.deepcopy(student), loss, batch, Precision(on, "")) for on in (False, True)
        )
        apart.append(abs(half - full) / max(abs(full), 1e-6))
        cosines.append(torch.cosine_similarity(slope, other, dim=0, eps=1e-12).item())
    worst_loss, worst_cosine = float(np.max(apart)), float(np.min(cosines))  # NaN where one is
    same = worst_loss <= LOSS_TOLERANCE and worst_cosine >= GRADIENT_COSINE
    found = f"in a trial losses differed by {worst_loss:.2%} at most"
    found += f" and gradients had a cosine of {worst_cosine:.4f} at least"
    return Precision(same, f"{'bfloat16' if same else 'float32'}: {found}")


def decide_for_teacher(
    wanted: Wanted,
    outputs: Callable[[Batch, Precision], Mapping[str, Tensor]],
    batches: Iterable[Batch],
    device: torch.device,
) -> Precision:
    """Return what a teacher is to multiply in, by what it says in both precisions."""
    if wanted != "auto":
        return Precision(wanted == "bfloat16", wanted)
    if not made_for_it(device):
        return Precision(False, f"float32: this {device.type} has no instructions for bfloat16")
    found = [0.0]
    for batch in batches:
        full, half = (outputs(batch, Precision(on, "")) for on in (False, True))
        for name, value in full.items():
            apart = (half[name].float() - value).square().mean().sqrt()
            found.append((apart / value.std().clamp(min=1e-6)).item())
    worst = float(np.max(found))  # NaN where one is
    same = worst <= OUTPUT_TOLERANCE
    words = f"in a trial outputs differed by {worst:.2%} of their spread at most"
    return Precision(same, f"{'bfloat16' if same else 'float32'}: {words}")


def made_for_it(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = torch.cpu.get_capabilities()
    return any(there for name, there in flags.items() if "bf16" in name)


def _tried(
    student: nn.Module,
    loss: Callable[[nn.Module, Batch, Precision], Tensor],
    batch: Batch,
    precision: Precision,
) -> tuple[float, Tensor]:
    """Return the loss and the gradient of all weights as one vector."""
    value = loss(student, batch, precision)
    value.backward()  # type: ignore[no-untyped-call]
    slopes = [p.grad.flatten() for p in student.parameters() if p.grad is not None]
    return value.item(), torch.cat(slopes)
