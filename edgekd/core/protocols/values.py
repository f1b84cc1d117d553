"""What plug-ins take and give: batches, columns, signals, facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Split = Literal["train", "validation", "test"]
Batch: TypeAlias = "dict[str, Tensor]"
"""Model inputs by the names of the signature, and columns such as `labels` and `ids`."""
Arrays: TypeAlias = "Mapping[str, np.ndarray[Any, np.dtype[Any]]]"
Signals: TypeAlias = "Mapping[str, Tensor]"
"""What a plug-in asked for of some examples, by the names of `core.signals`."""
Facts: TypeAlias = Mapping[str, Any]
"""What a stage found out, as JSON values and `Quantity`s. `says` is a phrase about the result
for people ('ResNet-9, 117 k parameters'), `result` the one number that matters."""
