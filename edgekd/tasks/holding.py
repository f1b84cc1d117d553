"""Whether data fits in memory, beside all else that a training needs there."""

import psutil

from edgekd.core.limits import memory_limit

SHARE = 0.5
"""Of the memory that this process may have at all; the rest is for models and other programs."""
OF_FREE = 0.8
"""Of what nobody uses now."""


def fits(size: int) -> bool:
    """Tell whether so many bytes may be held."""
    memory, limit = psutil.virtual_memory(), memory_limit()
    total, free = memory.total, memory.available
    if limit is not None:
        total, free = min(total, limit.limit), min(free, limit.limit - limit.used)
    return bool(size <= min(SHARE * total, OF_FREE * free))
