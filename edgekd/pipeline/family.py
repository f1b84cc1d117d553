"""The stages of a run, and what each was made from."""

from dataclasses import dataclass, field, replace
from typing import Any

from edgekd.core.member import Member
from edgekd.core.refs import UseStage
from edgekd.pipeline.document import Steps


@dataclass
class Family:
    """All stages by name, in the order of the file, each with what it was made from."""

    stages: dict[str, UseStage]
    members: dict[str, Member] = field(default_factory=dict)
    """Of every stage that is one of several."""
    origins: dict[Steps, Steps] = field(default_factory=dict)
    """Where the options of a stage stand that the file does not name itself."""
    circles: dict[str, str] = field(default_factory=dict)
    """Of every stage that is made in rounds, the one that closes its circle."""

    def add(self, name: str, of: str, use: UseStage, **about: Any) -> None:
        """Put a stage into the group of another, whose place in the file is its own."""
        own = self.members.setdefault(of, Member(of, of))
        self.stages[name] = use
        self.members[name] = replace(own, **about)
        self.origins["stages", name] = ("stages", of)
