"""Writing a split's columns to disk, batch by batch, as the runners read them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def write_columns(folder: Path, batches: Iterable[Mapping[str, Array]], size: int) -> None:
    """Write one .npy per column with `size` rows, taken from the batches in order.

    Only one batch is in memory at a time. ValueError where the batches hold fewer rows.
    """
    files: dict[str, Any] = {}
    done = 0
    for batch in batches:
        rows = min(len(next(iter(batch.values()))), size - done)
        for name, array in batch.items():
            if name not in files:
                files[name] = np.lib.format.open_memmap(
                    folder / f"{name}.npy", "w+", array.dtype, (size, *array.shape[1:])
                )
            files[name][done : done + rows] = array[:rows]
        done += rows
        if done == size:
            break
    for file in files.values():
        file.flush()
    if done < size:
        raise ValueError(f"{size} rows were expected, {done} came")
