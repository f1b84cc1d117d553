"""What a task must do.

A task may also have `check()`, which yields problems before anything is read; `audit()`, which
reads all splits, raises RequestError where they are no use and returns what is likely a mistake in
them; `labels`, names of the classes, which are asked before an example is read; `columns`, what its
batches carry besides a model's inputs, by the names of signals (without it: `labels` and `ids`);
`expected_size(split)` and `expected_bytes()`, None where not told; `companions()`, files that must
travel with an artifact, as a tokenizer: their content by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgekd.core.protocols.values import Batch, Facts, Split
from edgekd.core.signature import Signature

if TYPE_CHECKING:
    import torch


@runtime_checkable
class Task(Protocol):
    """What a batch is and what counts as quality."""

    quality: Sequence[str]
    """Measures that score a model; the first is what training selects by. Where that one compares
    with a teacher, as `agreement` does, models are scored against what they were made from, and
    none can be trained."""

    def signature(self) -> Signature:
        """Return what a model of this task takes and gives."""

    def files(self) -> Sequence[Path]:
        """Return every file or folder that the task's data is read from."""

    def facts(self) -> Facts:
        """Return what must travel with an artifact: `labels` and `preprocessing`."""

    def size(self, split: Split) -> int:
        """Return the number of examples."""

    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        device: torch.device,
        rng: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> Iterator[Batch]:
        """Yield the split once, shuffled where `rng` is given, the last batch maybe smaller.

        A batch has the signature's inputs, `labels` and `ids`. Outputs of a model are signals by
        their name in the signature: `logits` becomes `student_logits`.

        `part` is (which, of how many), for processes that train together: order and bounds of the
        batches and what is drawn of `rng` are those of the whole, but of each batch only that one
        of so many parts is read and given. The parts follow one another in the batch, their sizes
        differ by at most one, the first are the larger; a batch with fewer examples than parts is
        given whole to each. Batches before number `start` are not read at all, for a training that
        goes on in the middle of a pass. `ops.batches.batch_ids` does all this to the ids. No chance
        is drawn but that of `rng`.

        A task may take `among`, int64 ids: the pass has as many batches as ever, of these examples
        alone, all of them before any comes again. Without it `train.select` is refused.
        """
