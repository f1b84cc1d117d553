"""No augmentation: the batch comes back as it was, and no chance is drawn."""

import torch

from edgekd.core.config import Config
from edgekd.data.augment.none import none


def test_nothing_changes():
    rng = torch.Generator().manual_seed(0)
    before, batch = rng.get_state(), {"image": torch.randn(2, 1, 4, 4)}
    assert none(Config(), batch, rng) is batch
    assert torch.equal(rng.get_state(), before)
