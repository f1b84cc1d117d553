"""Example signals: small, seeded tensors for every name of the vocabulary, and terms made ready."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from edgekd.core.config import Config
from edgekd.core.protocols.training import Fits, Prepares, Setting
from edgekd.core.protocols.values import Signals
from edgekd.core.registry import Plugin
from edgekd.core.signals import PROGRESS

CLASSES, FEATURES = 7, 12
NONE: Mapping[str, tuple[int, ...]] = {}
BATCHES, EACH = 5, 10 * CLASSES
"""What a term is fitted to: batches, and the examples in each."""


def example_signals(
    needs: Iterable[str],
    *,
    seed: int = 0,
    batch: int = 6,
    dtype: torch.dtype = torch.float32,
    shapes: Mapping[str, tuple[int, ...]] = NONE,
) -> dict[str, Tensor]:
    """Return a tensor for each name; those of the student take gradients.

    `shapes` are those of one example, where they shall be others. KeyError where a name is not in
    the vocabulary or has no example.
    """
    rng = torch.Generator().manual_seed(seed)
    order = torch.rand(batch, 16, generator=torch.Generator().manual_seed(seed)).argsort(1)
    made = {
        "student_logits": torch.randn(batch, CLASSES, generator=rng, dtype=torch.float32) * 2,
        "teacher_logits": torch.randn(batch, CLASSES, generator=rng, dtype=torch.float32) * 2,
        "student_feature": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "teacher_feature": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "labels": torch.randint(CLASSES, (batch,), generator=rng),
        "visible": order[:, :4],
        "hidden": order[:, 4:],
        "ids": torch.arange(batch),
        "progress": torch.tensor(0.5),
        "student_embedding": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "teacher_embedding": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "answers": torch.where(torch.arange(batch) % 2 == 0, torch.arange(batch) + 1, -1),
        "student_second_feature": torch.randn(batch, FEATURES, generator=rng, dtype=torch.float32),
        "epoch": torch.tensor(3),
        "epochs": torch.tensor(10),
        "image": torch.randn(batch, 1, 8, 8, generator=rng, dtype=torch.float32),
    }
    for name, shape in shapes.items():
        made[name] = torch.randn(batch, *shape, generator=rng, dtype=torch.float32)
    signals = {name: made[name] for name in needs}
    for name, tensor in signals.items():
        if tensor.is_floating_point():
            signals[name] = tensor.to(dtype).requires_grad_(name.startswith("student_"))
    return signals


def example_setting(signals: Signals) -> Setting:
    """Return what a training tells a term that asks for such signals."""
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in signals.items()}
    return Setting(shapes, BATCHES * EACH, [*map(str, range(CLASSES))])


def signals_for(plugin: Plugin, **options: Any) -> dict[str, Tensor]:
    """Return example signals that an objective can be tried on.

    Where it wants other shapes it registers them: `@objective(..., example={"labels": ()})`.
    """
    return example_signals(plugin.needs, shapes=plugin.traits.get("example", NONE), **options)


def ready(plugin: Plugin, options: Config | None = None, seed: int = 0) -> Callable[..., Any]:
    """Return an objective with parts for its example signals, fitted to some of them."""
    torch.manual_seed(seed)
    term = plugin.build(plugin.config() if options is None else options)
    if isinstance(term, Prepares):
        term.prepare(example_setting(signals_for(plugin)))
    if isinstance(term, Fits):
        term.fit(fitting_signals(plugin))
    return term


def fitting_signals(plugin: Plugin) -> Iterator[Signals]:
    """Yield what an objective is fitted to: signals of every class, none of the student."""
    for number in range(BATCHES):
        signals = signals_for(plugin, seed=number, batch=EACH)
        told = {n: s for n, s in signals.items() if n != PROGRESS and not n.startswith("student_")}
        yield told | ({"ids": told["ids"] + number * EACH} if "ids" in told else {})
