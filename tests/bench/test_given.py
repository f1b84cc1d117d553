import zipfile

import numpy as np
import pytest

from edgekd.bench.given import fitted, read
from edgekd.bench.opened import Input
from edgekd.core.errors import RequestError

from .conftest import model

X, STATE = Input("x", "float32", ("n", 3)), Input("state", "float32", (2, "n", 4))


def fit(of, arrays, dims=None, count=32):
    return [each.calls for each in fitted(arrays, of, dims or {}, count, "d.npz")]


def test_rows_are_examples_one_a_call_or_as_many_as_the_batch_has():
    rows = np.arange(12, dtype="f4").reshape(4, 3)
    (one,) = fit(model(X), {"x": rows})
    assert one.shape == (4, 1, 3)
    (two,) = fit(model(X), {"x": rows}, {"n": 2})
    assert np.array_equal(two, rows.reshape(2, 2, 3))
    (fixed,) = fit(model(Input("x", "float32", (4, 3))), {"x": rows})
    assert np.array_equal(fixed, rows[None])


def test_with_one_dimension_more_each_entry_is_a_call():
    calls = np.zeros((5, 2, 3), "f4")
    assert fit(model(X), {"x": calls})[0].shape == (5, 2, 3)


def test_what_is_there_once_is_the_same_in_every_call():
    calls, state, rate = np.zeros((5, 1, 3), "f4"), np.ones((2, 1, 4), "f4"), np.int64(7)
    of = model(X, STATE, Input("rate", "int64", ()))
    x, held, rates = fit(of, {"x": calls, "state": state, "rate": np.asarray(rate)})
    assert (x.shape, held.shape) == ((5, 1, 3), (5, 2, 1, 4))
    assert (held == 1).all()
    assert rates.tolist() == [7] * 5


def test_no_more_calls_are_taken_than_asked_for_the_first_ones():
    rows = np.arange(27, dtype="f4").reshape(9, 3)
    assert np.array_equal(fit(model(X), {"x": rows}, count=4)[0], rows[:4, None])


def test_numbers_are_cast_where_nothing_is_lost_and_that_is_said():
    (found,) = fitted({"x": np.ones((2, 3))}, model(X), {}, 8, "d.npz")
    assert found.calls.dtype == "float32"
    assert found.origin == "given: d.npz, float64 made float32"
    (ids,) = fit(model(Input("i", "int32", ("n",))), {"i": np.array([1, 2])})
    assert ids.dtype == "int32"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5), "f4"),
        np.zeros((4,), "f4"),
        np.zeros((0, 3), "f4"),
        np.zeros((4, 3), "i8"),
        np.array([["a", "b", "c"]]),
        np.zeros((2, 2, 2, 3), "f4"),
    ],
)
def test_an_array_that_does_not_fit_is_said_with_what_the_model_takes(array):
    with pytest.raises(RequestError) as raised:
        fit(model(X), {"x": array})
    shown = f"'x' of d.npz is {array.dtype} {list(array.shape)}; m.onnx takes 'x', float32 [n, 3]"
    assert f"--data\n  {shown}" in str(raised.value)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("int32", np.array([2**40])),
        ("uint8", np.array([-1])),
        ("float16", np.array([1e6])),
        ("bool", np.array([1])),
    ],
)
def test_numbers_that_the_type_cannot_hold_are_refused(dtype, array):
    with pytest.raises(RequestError, match=rf"'i' of d.npz is {array.dtype}"):
        fit(model(Input("i", dtype, ("n",))), {"i": array})


def test_what_is_infinite_already_stays_so():
    (found,) = fit(model(Input("x", "float16", ("n",))), {"x": np.array([np.inf, np.nan])})
    assert str(found.ravel()) == "[inf nan]"


def test_arrays_for_different_numbers_of_calls_are_refused():
    of = model(X, Input("z", "float32", ("m", 1)))
    with pytest.raises(RequestError, match="different numbers of calls: 'x' for 3, 'z' for 2"):
        fit(of, {"x": np.zeros((3, 3), "f4"), "z": np.zeros((2, 1), "f4")})


def test_an_npz_has_all_inputs_and_no_others(tmp_path):
    np.savez(tmp_path / "d.npz", y=np.zeros(1), state=np.zeros(1))
    with pytest.raises(RequestError) as raised:
        read(tmp_path / "d.npz", model(X, STATE))
    assert "d.npz has no 'x'" in str(raised.value)
    assert "m.onnx takes no 'y'" in str(raised.value)


def test_an_npy_is_the_only_input(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros((2, 3)))
    assert list(read(tmp_path / "d.npy", model(X))) == ["x"]
    with pytest.raises(RequestError, match=r"d.npy holds one array, and m.onnx takes 2"):
        read(tmp_path / "d.npy", model(X, STATE))


@pytest.mark.parametrize("content", [None, b"", b"no array", b"PK\x03\x04broken"])
def test_a_file_that_cannot_be_read_is_said(tmp_path, content):
    if content is not None:
        (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(RequestError, match=r"--data\n  .*d.npz cannot be read: "):
        read(tmp_path / "d.npz", model(X))


def test_an_archive_that_is_locked_broken_or_holds_something_else_is_said(tmp_path):
    file = tmp_path / "d.npz"
    np.savez(file, x=np.zeros((1, 3), "f4"))
    locked = bytearray(file.read_bytes())
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(locked)
    with pytest.raises(RequestError, match=r"d.npz cannot be read: .*encrypted"):
        read(file, model(X))
    np.savez_compressed(file, x=np.zeros((1, 3), "f4"))
    broken = bytearray(file.read_bytes())
    start = 30 + broken[26] + broken[28]  # after the header, the name and what else stands there
    broken[start] = 0xFF
    file.write_bytes(broken)
    with pytest.raises(RequestError, match=r"d.npz cannot be read: .*invalid block type"):
        read(file, model(X))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", b"no array")
    with pytest.raises(RequestError, match=r"d.npz cannot be read: its 'x' is no array"):
        read(file, model(X))


def test_a_file_that_says_it_is_larger_than_the_memory_is_said(tmp_path):
    with (tmp_path / "d.npy").open("wb") as stream:
        about = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(stream, about)
    with pytest.raises(RequestError, match=r"d.npy cannot be read: Unable to allocate"):
        read(tmp_path / "d.npy", model(X))


def test_pickled_objects_are_not_opened(tmp_path):
    np.save(tmp_path / "d.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(RequestError, match="cannot be read"):
        read(tmp_path / "d.npy", model(X))
