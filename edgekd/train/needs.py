"""What the stages need of a machine, from models that are not built and data that is not read.

Every estimate counts the libraries, the data set as it lies in memory, the weights as often as
the stage copies them, the samples that it holds as floats, and the tensors of a pass through the
model; the disk, the weights and whatever is written beside them. Other programs, what allocators
keep for later, and back-ends that hold more than one tensor per layer are not counted.
"""

from collections.abc import Sequence
from math import prod
from typing import Literal

from torch import nn

from edgekd.core.needs import ALONE, EXPORTERS_BYTES, LIBRARIES_BYTES, Hands, Needs
from edgekd.core.protocols.stage import Preview
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Split
from edgekd.core.refs import Ref, UseModel
from edgekd.core.signature import Signature
from edgekd.train.check import outline
from edgekd.train.estimate import IN_FLIGHT, activations, checkpoint_bytes, training_bytes
from edgekd.train.evaluate import BATCH
from edgekd.train.optim import Train
from edgekd.train.samples import BATCH as SAMPLES_BATCH

DESCRIPTION_BYTES = 2**16
"""Manifests, histories and descriptions."""
PROBE = 2
"""Examples that are passed through a model without memory; what they take grows with the batch."""
SAMPLES_BYTES = 2**20
"""Raw latencies of one program: up to some ten thousand numbers as text."""
FOUR_BYTES = 4
PRUNING_COPIES = 5
"""The dense model, the one that learns, what is tried on the way to a budget, and a gradient."""


def unbuilt(source: UseModel | Ref | None, preview: Preview) -> nn.Module | None:
    """Return the model that a field names, without memory; None where it is not known yet.

    Pruning is not known yet either, so a pruned model counts as the one that it was cut from.
    """
    use = preview.model(source) if isinstance(source, Ref) else source
    task = preview.task_of(source) if isinstance(source, Ref) else preview.task
    try:
        return outline(use, task) if use else None
    except Exception:  # the user's own model may raise anything; its own stage's check tells
        return None


def training_needs(
    student: nn.Module | None,
    teachers: Sequence[nn.Module],
    task: Task,
    options: Train | None,
    hands: Hands = ALONE,
    *,
    peers: Sequence[nn.Module] = (),
) -> Needs | None:
    """Return what a training takes: its step and its checkpoints on top of data and libraries.

    Each of several processes takes its part of a batch, and all the rest for itself. Without
    options nothing is trained: the model is scored and written.
    """
    if options is None:
        lower = ("the width of the model",)
        return compression_needs(student, task, copies=2, examples=0, lower=lower)
    most = count(task, "train") or options.batch_size  # a batch is never larger than the split
    own = -(-min(options.batch_size, most) // hands.everywhere)
    options = options.model_copy(update={"batch_size": own})
    if student is None:
        return None
    learners = [student, *peers]
    step = training_bytes(learners, teachers, task.signature(), options)
    if step is None:
        return None
    return Needs(
        memory_bytes=hands.here * (LIBRARIES_BYTES + data_bytes(task) + step),
        disk_bytes=state_bytes(student) + checkpoint_bytes(learners, options) + DESCRIPTION_BYTES,
        device_bytes=step,
        lower=("train.batch_size", "the width of the model"),
        processes=hands.here,
    )


def pruning_bytes(model: nn.Module, task: Task, examples: int) -> int:
    """Return what pruning in steps holds beside a training: copies of the model, and examples."""
    return PRUNING_COPIES * state_bytes(model) + 2 * example_bytes(task.signature(), examples)


def compression_needs(
    model: nn.Module | None,
    task: Task,
    *,
    copies: int,
    examples: int,
    keeps: Literal["nothing", "batch", "everything"] = "nothing",
    lower: Sequence[str],
) -> Needs | None:
    """Return what changing or exporting a model takes: `copies` of it, examples, and scoring it.

    `keeps` says which outputs of layers are held: none but the newest, those of one batch for a
    backward pass, or those of all examples. The disk has the weights and the examples.
    """
    signature = task.signature()
    try:
        assert model is not None
        saved, largest = (size // PROBE for size in activations(model, signature, PROBE))
    except Exception:  # the user's own model may raise anything
        return None
    at_once = min(SAMPLES_BATCH, examples)
    held = {"nothing": 0, "batch": at_once, "everything": examples}[keeps]
    drawn, weights = example_bytes(signature, examples), state_bytes(model)
    return Needs(
        memory_bytes=LIBRARIES_BYTES
        + EXPORTERS_BYTES
        + data_bytes(task)
        + copies * weights
        + 2 * drawn  # as drawn, and as the model is given them
        + max(IN_FLIGHT * at_once * largest + held * saved, IN_FLIGHT * BATCH * largest),
        disk_bytes=weights + drawn + DESCRIPTION_BYTES,
        lower=lower,
    )


def measurement_needs(models: Sequence[nn.Module | None], task: Task, split: Split) -> Needs | None:
    """Return what measuring programs takes: their answers here, and a process that runs them.

    The examples lie on the disk meanwhile, as floats. A model that is not known counts nothing.
    """
    signature, examples = task.signature(), count(task, split)
    answers = examples * FOUR_BYTES
    for port in signature.outputs:
        answers += examples * FOUR_BYTES * prod(port.concrete(batch=1))
    weights = max((state_bytes(model) for model in models if model is not None), default=0)
    return Needs(
        memory_bytes=LIBRARIES_BYTES
        + EXPORTERS_BYTES  # what a process of a runtime holds is of this size too
        + data_bytes(task)
        + 2 * len(models) * answers
        + 2 * weights,
        disk_bytes=example_bytes(signature, examples)
        + len(models) * (answers + SAMPLES_BYTES)
        + DESCRIPTION_BYTES,
        lower=("the size of the test split",),
    )


def data_bytes(task: Task) -> int:
    """Return what the data takes in memory; 0 where its source cannot tell before it is read."""
    expected = getattr(task, "expected_bytes", None)
    return int((expected() if expected else None) or 0)


def count(task: Task, split: Split) -> int:
    """Return the examples of a split; 0 where its source cannot tell before they are read."""
    told = getattr(task, "expected_size", None)
    return int((told(split) if told else None) or 0)


def state_bytes(model: nn.Module) -> int:
    """Return the bytes of a model's weights and buffers."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def example_bytes(signature: Signature, examples: int) -> int:
    """Return the bytes of examples as a model takes them, four per number."""
    numbers = sum(prod(port.concrete(**signature.sizes(1))) for port in signature.inputs)
    return numbers * FOUR_BYTES * examples
