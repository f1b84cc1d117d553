"""Example signals: small, seeded tensors for every name of the vocabulary, and terms made ready."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from edgekd.core.config import Config
from edgekd.core.protocols import Fits, Prepares, Setting, Signals
from edgekd.core.registry import Plugin

CLASSES, FEATURES = 7, 12
BATCHES, EACH = 5, 10 * CLASSES
"""What a term is fitted to: batches, and the examples in each."""


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


def example_setting(signals: Signals) -> Setting:
    """Return what a training tells a term that asks for such signals."""
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in signals.items()}
    return Setting(shapes, BATCHES * EACH, [*map(str, range(CLASSES))])


def ready(plugin: Plugin, options: Config | None = None, seed: int = 0) -> Callable[..., Any]:
    """Return an objective with parts for the example signals, fitted to some of them."""
    torch.manual_seed(seed)
    term = plugin.build(plugin.config() if options is None else options)
    if isinstance(term, Prepares):
        term.prepare(example_setting(example_signals(plugin.needs)))
    if isinstance(term, Fits):
        term.fit(fitting_signals(plugin.needs))
    return term


def fitting_signals(needs: Iterable[str]) -> Iterator[Signals]:
    """Yield what a term is fitted to: signals of every class, none of the student."""
    told = [need for need in needs if not need.startswith("student_")]
    for number in range(BATCHES):
        signals = example_signals(told, seed=number, batch=EACH)
        yield signals | ({"ids": signals["ids"] + number * EACH} if "ids" in told else {})
