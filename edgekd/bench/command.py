"""The command that asks for a benchmark once more."""

import shlex
from collections.abc import Iterator

from edgekd.bench.asked import Asked


def command(asked: Asked) -> str:
    """Return the command line; a shell reads it back as the same request."""
    return shlex.join(["edgekd", "bench", str(asked.model), *_options(asked)])


def _options(asked: Asked) -> Iterator[str]:
    for target in asked.targets:
        yield from ("--target", target)
    for name, shape in asked.shapes.items():
        yield from ("--shape", f"{name}={'x'.join(map(str, shape))}")
    for name, size in asked.dims.items():
        yield from ("--dim", f"{name}={size}")
    for name, (low, high) in asked.values.items():
        text = f"{low:.17g}" if low == high else f"{low:.17g}..{high:.17g}"
        yield from ("--values", f"{name}={text}")
    for name, limit in asked.gates.items():
        yield from ("--gate", f"{name}{limit}")
    single: dict[str, object] = {"against": asked.against, "data": asked.data, "mode": asked.mode}
    single |= {"threads": asked.threads, "graph-level": asked.graph_level}
    single |= {"seed": asked.seed or None, "sustained": asked.sustained_s}
    for name, value in single.items():
        if value is not None:
            yield from (f"--{name}", str(value))
    yield from ("--throughput",) * bool(asked.throughput)
    yield from {None: (), True: ("--profile",), False: ("--no-profile",)}[asked.profile]
