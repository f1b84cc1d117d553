"""A program that is asked in processes of its own."""

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.refs import UseRuntime
from edgekd.core.signature import Port, Signature
from edgekd.ops.named import call_by_name
from edgekd.runtimes.folder import Program, save_program
from edgekd.testing.tiny import CASES
from edgekd.trial.asked import FEWEST, Asked, at_once

CASE = CASES["pair"]


@pytest.fixture
def folder(tmp_path):
    """Return the folder of an exported network with two inputs and two outputs."""
    folder = tmp_path / "program"
    folder.mkdir()
    UseRuntime.model_validate("onnxruntime").build().export(
        CASE.model(),
        signature=CASE.signature,
        samples=CASE.samples(4),
        metadata={},
        quantization=None,
        calibration=(),
        activation="uint8",
        out=folder / "it.onnx",
    )
    told = Program("it.onnx", "onnxruntime", "fp32", CASE.signature, {}, "it", "", None, {})
    save_program(folder, told)
    return folder


def test_it_answers_each_batch_as_the_network_does_and_leaves_nothing(folder, tmp_path):
    asked = Asked("it", folder, tmp_path)
    for seed, rows in ((0, 7), (1, 3)):
        batch = CASE.samples(rows, seed) | {"ids": torch.arange(rows)}
        with torch.no_grad():
            wanted = call_by_name(CASE.model(), CASE.signature, batch)
        found = asked(batch)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


def test_one_that_cannot_run_is_an_error_that_says_what_it_said(folder, tmp_path):
    whole = (folder / "it.onnx").read_bytes()
    (folder / "it.onnx").write_bytes(whole[: len(whole) // 2])
    batch = CASE.samples(3) | {"ids": torch.arange(3)}
    with pytest.raises(StageError, match=r"it could not be asked: it ended with .* while loading"):
        Asked("it", folder, tmp_path)(batch)
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


@pytest.mark.parametrize(("side", "rows"), [(8, 2**26 // 256), (224, 334), (512, FEWEST)])
def test_large_examples_are_asked_about_in_smaller_batches(side, rows):
    shape = ("batch", 1, side, side)
    assert at_once(Signature((Port("image", "float32", shape),), ())) == rows
