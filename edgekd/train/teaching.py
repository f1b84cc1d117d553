"""What a teacher says of a batch: computed now, or kept from when it saw the same examples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from edgekd.core.errors import StageError
from edgekd.core.protocols.task import Task
from edgekd.core.protocols.values import Batch
from edgekd.core.refs import UseAugment, as_read, as_written
from edgekd.core.seeds import sub_seed
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.ops.top_k import TopK, expand, top_k
from edgekd.parallel.sharding import sharded
from edgekd.train.across import Prepared, as_it_is
from edgekd.train.chance import no_chance_drawn
from edgekd.train.folding import folded
from edgekd.train.masked import seeing
from edgekd.train.precision import TRIED, Precision, Wanted, decide_for_teacher
from edgekd.train.row_layout import Columns
from edgekd.train.shards import Shards
from edgekd.train.taps import tapped
from edgekd.train.views import channels_last

DESCRIPTION = "outputs.json"
TRIAL_BATCH = 64
SCORES = "logits"
"""The output that is kept as log-probabilities; any other is kept as it is."""


@dataclass(frozen=True)
class Said:
    """What a teacher gave for a batch, on the device of the batch; only a peer's has a gradient."""

    outputs: Mapping[str, Tensor]
    """By the names of its signature."""
    features: Mapping[str, Tensor]
    """What tapped modules gave, by path."""

    def fixed(self) -> "Said":
        """Return it without a gradient."""
        return Said(_detached(self.outputs), _detached(self.features))


@runtime_checkable
class Teaching(Protocol):
    """Whoever says what a teacher thinks of a batch."""

    def __call__(self, batch: Batch, view: int) -> Said:
        """Return what the teacher says of this view of the examples."""


class Online:
    """A teacher that looks at every batch itself, in eval mode.

    With `shard` each of several processes holds a part of it: all must ask it equally often.
    Without `answers` only what is tapped is asked of it, and it stops where it has said that.
    """

    def __init__(
        self,
        module: nn.Module,
        signature: Signature,
        taps: Sequence[str],
        task: Task,
        device: torch.device,
        wanted: Wanted = "float32",
        *,
        shard: bool = False,
        answers: bool = True,
        prepared: Prepared = as_it_is,
    ):
        self.prepared = prepared
        module.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.module, self.signature, self.taps, self.device = module, signature, taps, device
        with no_chance_drawn(device):
            rng = torch.Generator().manual_seed(sub_seed(0, "precision"))
            batches = islice(task.batches("train", TRIAL_BATCH, device=device, rng=rng), TRIED)
            first = next(batches)
            self._fold(first)
            self.stops = not (answers or shard) and self._has_said_all(first)
            self.precision = decide_for_teacher(
                wanted, lambda batch, how: self._say(batch, how).outputs, batches, device
            )
        if shard:
            self.module = sharded(self.module, device.type)

    def __call__(self, batch: Batch, view: int) -> Said:  # noqa: ARG002
        """Return what the teacher says of a batch now."""
        return self._say(batch, self.precision, stop=self.stops)

    def _has_said_all(self, batch: Batch) -> bool:
        """Tell whether nothing that is tapped says something else later in the same pass.

        So it does where a network uses a module twice.
        """
        full = Precision(False, "")
        whole, stopped = (self._say(batch, full, stop=stop).features for stop in (False, True))
        return all(torch.equal(stopped[path], value) for path, value in whole.items())

    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """Return its outputs in float32, through which gradients go to the inputs."""
        shown = channels_last(self.prepared(batch))
        return in_float32(call_by_name(self.module, self.signature, shown))

    def _fold(self, batch: Batch) -> None:
        """Fold the batch norms in, unless the teacher then says something else.

        So it is where its `forward` uses a module of a sequence in another place, too.
        """
        full = Precision(False, "")
        before = self._say(batch, full).outputs
        plain, self.module = self.module, folded(self.module, self.taps)
        after = self._say(batch, full).outputs
        if not all(after[n].allclose(v, rtol=1e-3, atol=1e-3) for n, v in before.items()):
            self.module = plain

    def _say(self, batch: Batch, precision: Precision, *, stop: bool = False) -> Said:
        outputs: dict[str, Tensor] = {}
        with (
            torch.inference_mode(),
            precision.autocast(self.device),
            seeing(self.module, batch),
            tapped(self.module, self.taps, stop=stop) as features,
        ):
            shown = channels_last(self.prepared(batch))
            outputs = call_by_name(self.module, self.signature, shown)
        # what inference mode gave may not be part of a gradient's graph; a copy may
        return Said(_copies(outputs), _copies(features))


@runtime_checkable
class Answers(Protocol):
    """Who teaches by a network that is there."""

    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """Return its outputs in float32, through which gradients go to the inputs."""


@dataclass(frozen=True)
class Description:
    """What kept outputs are of."""

    examples: int
    """Of the training split; view v of example i is row v * examples + i."""
    views: int
    seed: int
    """Of what the views were drawn with."""
    augment: Sequence[Mapping[str, Any]]
    """What changed the examples before the teacher saw them, in the form of the file."""
    classes: int | None
    """Of the scores; None where the teacher gives none."""
    top: int | None
    """How many classes were kept; None for all."""
    outputs: Sequence[str]
    taps: Sequence[str]

    @property
    def rows(self) -> int:
        """The number of views of all examples."""
        return self.examples * self.views

    def write(self, folder: Path) -> None:
        """Write it to the folder of the outputs."""
        (folder / DESCRIPTION).write_text(json.dumps(vars(self), indent=1) + "\n", "utf-8")

    @staticmethod
    def read(folder: Path) -> "Description":
        """Return what a folder of outputs holds."""
        return Description(**json.loads((folder / DESCRIPTION).read_text("utf-8")))

    def changes(self) -> tuple[UseAugment, ...]:
        """Return the augmentations of the views."""
        return tuple(UseAugment.model_validate(as_read(use)) for use in self.augment)


class Kept:
    """A teacher's outputs on disk."""

    def __init__(self, folder: Path, device: torch.device):
        self.about, self.shards = Description.read(folder), Shards(folder, device)
        self.device = device

    def __call__(self, batch: Batch, view: int) -> Said:
        """Return what was kept of a view of the examples; its number is taken modulo the views."""
        rows = batch["ids"] + (view % self.about.views) * self.about.examples
        columns = {name: c.to(self.device) for name, c in self.shards.take(rows).items()}
        return Said(
            {name: self._output(name, columns) for name in self.about.outputs},
            {path: columns[f"tap:{path}"].float() for path in self.about.taps},
        )

    def check(self, augment: Sequence[UseAugment], examples: int, taps: Sequence[str]) -> None:
        """Raise StageError where a training would see other examples, or needs other features."""
        about, wanted = self.about, [as_written(use) for use in augment]
        if about.examples != examples:
            raise StageError(
                f"the kept outputs are of {about.examples:,} examples, the task has {examples:,}.",
                "Keep the outputs for this task: name the teacher's stage.",
            )
        if list(about.augment) != wanted:
            raise StageError(
                "the kept outputs are of pictures that were changed in another way.",
                f"Write train.augment: {json.dumps(list(about.augment))}, or name the teacher's "
                "stage.",
            )
        if absent := [path for path in taps if path not in about.taps]:
            raise StageError(
                f"nothing was kept of the teacher's module '{absent[0]}'.",
                f"Add it to taps: of the stage that keeps the outputs, beside {list(about.taps)}.",
            )

    def _output(self, name: str, columns: Columns) -> Tensor:
        if name != SCORES:
            return columns[f"out:{name}"].float()
        if self.about.top is None:
            return columns["log_probs"].float() + columns["log_sum_exp"][..., None]
        assert self.about.classes is not None
        return expand(TopK(*(columns[field] for field in TopK._fields)), self.about.classes)


def columns_of(said: Said, top: int | None) -> dict[str, Tensor]:
    """Return what is written of a teacher's words: float16, unless that cannot hold a number."""
    columns = {f"tap:{path}": _halved(value) for path, value in said.features.items()}
    for name, value in said.outputs.items():
        if name != SCORES:
            columns[f"out:{name}"] = _halved(value)
        elif top is None:
            total = value.float().logsumexp(-1)
            columns["log_probs"] = _halved(value.float() - total[..., None])
            columns["log_sum_exp"] = total
        else:
            kept = top_k(value.float(), top)
            columns |= {"log_probs": _halved(kept.log_probs), "indices": kept.indices}
            columns |= {"log_sum_exp": kept.log_sum_exp, "log_rest": kept.log_rest.half()}
    return columns


def _halved(value: Tensor) -> Tensor:
    half = value.half()
    return half if half.isfinite().all() or not value.isfinite().all() else value.float()


def in_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return them in float32, the same tensors where they are."""
    return {name: tensor.float() for name, tensor in tensors.items()}


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 copies."""
    return {name: t.to(torch.float32, copy=True) for name, t in tensors.items()}
