from pathlib import Path

import numpy as np
import pytest

from edgekd.devices.columns import write_columns


def test_columns_are_the_batches_in_order_up_to_the_size(tmp_path: Path) -> None:
    rows = np.arange(10, dtype=np.int32)
    batches = [{"x": part, "y": np.stack([part, part], 1)} for part in np.split(rows, [4, 8])]
    write_columns(tmp_path, batches, 9)
    assert np.load(tmp_path / "x.npy").tolist() == list(range(9))
    assert np.load(tmp_path / "y.npy").shape == (9, 2)
    assert np.load(tmp_path / "x.npy").dtype == np.int32


def test_too_few_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 rows were expected, 3 came"):
        write_columns(tmp_path, [{"x": np.arange(3)}], 5)
