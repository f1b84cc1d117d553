"""No augmentation: the batch comes back as it was."""

import torch

from edgekd.core.config import Config
from edgekd.data.augment.none import none
from edgekd.ops.draws import Draws


def test_nothing_changes():
    batch = {"image": torch.randn(2, 1, 4, 4)}
    assert none(Config(), batch, Draws(0, 0, torch.arange(2))) is batch
