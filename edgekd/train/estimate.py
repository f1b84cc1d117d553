"""How much memory and disk a training needs, told without data and without weights."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.train.evaluate import BATCH
from edgekd.train.optim import Train

IN_FLIGHT = 4
"""Tensors of the largest size that a pass has at a time, with what kernels copy; measured."""


def training_bytes(
    learners: Sequence[nn.Module],
    teachers: Sequence[nn.Module],
    signature: Signature,
    options: Train,
) -> int | None:
    """Return about how many bytes a training takes, beyond the libraries and the data set.

    All models are on the meta device (`train.check.outline`); the first that learns is the student,
    others are teachers that learn, too, of which no better state is kept. A training step and the
    scoring of a split are added up: allocators keep the first one's blocks, which are too small for
    the second. Terms that learn are not counted. None where a model cannot be followed without
    values.
    """
    try:
        at_once = -(-options.batch_size // options.accumulate)
        scored = activations(learners[0], signature, BATCH)[1]
        learned = taught = 0
        for learner in learners:
            saved, largest = activations(learner, signature, at_once)
            learned += _learning_bytes(learner) + saved + IN_FLIGHT * largest
        for teacher in teachers:
            given = _bytes([*teacher.parameters(), *teacher.buffers()])
            taught += given + IN_FLIGHT * activations(teacher, signature, at_once)[1]
    except Exception:  # the user's own model may raise anything
        return None
    held = sum(_held_bytes(learners, options))
    return held + learned + taught + IN_FLIGHT * scored


def checkpoint_bytes(learners: Sequence[nn.Module], options: Train) -> int:
    """Return about how many bytes of disk a training's checkpoints take at most.

    Two are kept while a third is written; each has what learns, the student's best state so far
    and the optimizer's state.
    """
    return 3 * sum(_held_bytes(learners, options))


def _held_bytes(learners: Sequence[nn.Module], options: Train) -> Iterator[int]:
    """Yield the bytes of each network's copies and of the optimizer's state for it."""
    slots = 2 if options.optimizer == "adamw" else int(options.momentum > 0)
    for number, learner in enumerate(learners):
        copies = 1 if number else 2 + (options.ema is not None)
        yield copies * _bytes([*learner.parameters(), *learner.buffers()])
        yield slots * _learning_bytes(learner)


def _learning_bytes(learner: nn.Module) -> int:
    return _bytes(p for p in learner.parameters() if p.requires_grad)


def activations(module: nn.Module, signature: Signature, batch: int) -> tuple[int, int]:
    """Return the bytes that a forward pass keeps for the backward pass, and its largest tensor."""
    own = {p.untyped_storage()._cdata for p in (*module.parameters(), *module.buffers())}
    kept: dict[int, Tensor] = {}  # the tensors stay, so that no other gets their address

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    inputs = {
        port.name: torch.empty(
            port.concrete(**signature.sizes(batch)), dtype=getattr(torch, port.dtype), device="meta"
        )
        for port in signature.inputs
    }
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = call_by_name(module.train(), signature, inputs)
    sizes = [t.untyped_storage().nbytes() for place, t in kept.items() if place not in own]
    return sum(sizes), max([*sizes, _bytes(inputs.values()), _bytes(outputs.values())])


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
