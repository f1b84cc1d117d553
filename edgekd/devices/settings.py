"""How much is measured: the presets, and what a target and a stage make of them."""

from dataclasses import dataclass, fields, replace
from typing import Any

from edgekd.devices.target import Bench

MOST_DRIFT = 0.1
BESIDE = ("profile", "sustained_s", "throughput", "batches", "streams")
LIMITS = ("timeout_s", "memory_mib", "scores_mib")
OF_THE_DEVICE = ("cool_down_s", "memory_mib", "scores_mib", "batches", "streams")


@dataclass(frozen=True)
class Settings:
    """Every value of `Bench`, decided; what each means is said there."""

    mode: str
    restarts: int
    max_restarts: int
    warmup_runs: int = 10
    warmup_s: float = 1.0
    min_runs: int = 50
    min_s: float = 1.0
    samples: int = 32
    tolerance: float = 0.05
    max_drift: float = MOST_DRIFT
    cool_down_s: float = 0.0
    timeout_s: float = 900.0
    memory_mib: int = 0
    scores_mib: int = 4096
    profile: bool = True
    sustained_s: float = 0.0
    throughput: bool = False
    batches: tuple[int, ...] = (1, 8, 32)
    streams: tuple[int, ...] = (1, 2)

    @property
    def of_a_process(self) -> dict[str, Any]:
        """What one process of a program is told; what else is taken beside it does not count."""
        return {name: value for name, value in vars(self).items() if name not in BESIDE}

    @property
    def warmup_limit_s(self) -> float:
        """Where warm-up ends even though windows still differ."""
        return 10 * self.warmup_s

    def departures(self) -> list[str]:
        """Return what is less than the rules of measuring ask for, in words."""
        rules = {"restarts": 5, "warmup_runs": 10, "warmup_s": 1.0}
        low = {name: least for name, least in rules.items() if getattr(self, name) < least}
        found = [
            f"{name} is {getattr(self, name):g}, below the {least:g} of a measurement for claims"
            for name, least in low.items()
        ]
        if self.max_drift > MOST_DRIFT:
            found.append(f"a drift of up to {self.max_drift:.0%} is let pass, not {MOST_DRIFT:.0%}")
        return found


PRESETS = {
    "quick": Settings(
        "quick", 3, 6, warmup_s=0.3, min_runs=25, min_s=0.3, max_drift=0.25, profile=False
    ),
    "standard": Settings("standard", 5, 15),
    "thorough": Settings("thorough", 10, 30, min_runs=200, min_s=5.0),
}


def settle(target: Bench, stage: Bench) -> Settings:
    """Return the settings: the stage's values, then the target's, then the mode's.

    A mode that the stage names asks for less or more than usual, so it overrules the amounts of
    the target's file; its pause and its limits stay, because the device needs them.
    """
    preset = PRESETS[stage.mode or target.mode or "standard"]
    own = _given(target)
    if stage.mode:
        own = {name: value for name, value in own.items() if name in OF_THE_DEVICE}
    settings = replace(preset, **(own | _given(stage)))
    return replace(settings, max_restarts=max(settings.restarts, settings.max_restarts))


def _given(bench: Bench) -> dict[str, Any]:
    values = {f.name: getattr(bench, f.name) for f in fields(Settings) if f.name != "mode"}
    return {name: value for name, value in values.items() if value is not None}


def quickly(stage: Bench) -> Bench:
    """Return what a stage asks for in mode quick, with the limits of its own."""
    if stage.mode == "quick":
        return stage
    return Bench(mode="quick", **{name: getattr(stage, name) for name in LIMITS})


def least_seconds(settings: Settings, run_s: float) -> float:
    """Return how long a program is run at least whose every run takes `run_s`, all restarts."""
    warm_up = max(settings.warmup_s, settings.warmup_runs * run_s)
    measured = max(settings.min_s, settings.min_runs * run_s)
    restarts = settings.restarts * (warm_up + measured + settings.cool_down_s)
    return restarts + settings.sustained_s
