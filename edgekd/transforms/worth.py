"""What pruning is worth: a model before and after, told in numbers and in words."""

from typing import Any

from torch import nn

from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature
from edgekd.ops.cost import cost
from edgekd.transforms.budget import MIB
from edgekd.transforms.masks import compressed_bytes, zeros


def size_only(dense: nn.Module, sparse: nn.Module) -> dict[str, Any]:
    """Return what masks are worth, and what they are not."""
    before, after = compressed_bytes(dense), compressed_bytes(sparse)
    return {
        "says": f"{zeros(sparse):.1%} of the weights are zero: {after / MIB:.3g} of "
        f"{before / MIB:.3g} MiB when compressed, no smaller as they are, and no faster",
        "zeros": zeros(sparse),
        "compressed_bytes": after,
        "compressed_bytes_before": before,
    }


def smaller(
    dense: nn.Module, sparse: nn.Module, signature: Signature, batch: Batch
) -> dict[str, Any]:
    """Return parameters and work before and after."""
    before, after = (cost(model, signature, batch) for model in (dense, sparse))
    return {
        "says": f"{after.parameters:,} of {before.parameters:,} parameters stay, "
        f"{after.macs:,} of {before.macs:,} MACs",
        "parameters": after.parameters,
        "parameters_before": before.parameters,
        "macs": after.macs,
        "macs_before": before.macs,
    }
