"""What a model or program takes and gives: named tensors of any type, and state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DType = Literal["float32", "float16", "int64", "int32", "uint8", "bool"]


@dataclass(frozen=True)
class Port:
    """One named tensor; a dimension is a number, or a name where it may vary (`batch`)."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]

    def concrete(self, **sizes: int) -> tuple[int, ...]:
        """Return the shape with every named dimension replaced, by 1 where nothing is said."""
        return tuple(d if isinstance(d, int) else sizes.get(d, 1) for d in self.shape)


@dataclass(frozen=True)
class Signature:
    """The inputs in the order of `forward`'s parameters, the outputs in the order returned.

    `state` names pairs (output, input) that a caller feeds back from one call to the next, such
    as a key-value cache; a program without state has none.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    state: tuple[tuple[str, str], ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "inputs": [vars(port) | {"shape": list(port.shape)} for port in self.inputs],
            "outputs": [vars(port) | {"shape": list(port.shape)} for port in self.outputs],
            "state": [list(pair) for pair in self.state],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Signature":
        """Return the signature that `as_dict` described."""

        def ports(key: str) -> tuple[Port, ...]:
            return tuple(Port(p["name"], p["dtype"], tuple(p["shape"])) for p in data[key])

        state = tuple((out, into) for out, into in data.get("state", ()))
        return Signature(ports("inputs"), ports("outputs"), state)
