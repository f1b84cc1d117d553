"""Whether somebody has started this process as one of several: `torchrun`, `accelerate launch`."""

import os
import sys

PEER = (sys.executable, "-P", "-m", "edgekd.pipeline.peer")
"""Starts a process that works for the first one of a run."""
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher says in the environment: https://pytorch.org/docs/stable/elastic/run.html."""


def launched() -> bool:
    """Tell whether a launcher has started this process as one of several."""
    return all(os.environ.get(name) for name in LAUNCHED) and int(os.environ["WORLD_SIZE"]) > 1


def rank() -> int:
    """Return the number that a launcher gave this process; 0 where there is none."""
    return int(os.environ["RANK"]) if launched() else 0


def processes() -> int:
    """Return how many processes a launcher has started; 1 where there is none."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def processes_here() -> int:
    """Return how many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or processes())
