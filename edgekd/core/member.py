"""What a stage is to the one in the file that it was made from: a trial, a control, a seed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """The place of a stage in its group: all that was made from one stage of the file."""

    group: str
    """The stage as the file names it."""
    arm: str
    """The first stage of those that differ in nothing but their seed."""
    setting: str = ""
    """What sets the arm apart: `learning_rate 0.01`, `no_kd`; empty where nothing does."""
    control: bool = False
    """Whether the arm is what another must be better than."""
    words: str = ""
    """What the stage is, for people: `seed 1 of student`; empty where the file names it itself."""
