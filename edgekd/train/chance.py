"""The random generators that belong to the process, not to a training: set, noted, set back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from edgekd.core.seeds import sub_seed


def seed_process(seed: int) -> None:
    """Seed the generators that a plug-in of the user may draw from; torch's is the stage's."""
    random.seed(sub_seed(seed, "python"))
    np.random.seed(sub_seed(seed, "numpy") % 2**32)


def chance_of(device: torch.device) -> dict[str, Any]:
    """Return the state of every generator of the process that a training step may draw from."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if device.type == "cuda" else [],
    }


def restore_chance(state: dict[str, Any]) -> None:
    """Set the generators of the process to what `chance_of` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0])


@contextmanager
def no_chance_drawn(device: torch.device) -> Iterator[None]:
    """Leave the generators of the process as they were, whatever is drawn in between."""
    before = chance_of(device)
    try:
        yield
    finally:
        restore_chance(before)
