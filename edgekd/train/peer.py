"""A teacher that learns while it teaches."""

from collections.abc import Sequence

from torch import Tensor, nn

from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature
from edgekd.ops.named import call_by_name
from edgekd.train.across import Prepared, as_it_is
from edgekd.train.masked import seeing
from edgekd.train.taps import tapped
from edgekd.train.teaching import Said, in_float32


class Peer(nn.Module):
    """A teacher in train mode, whose words carry a gradient.

    Only a term that says so (`@objective(..., teacher_learns=...)`) gets them with it; what the
    teacher learns from is up to that term. It is trained like the student and then dropped.
    """

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        taps: Sequence[str],
        prepared: Prepared = as_it_is,
    ):
        super().__init__()
        self.network, self.signature, self.taps = network, signature, taps
        self.prepared = prepared

    def forward(self, batch: Batch, view: int) -> Said:  # noqa: ARG002
        """Return what it says of a batch now, in float32."""
        with seeing(self.network, batch), tapped(self.network, self.taps) as features:
            outputs = call_by_name(self.network, self.signature, self.prepared(batch))
        return Said(in_float32(outputs), in_float32(features))

    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """Return its outputs in float32, through which gradients go to the inputs."""
        return in_float32(call_by_name(self.network, self.signature, self.prepared(batch)))
