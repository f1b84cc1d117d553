"""Nested state as named tensors and one JSON text, and back: exactly, and without any pickle."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Packed = tuple[str, dict[str, Tensor]]
"""The JSON text, and the tensors that it names."""


def pack(state: object) -> Packed:
    """Return nested dicts, lists, tuples, numbers, texts, tensors and arrays as text and tensors.

    No tensor of the CPU is copied where it is dense, whatever the order of its dimensions, and
    shares its memory with no other. TypeError names the place of anything else.
    """
    packer = _Packer()
    return json.dumps(packer.pack(state, "state")), packer.tensors


def unpack(text: str, tensors: Mapping[str, Tensor]) -> Any:
    """Return what was packed: same types, values, order of dimensions and device, as a copy."""
    return _unpack(json.loads(text), tensors)


class _Packer:
    """Gathers tensors by a number while it walks through the state."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._places: set[int] = set()

    def pack(self, value: object, where: str) -> object:
        """Return the value in JSON; every container is a mapping from its type to its content."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, Mapping):
            return {"dict": [[self.pack(k, where), self.pack(v, f"{where}[{k!r}]")]
                             for k, v in value.items()]}  # fmt: skip
        if isinstance(value, list | tuple):
            content = [self.pack(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": content}
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray | np.generic):
            number = isinstance(value, np.generic)
            packed = self._tensor(torch.from_numpy(np.array(value)))
            return {"number" if number else "array": packed}
        raise TypeError(f"{where} is a {type(value).__name__}")

    def _tensor(self, tensor: Tensor) -> object:
        own = tensor.detach().cpu()
        order = sorted(range(own.ndim), key=own.stride, reverse=True)
        dense = own.permute(order).contiguous()
        place = dense.untyped_storage().data_ptr()
        name = str(len(self.tensors))
        self.tensors[name] = dense.clone() if place in self._places else dense
        self._places.add(place)
        # of several GPUs it was the one of the process that wrote it
        return {"tensor": name, "order": order, "device": tensor.device.type}


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        back = [value["order"].index(dim) for dim in range(len(value["order"]))]
        return tensors[value["tensor"]].permute(back).clone().to(value["device"])
    ((kind, content),) = value.items()
    if kind == "dict":
        return {_unpack(k, tensors): _unpack(v, tensors) for k, v in content}
    return _FROM[kind](_unpack(content, tensors) if kind in _ONE else
                       [_unpack(item, tensors) for item in content])  # fmt: skip


_ONE = ("array", "number")
_FROM: Mapping[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "array": lambda tensor: tensor.numpy(),
    "number": lambda tensor: tensor.numpy()[()],
}
