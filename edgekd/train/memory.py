"""Memory that is used up, told as what it is and with what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError

from edgekd.core.errors import StageError

SIGNS = (
    "not enough memory",
    "DefaultCPUAllocator",
    "out of memory",
    "STATUS_ALLOC_FAILED",
    "Cannot allocate memory",
    "DataLoader worker (pid",  # one that reads ahead was ended: for its memory, or for /dev/shm
)


@contextmanager
def enough_memory(what: str, lower: str) -> Iterator[None]:
    """Turn an error for want of memory into a StageError that names `what` and what to `lower`."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError, SafetensorError) as error:
        if not is_memory(error):
            raise
        reason = (str(error).strip() or "no more could be had").splitlines()[0]
        raise StageError(f"{what} ran out of memory: {reason}", lower) from error


def is_memory(error: Exception) -> bool:
    """Tell whether memory ran out: on a CPU torch raises a plain RuntimeError."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(sign in str(error) for sign in SIGNS)
