"""What parts of a training keep from step to step: read for a checkpoint, and given back."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Remembers(Protocol):
    """A part that keeps state from step to step."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return all of it, in numbers, texts, tensors and arrays, however nested."""

    def load_state_dict(self, state: Any) -> Any:
        """Go on from what `state_dict` returned."""


def state_of(part: Remembers) -> dict[str, Any]:
    """Return a part's state; of a module also the buffers that it keeps out of its own."""
    own = part.state_dict()
    extra = dict(part.named_buffers()) if isinstance(part, nn.Module) else {}
    return {"own": own, "extra": {name: b for name, b in extra.items() if name not in own}}


def restore(part: Remembers, state: Mapping[str, Any]) -> None:
    """Give a part back what `state_of` returned."""
    part.load_state_dict(state["own"])
    if isinstance(part, nn.Module):
        buffers = dict(part.named_buffers())
        for name, tensor in state["extra"].items():
            buffers[name].copy_(tensor)
