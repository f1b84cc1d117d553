"""Where tensors are computed."""

import torch


def pick_device(wanted: str, processes: int = 1) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`.

    ValueError where there is no GPU for each of the processes that share this machine.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ValueError("there is no GPU that torch can use")
    if wanted != "cpu" and available and torch.cuda.device_count() < processes:
        count = torch.cuda.device_count()
        raise ValueError(f"{processes} processes need a GPU each; torch can use {count}")
    return "cuda" if wanted != "cpu" and available else "cpu"


def use_threads(count: int) -> None:
    """Compute with that many processor threads."""
    torch.set_num_threads(count)


def precision(device: str) -> str:
    """Return what numbers a device multiplies in: a GPU rounds those of convolutions by default."""
    rounded = device == "cuda" and torch.backends.cudnn.allow_tf32
    return "tf32" if rounded else "float32"


def free_bytes(device: str) -> int | None:
    """Return the memory of a GPU that this process has or can have; None on a processor."""
    if device != "cuda":
        return None
    free: int = torch.cuda.mem_get_info()[0]
    return free + torch.cuda.memory_reserved()
