from pathlib import Path

import pytest

from edgekd.bench.asked import Asked
from edgekd.bench.opened import Input
from edgekd.bench.sizes import BATCH, check_names, sized
from edgekd.core.errors import RequestError

from .conftest import model

IMAGE = Input("image", "float32", (None, 3, "h", "w"))


def asked(**changes: object) -> Asked:
    return Asked(Path("m.onnx"), **changes)  # type: ignore[arg-type]


def test_fixed_sizes_need_nobody_to_say_them():
    (found,) = sized(model(Input("x", "float32", (2, 3))), asked())
    assert (found.shape, found.assumed) == ((2, 3), "")


def test_a_first_dimension_that_varies_is_a_batch_of_one_and_said_to_be():
    (found,) = sized(model(Input("x", "float32", ("n", 3))), asked())
    assert (found.shape, found.assumed) == ((1, 3), BATCH)
    (found,) = sized(model(Input("x", "float32", ("n", 3))), asked(dims={"n": 8}))
    assert (found.shape, found.assumed) == ((8, 3), "")


def test_a_shape_goes_before_everything_and_a_scalar_has_one():
    found = sized(model(IMAGE, Input("n", "int64", ())), asked(shapes={"image": (2, 3, 4, 5)}))
    assert [each.shape for each in found] == [(2, 3, 4, 5), ()]


def test_every_dimension_without_a_size_is_named_with_the_flag_that_gives_it():
    with pytest.raises(RequestError) as raised:
        sized(model(IMAGE, Input("ids", "int64", ("n", None))), asked(dims={"w": 9}))
    text = str(raised.value)
    assert "dimension 'h' of 'image', float32 [?, 3, h, w] varies" in text
    assert "Give --dim h=N, or --shape image=1x3xNx9, with a number for N." in text
    assert "dimension number 2 of 'ids', int64 [n, ?] varies" in text
    assert "Give --shape ids=1xN, with a number for N." in text
    assert "'w'" not in text


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 4, 8, 8), ()])
def test_a_shape_that_the_input_cannot_have_is_refused(shape):
    with pytest.raises(RequestError, match="is no shape of 'image', float32"):
        sized(model(IMAGE), asked(shapes={"image": shape}))


def test_names_that_no_model_has_are_refused_with_the_nearest():
    with pytest.raises(RequestError) as raised:
        check_names(asked(shapes={"imag": (1,)}, dims={"hh": 1}, values={"x": (0, 1)}),
                    (model(IMAGE),))  # fmt: skip
    text = str(raised.value)
    assert "--shape\n  no input is named 'imag'.\n  Did you mean 'image'?" in text
    assert "no dimension that varies is named 'hh'" in text
    assert "--values\n  no input is named 'x'" in text


def test_data_and_made_inputs_exclude_each_other():
    with pytest.raises(RequestError, match="--shape says what --data says too"):
        check_names(asked(data=Path("d.npy"), shapes={"image": (1, 3, 4, 4)}), (model(IMAGE),))
