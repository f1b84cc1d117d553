"""A number with its unit and its spread."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """A measured value; `low` and `high` bound its 95 % interval where it has one."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """How many independent observations it rests on."""

    def __str__(self) -> str:
        """Return `0.017 ms [0.016, 0.019]`: three significant digits, shares as percent."""
        factor, unit = (100.0, "%") if self.unit == "share" else (1.0, self.unit)
        if self.unit == "share_difference":
            factor, unit = 100.0, "pt"
        text = significant(self.value * factor)
        text += "x" if unit == "x" else f" {unit}" if unit else ""
        if self.low is None or self.high is None:
            return text
        return f"{text} [{significant(self.low * factor)}, {significant(self.high * factor)}]"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def significant(value: float, digits: int = 3) -> str:
    """Return `value` in plain decimal notation with that many significant digits."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if round(abs(value) / 10**magnitude, digits - 1) >= 10:  # 9.999 has the digits of 10.0
        magnitude += 1
    places = max(0, digits - 1 - magnitude)
    return f"{value:,.{min(places, 12)}f}"
