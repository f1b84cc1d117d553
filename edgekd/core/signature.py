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
    values: int | None = None
    """Of integers that choose among so many, from 0; None where that is not known."""

    def concrete(self, **sizes: int) -> tuple[int, ...]:
        """Return the shape with every named dimension replaced, by 1 where nothing is said."""
        return tuple(d if isinstance(d, int) else sizes.get(d, 1) for d in self.shape)


@dataclass(frozen=True)
class Signature:
    """The inputs in the order of `forward`'s parameters, the outputs in the order returned.

    `state` names pairs (output, input) that a caller feeds back from one call to the next, such
    as a key-value cache; a program without state has none. `most` gives the largest size of named
    dimensions that have one, such as the length of a text.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    state: tuple[tuple[str, str], ...] = field(default=())
    most: tuple[tuple[str, int], ...] = field(default=())

    def sizes(self, batch: int) -> dict[str, int]:
        """Return sizes of the named dimensions for so many examples, each as large as it gets."""
        return {"batch": batch, **dict(self.most)}

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        most = {"most": dict(self.most)} if self.most else {}
        return {
            "inputs": [_described(port) for port in self.inputs],
            "outputs": [_described(port) for port in self.outputs],
            "state": [list(pair) for pair in self.state],
        } | most

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "Signature":
        """Return the signature that `as_dict` described."""

        def ports(key: str) -> tuple[Port, ...]:
            return tuple(Port(**p | {"shape": tuple(p["shape"])}) for p in data[key])

        state = tuple((out, into) for out, into in data.get("state", ()))
        most = tuple(data.get("most", {}).items())
        return Signature(ports("inputs"), ports("outputs"), state, most)


def _described(port: Port) -> dict[str, Any]:
    """Return a port as JSON values, without what is not known of it."""
    known = {name: value for name, value in vars(port).items() if value is not None}
    return known | {"shape": list(port.shape)}
