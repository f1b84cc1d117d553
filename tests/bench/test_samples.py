from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.asked import Asked
from edgekd.bench.opened import Input
from edgekd.bench.samples import MOST_BYTES, check_types, make, port, write
from edgekd.core.errors import RequestError

from .conftest import model


def asked(**changes: object) -> Asked:
    return Asked(Path("m.onnx"), **changes)  # type: ignore[arg-type]


def test_the_same_seed_makes_the_same_and_another_makes_others():
    of = model(Input("x", "float32", ("n", 5)), Input("i", "int64", (3,)))
    one, again, other = (make(of, asked(seed=seed), 32) for seed in (3, 3, 4))
    for mine, same, different in zip(one, again, other, strict=True):
        assert np.array_equal(mine.calls, same.calls)
        assert not np.array_equal(mine.calls, different.calls)


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [("int64", 0, 1), ("int32", 0, 1), ("uint8", 0, 255), ("int8", -128, 127), ("bool", 0, 1)],
)
def test_numbers_keep_to_the_range_that_is_said(dtype, least, most):
    (found,) = make(model(Input("x", dtype, (4000,))), asked(), 4)
    assert found.calls.dtype == dtype
    assert (int(found.calls.min()), int(found.calls.max())) == (least, most)
    assert found.origin == f"made: whole numbers from {least} to {most}, seed 0"


def test_fractions_are_normal_and_halves_too():
    (found,) = make(model(Input("x", "float16", (4000,))), asked(), 8)
    assert found.calls.dtype == "float16"
    assert abs(float(found.calls.astype("f8").mean())) < 0.05
    assert float(found.calls.astype("f8").std()) == pytest.approx(1, abs=0.05)


def test_values_that_were_asked_for_are_made_ends_included():
    of = model(Input("ids", "int64", (4000,)), Input("x", "float32", (4000,)),
               Input("rate", "int64", ()))  # fmt: skip
    ids, x, rate = make(of, asked(values={"ids": (5, 7), "x": (-2, -1), "rate": (16000,) * 2}), 4)
    assert set(np.unique(ids.calls)) == {5, 6, 7}
    assert -2 <= x.calls.min() < x.calls.max() <= -1
    assert rate.calls.tolist() == [16000] * 4
    assert rate.origin == "made: always 16000"


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [
        ("uint8", (0, 300)),
        ("uint8", (-1, 3)),
        ("uint8", (0.5, 2)),
        ("bool", (0, 2)),
        ("bool", (0.5, 0.5)),
        ("float16", (0, 1e6)),
        ("float32", (float("inf"),) * 2),
        ("float64", (-1e308, 1e308)),
    ],
)
def test_values_that_the_type_cannot_hold_are_refused(dtype, bounds):
    with pytest.raises(RequestError, match=rf"--values\n  'x' is {dtype}: .* does not fit"):
        make(model(Input("x", dtype, (2,))), asked(values={"x": bounds}), 4)


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [("uint64", (2.0**63, 2.0**64 - 2**11)), ("bool", (1, 1)), ("float16", (65504, 65504))],
)
def test_values_at_the_ends_of_a_type_are_made(dtype, bounds):
    (found,) = make(model(Input("x", dtype, (9,))), asked(values={"x": bounds}), 4)
    assert found.calls.dtype == dtype
    assert all(bounds[0] <= value <= bounds[1] for value in found.calls.ravel().tolist())


def test_large_inputs_get_fewer_samples_and_too_large_ones_are_refused():
    size = MOST_BYTES // 4 // 2
    made = make(model(Input("x", "uint8", (size * 4,)), Input("n", "int8", (1,))), asked(), 32)
    assert [len(one.calls) for one in made] == [2, 2]
    with pytest.raises(RequestError, match=r"one call takes 3.7 GiB of 'x'; at most 1 GiB"):
        make(model(Input("x", "float32", ("n", 10**9))), asked(), 32)


@pytest.mark.parametrize("dtype", ["tensor(string)", "seq(tensor(float))", "ScalarType 8", "str"])
def test_a_type_that_cannot_be_fed_is_named(dtype):
    with pytest.raises(RequestError, match=r"m.onnx takes 'x', .*a type that edgekd cannot feed"):
        check_types(model(Input("x", dtype, (1,))))


def test_the_files_go_by_place_and_hold_a_call_a_row(tmp_path):
    of = model(Input("a/b:0", "float32", (2, 3)), Input("n", "int64", ()))
    made = make(of, asked(), 4)
    write([made], tmp_path / "inputs")
    for place, each in enumerate(made):
        kept = np.load(tmp_path / "inputs" / f"{port(0, place)}.npy")
        assert np.array_equal(kept, each.calls)
        assert len(kept) == 4
