"""Inputs of examples in files, for the process that rewrites a program."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from edgekd.core.errors import StageError
from edgekd.core.protocols.values import Batch
from edgekd.core.signature import Signature
from edgekd.ops.named import at_rest


def write_batches(drawn: Sequence[Batch], signature: Signature, folder: Path) -> None:
    """Write one .npz per batch into a new folder, state at rest.

    StageError where the program takes more examples at a time than there are.
    """
    folder.mkdir()
    for index, batch in enumerate(_fitting(drawn, signature)):
        complete = at_rest(signature, batch)
        arrays = {port.name: complete[port.name].numpy() for port in signature.inputs}
        np.savez(folder / f"{index:06}.npz", **arrays)  # type: ignore[arg-type]


def _fitting(drawn: Sequence[Batch], signature: Signature) -> Iterator[Batch]:
    """Yield batches of as many examples as the program takes, where it fixes that."""
    fed_back = {into for _, into in signature.state}
    names = [port.name for port in signature.inputs if port.name not in fed_back]
    fixed = next((n for n in signature.inputs[0].shape[:1] if isinstance(n, int)), None)
    if fixed is None:
        yield from ({name: batch[name] for name in names} for batch in drawn)
        return
    columns = {name: torch.cat([batch[name] for batch in drawn]) for name in names}
    whole = len(columns[names[0]]) // fixed
    if not whole:
        raise StageError(
            f"the program takes {fixed} examples at a time, and there are fewer to calibrate with.",
            "Give it with a batch that varies, or raise examples of the transform.",
        )
    for index in range(whole):
        rows = slice(index * fixed, (index + 1) * fixed)
        yield {name: column[rows] for name, column in columns.items()}
