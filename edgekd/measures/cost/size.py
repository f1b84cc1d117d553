"""How many bytes a program's files take."""

from collections.abc import Mapping

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.quantity import Quantity


class Size(Config):
    """Has no options."""


@measure(config=Size, unit="MiB", better="lower", bounds=(0.0, None), gates=("size_mib",))
def size(_config: Size, *, size_bytes: int) -> Mapping[str, Quantity]:
    """Return the size in MiB; it is exact."""
    return {"size_mib": Quantity(size_bytes / 2**20, "MiB")}
