"""What is taken of programs beside their latencies, each in processes of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.core.results import Profile, Rate, Sustained
from edgekd.devices.answers import Failure
from edgekd.devices.bench import Session
from edgekd.devices.settings import Settings
from edgekd.trial.ways import Ways

Say = Callable[[int, int, str], None]
"""Takes how much is done, of how much, and what it is."""


@dataclass
class Beside:
    """What was asked for of one program; a failure says why it is not known."""

    profile: Profile | Failure | None = None
    """What its operators took."""
    sustained: Sustained | Failure | None = None
    """How it ran for long."""
    rates: list[Rate] = field(default_factory=list)
    """How much it answers a second."""

    def notes(self) -> list[str]:
        """Return what could not be taken, and why: none of it is a failure of the program."""
        asked = {
            "its operators could not be timed": self.profile,
            "it could not run for long": self.sustained,
        }
        return [
            f"{what}: it {' '.join([why.how, *why.lines[-1:]])}"
            for what, why in asked.items()
            if isinstance(why, Failure)
        ]


@dataclass(frozen=True)
class Taker:
    """Takes it, in a session."""

    session: Session
    samples: Path
    settings: Settings
    say: Say

    def operators(self, programs: Mapping[str, Beside]) -> None:
        """Have the operators of every program timed."""
        for number, (name, beside) in enumerate(programs.items()):
            self.say(number, len(programs), "timing operators")
            beside.profile = self.session.profile(name, self.samples, self.settings)

    def throughput(self, programs: Mapping[str, Beside], threads: int) -> None:
        """Have every program answer all that it can, each way in turn."""
        settings = self.settings
        for name, beside in programs.items():
            ways = Ways(settings.batches, settings.streams, threads)
            for number in range(settings.restarts):
                self.say(number, settings.restarts, f"throughput of {name}")
                for batch, streams in ways.left(backwards=number % 2 == 1):
                    found = self.session.stream(
                        name, self.samples, settings, batch=batch, streams=streams, number=number
                    )
                    ways.note((batch, streams), found)
            beside.rates = ways.rates()

    def long_runs(self, programs: Mapping[str, Beside]) -> None:
        """Have every program run for long."""
        for number, (name, beside) in enumerate(programs.items()):
            self.say(number, len(programs), "sustained load")
            beside.sustained = self.session.sustain(name, self.samples, self.settings)
