"""How many times smaller the program is than the reference."""

from collections.abc import Mapping

from edgekd.core.config import Config
from edgekd.core.kinds import measure
from edgekd.core.quantity import Quantity


class SizeRatio(Config):
    """Has no options."""


@measure(config=SizeRatio, unit="x", better="higher", bounds=(0.0, None))
def size_ratio(
    _config: SizeRatio, *, size_bytes: int, reference_size_bytes: int
) -> Mapping[str, Quantity]:
    """Return the reference's size over the program's; it is exact."""
    return {"size_ratio": Quantity(reference_size_bytes / size_bytes, "x")}
