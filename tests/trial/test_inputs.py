from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekd.core.signature import Port, Signature
from edgekd.trial.inputs import write_inputs


class Counting:
    """Twenty numbers to score, four to choose by."""

    def size(self, split: str) -> int:
        return {"test": 20, "validation": 4}[split]

    def batches(self, split: str, batch_size: int, **_: Any) -> Iterator[dict[str, torch.Tensor]]:
        start = 0 if split == "test" else 100
        for part in torch.arange(start, start + self.size(split)).split(batch_size):
            yield {"a": part, "b": part.float()[:, None], "labels": part % 2, "ids": part}


def test_a_split_is_scored_and_validation_is_timed(tmp_path: Path) -> None:
    signatures = [
        Signature((Port("a", "int64", ("batch",)),), ()),
        Signature(
            (Port("b", "float32", ("batch", 1)), Port("kept", "float32", (1,))),
            (),
            (("k", "kept"),),
        ),
    ]
    found = write_inputs(Counting(), "test", 32, signatures, tmp_path)  # type: ignore[arg-type]
    assert np.load(found.examples / "a.npy").tolist() == list(range(20))
    assert np.load(found.samples / "b.npy").tolist() == [[100], [101], [102], [103]]
    assert {path.name for path in found.examples.iterdir()} == {"a.npy", "b.npy"}
    assert found.columns["labels"].tolist() == [0, 1] * 10
    assert set(found.columns) == {"labels", "ids"}
