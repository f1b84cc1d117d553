"""Example signals: small, seeded tensors for every name of the vocabulary."""

from collections.abc import Iterable

import torch
from torch import Tensor

CLASSES, FEATURES = 7, 12


def example_signals(
    needs: Iterable[str], *, seed: int = 0, batch: int = 6, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Return a tensor for each name; those of the student take gradients.

    KeyError where a name is not in the vocabulary or has no example.
    """
    rng = torch.Generator().manual_seed(seed)
    made = {
        "student_logits": torch.randn(batch, CLASSES, generator=rng, dtype=torch.float32) * 2,
        "teacher_logits": torch.randn(batch, CLASSES, generator=rng, dtype=torch.float32) * 2,
        "student_feature": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "teacher_feature": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "labels": torch.randint(CLASSES, (batch,), generator=rng),
        "ids": torch.arange(batch),
        "student_embedding": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "teacher_embedding": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "answers": torch.where(torch.arange(batch) % 2 == 0, torch.arange(batch) + 1, -1),
    }
    signals = {name: made[name] for name in needs}
    for name, tensor in signals.items():
        if tensor.is_floating_point():
            signals[name] = tensor.to(dtype).requires_grad_(name.startswith("student_"))
    return signals
