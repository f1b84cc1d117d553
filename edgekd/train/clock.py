"""Where the time of a training goes, and how much memory it took."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from edgekd.core.protocols.values import Batch

STEPS_BETWEEN = 50
"""On a GPU, where a look at the clock waits until all work before it is done."""
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"


class Clock:
    """Counts the seconds of each part of a step; on a GPU those of one step in fifty.

    The first step, in which kernels are chosen or compiled, is told apart from the others. Of
    `processes` that train together one counts for all.
    """

    def __init__(self, device: torch.device, processes: int = 1):
        self.device, self.processes = device, processes
        self.examples = 0
        self._parts: dict[str, float] = {}
        self._steps, self._stepping, self._last = 0, 0.0, 0.0
        self._first_s = 0.0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with suppress(OSError):  # without it the peak is that of the process
            CLEAR.write_text(RESET_PEAK)

    def steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches; what happens until the next is asked for is a step."""
        waiting = iter(batches)
        while True:
            began = self._last = self._now()
            batch = next(waiting, None)
            if batch is None:
                return
            self.mark("data")
            yield batch
            self._count(len(batch["ids"]) * self.processes, time.perf_counter() - began)

    def _count(self, examples: int, seconds: float) -> None:
        """Count a step that is over."""
        self._steps += 1
        if self._steps == 1:
            self._first_s, self._parts = seconds, {}
        else:
            self.examples += examples
            self._stepping += seconds

    def mark(self, part: str) -> None:
        """Count the time since the last mark for a part of the step."""
        if self._looks:
            now = self._now()
            self._parts[part] = self._parts.get(part, 0.0) + now - self._last
            self._last = now

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Forget what is marked meanwhile: it is no part of a step."""
        parts = dict(self._parts)
        yield
        self._parts = parts

    def facts(self) -> Mapping[str, object]:
        """Return examples per second, the share of each part, the first step and the peak."""
        spent = sum(self._parts.values())
        return {
            "processes": self.processes,
            "samples_per_s": round(self.per_second, 1),
            "time_shares": {part: round(s / spent, 4) for part, s in self._parts.items()},
            "first_step_s": round(self._first_s, 3),
            "peak_memory_mib": round(_peak_bytes(self.device) / 2**20, 1),
        }

    @property
    def per_second(self) -> float:
        """Examples per second so far; the first step, scoring and checkpoints do not count."""
        return self.examples / self._stepping if self._stepping else 0.0

    @property
    def _looks(self) -> bool:
        return self.device.type == "cpu" or self._steps % STEPS_BETWEEN == 0

    def _now(self) -> float:
        if self.device.type == "cuda" and self._looks:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _peak_bytes(device: torch.device) -> int:
    """Return the most memory that was held since a clock was made last."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    for line in STATUS.read_text("utf-8").splitlines() if STATUS.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
