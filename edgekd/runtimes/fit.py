"""Whether a program that somebody else made takes and gives what a task says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgekd.core.signature import Port, Signature

CHANNELS_FIRST = (0, 3, 1, 2)
"""Axes of [batch, height, width, channels] in the order of [batch, channels, height, width]."""
Found = Mapping[str, Any]
"""A port as the runners describe it; one without a name is known by its place."""


def fit(signature: Signature, described: Mapping[str, Any]) -> Signature:
    """Return the task's signature with the batch that the program fixes, if it does.

    ValueError says what the program takes or gives instead. Dimensions that vary in the program
    take any size; a name may differ where there is nothing to confuse it with.
    """
    inputs = _paired("takes", signature.inputs, described["inputs"], more=False)
    outputs = _paired("gives", signature.outputs, described["outputs"], more=True)
    for verb, pairs in (("takes", inputs), ("gives", outputs)):
        for port, found in pairs:
            if not _fits(port, found):
                raise ValueError(f"it {verb} {_shown(found)}, where the task says {_said(port)}")
    fixed = {n for port, found in inputs if isinstance(n := _leading(port, found), int)}
    if len(fixed) > 1:
        sizes = " and ".join(map(str, sorted(fixed)))
        raise ValueError(f"it takes {sizes} examples of different inputs at a time")
    batch = fixed.pop() if fixed else None
    return Signature(
        tuple(_with_batch(port, batch) for port, _ in inputs),
        tuple(_with_batch(port, batch) for port, _ in outputs),
        signature.state,
        signature.most,
    )


def has_channels_last(signature: Signature, described: Mapping[str, Any]) -> bool:
    """Tell whether a program would fit if it took the axes of pictures in the task's order."""
    turned = [
        {**found, "shape": [found["shape"][axis] for axis in CHANNELS_FIRST]}
        if len(found["shape"]) == len(CHANNELS_FIRST)
        else found
        for found in described["inputs"]
    ]
    try:
        fit(signature, {**described, "inputs": turned})
    except ValueError:
        return False
    return True


def _paired(
    verb: str, ports: Sequence[Port], found: Sequence[Found], *, more: bool
) -> list[tuple[Port, Found]]:
    """Return each port of the task with the program's: by name, by place, or the only one."""
    named = {each["name"]: each for each in found}
    wanted = {port.name for port in ports}
    by_name = wanted <= {*named} if more else wanted == {*named}
    if by_name and len(named) == len(found):
        return [(port, named[port.name]) for port in ports]
    nameless = not any(each["name"] for each in found)
    if len(ports) == len(found) and (nameless or len(ports) == 1):
        return list(zip(ports, found, strict=True))
    has = ", ".join(map(_shown, found)) or "nothing"
    raise ValueError(f"it {verb} {has}, where the task says {', '.join(map(_said, ports))}")


def _fits(port: Port, found: Found) -> bool:
    return (
        found["dtype"] == port.dtype
        and len(found["shape"]) == len(port.shape)
        and all(_sizes_fit(port, found))
    )


def _sizes_fit(port: Port, found: Found) -> Iterator[bool]:
    for index, (said, has) in enumerate(zip(port.shape, found["shape"], strict=True)):
        if not isinstance(has, int):
            yield True
        else:
            yield said == has or (index == 0 and isinstance(said, str) and has > 0)


def _leading(port: Port, found: Found) -> int | str | None:
    """Return the program's number of examples a call, where the task lets that vary."""
    varies = port.shape and isinstance(port.shape[0], str)
    leading: int | str | None = found["shape"][0] if varies else None
    return leading


def _with_batch(port: Port, batch: int | None) -> Port:
    if batch is None or not port.shape or not isinstance(port.shape[0], str):
        return port
    return replace(port, shape=(batch, *port.shape[1:]))


def _shown(found: Found) -> str:
    sizes = ", ".join("?" if size is None else f"{size!r}".strip("'") for size in found["shape"])
    name = f"{found['name']!r} " if found["name"] else ""
    return f"{name}{found['dtype']} [{sizes}]"


def _said(port: Port) -> str:
    return _shown({"name": port.name, "dtype": port.dtype, "shape": port.shape})
