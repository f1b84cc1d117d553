from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekd.core.signature import Port, Signature
from edgekd.trial.inputs import time_preparing, write_inputs


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


def test_making_an_example_ready_is_timed_one_by_one_without_the_one_that_opens_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0.0

    class Slow(Counting):
        def size(self, split: str) -> int:
            return 40

        def batches(self, *told: Any, **more: Any) -> Iterator[dict[str, torch.Tensor]]:
            nonlocal clock
            for number, batch in enumerate(super().batches(*told, **more)):
                assert len(batch["ids"]) == 1
                clock += 5.0 if number == 0 else 0.001 * number
                yield batch

    monkeypatch.setattr("time.perf_counter", lambda: clock)
    found = time_preparing(Slow(), 12)  # type: ignore[arg-type]
    assert found is not None
    assert found.examples == 11
    assert found.median_ms == pytest.approx(6)
    assert (found.lowest_ms, found.highest_ms) == (pytest.approx(1), pytest.approx(11))
    assert time_preparing(Counting(), 12) is None  # type: ignore[arg-type]
