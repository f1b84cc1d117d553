"""Graphs that this process has traced: the same model often becomes several programs.

An int8 program and its fp32 reference, or all candidates of a choice, begin with the same graph,
and tracing takes most of an export. A model is known by its content, to the last bit.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MethodType
from typing import Any

import torch
from torch import Tensor

MOST_BYTES = 2**27
"""Of all graphs together; the eldest go first, and what is larger by itself is traced again."""
Traced = tuple[Any, dict[str, str]]
"""The graph, and by whom where that is not PyTorch's exporter."""


@dataclass
class TracedGraphs:
    """Serialized graphs by the content of what they were traced from, the latest last."""

    _kept: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)

    def get(self, content: tuple[object, ...], trace: Callable[[], Traced]) -> Traced:
        """Return a copy of the graph that `trace` gives for this content, which is all it reads.

        Content that cannot be told apart, as a model with hooks of its own, is traced each time.
        """
        key = digest_of(content)
        if key in self._kept:
            graph, way = self._kept[key] = self._kept.pop(key)
            return _parsed(graph), way
        traced, way = trace()
        if key and traced.ByteSize() <= MOST_BYTES:
            self._keep(key, traced.SerializeToString(), way)
        return traced, way

    def _keep(self, key: str, graph: bytes, way: dict[str, str]) -> None:
        self._kept[key] = graph, way
        while sum(len(each) for each, _ in self._kept.values()) > MOST_BYTES:
            self._kept.pop(next(iter(self._kept)))


def _parsed(graph: bytes) -> Any:
    import onnx

    return onnx.load_model_from_string(graph)


def digest_of(content: tuple[object, ...]) -> str:
    """Return a digest of objects with all that they hold; empty where they cannot be written."""
    pages = _Pages()
    try:
        _Contents(pages).dump(content)
    except Exception:  # what a module holds may raise anything when it is written
        return ""
    return pages.digest.hexdigest()


class _Pages:
    """A file of which the digest is kept alone."""

    def __init__(self) -> None:
        self.digest = blake2b(digest_size=32)

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)


class _Contents(pickle.Pickler):
    """Writes objects, and of tensors what they hold and which of them share it."""

    def __init__(self, pages: _Pages):
        super().__init__(pages, protocol=5)
        self._places: dict[int, int] = {}

    def persistent_id(self, thing: object) -> str | None:
        """Return what a tensor is known by, and let all else be written as it is.

        PicklingError of a method that its class does not have: it would be written by its name.
        """
        if isinstance(thing, MethodType):
            own = getattr(type(thing.__self__), thing.__name__, None)
            if own is not thing.__func__:
                raise pickle.PicklingError(thing.__name__)
        if not isinstance(thing, Tensor):
            return None
        place = thing.untyped_storage().data_ptr()
        number = self._places.setdefault(place, len(self._places))
        values = thing.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        about = (type(thing).__name__, thing.dtype, thing.device, thing.requires_grad, number)
        lies = (tuple(thing.shape), thing.stride(), thing.storage_offset())
        return f"{about} {lies} {blake2b(values, digest_size=32).hexdigest()}"
