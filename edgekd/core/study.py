"""What a part that learns by something else than the loss (`Learns`) is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.core.protocols.values import Batch


@runtime_checkable
class Study(Protocol):
    """A step of the training that is over.

    Every network is in eval mode meanwhile: averages of batch norms stay, dropout is off. Batches
    are those of all processes, so that each of them learns the same; of a batch that was computed
    in parts (`train.accumulate`) it is the last part.
    """

    step: int
    """How many are over; this is the last of them."""
    rate: float
    """The learning rate of that step."""

    @property
    def batch(self) -> Batch:
        """The examples as the student saw them."""

    @property
    def plain(self) -> Batch:
        """The same examples before any augmentation."""

    @property
    def draws(self) -> Any:
        """Chance of these examples in this step: `ops.draws.Draws`."""

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """What learns of the student, by name, the last layer last; without a graph."""

    def student(
        self, batch: Batch, parameters: Mapping[str, Tensor] | None = None
    ) -> Mapping[str, Tensor]:
        """Return the student's outputs by name, float32, with other parameters where given.

        Gradients go to inputs and to the parameters that are given.
        """

    def teacher(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the teacher's outputs by name, float32; gradients go to inputs.

        Of an objective it is the one that it listens to, of an augmentation the first. Where the
        teacher's outputs are kept it knows `batch` alone, and there is no gradient.
        """

    def held_out(self) -> Batch:
        """Return labelled training examples that nothing else learns from, drawn by chance.

        For plug-ins that register `held_out=True`; as many as a batch has, if there are so many.
        """

    def learn(self, loss: Tensor) -> None:
        """Move the part's own parameters by its own optimizer; no other gradient is touched.

        StageError where the loss is not finite.
        """

    def note(self, **numbers: Tensor) -> None:
        """Have numbers stand in the history beside the part's loss, as means over the epoch."""
