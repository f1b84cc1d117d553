"""Programs under load: many samples a second, and minutes without a pause."""

from edgekd.core.results import Rate, Window
from edgekd.report.schema.document import Document


class Throughput(Document):
    """How many samples a second a program answers on a target."""

    program: str
    target: str
    rates: list[Rate]


class LongRun(Document):
    """A program that ran for minutes without a pause on a target."""

    program: str
    target: str
    seconds: float
    windows: list[Window]
    p90_first_ms: float
    """Median over the windows of the first tenth of the time."""
    p90_last_ms: float
    """The same of the last tenth."""
    throttled_after_s: float | None
    """When the device slowed itself: None where it was not seen to, or nothing can be read."""
    seen_by: str
    """What told of it: the kernel's counter or the clock; empty where nothing did."""
    readable: list[str]
    """Of `temperature`, `frequency`."""
    slower_after_s: float | None
    """From when on runs were slower by a tenth than in the beginning, whatever the reason."""
