from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.asked import Asked
from edgekd.bench.fed import feeds
from edgekd.bench.opened import Input
from edgekd.core.errors import RequestError

from .conftest import model

X = Input("x", "float32", ("n", 3))


def asked(**changes: object) -> Asked:
    return Asked(Path("m.onnx"), **changes)  # type: ignore[arg-type]


def test_both_models_get_the_same_samples_by_name_whatever_the_order():
    ids = Input("ids", "int64", ("n", 2))
    first, second = feeds([model(X, ids), model(ids, X)], asked(), 8)
    assert np.array_equal(first[0].calls, second[1].calls)
    assert np.array_equal(first[1].calls, second[0].calls)


def test_names_that_differ_are_matched_by_place_and_types_of_one_kind_cast():
    half = Input("input0", "float16", (1, 3))
    first, (second,) = feeds([model(X), model(half, name="o.pte")], asked(), 8)
    assert second.calls.dtype == "float16"
    assert np.array_equal(first[0].calls.astype("f2"), second.calls)


def test_a_model_that_takes_more_or_less_gets_its_own():
    rate = Input("rate", "int64", ())
    for models in ([model(X, rate), model(X)], [model(X), model(X, rate)]):
        _, second = feeds(models, asked(), 8)
        assert [one.input for one in second] == [*models[1].inputs]
        assert all(one.origin.endswith("; not those of m.onnx") for one in second)


@pytest.mark.parametrize("other", [Input("x", "float32", ("n", 4)), Input("x", "int64", ("n", 3))])
def test_a_model_that_takes_something_else_gets_its_own_and_that_is_said(other):
    _, (second,) = feeds([model(X), model(other)], asked(), 8)
    assert second.calls.shape[2] == other.shape[1]
    assert second.origin.endswith("; not those of m.onnx")


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"dims": {"w": 2, "v": 3}}, (1, 3)),
        ({"shapes": {"x": (1, 2), "input": (2, 2)}}, (2, 2)),
        ({"dims": {"w": 2, "v": 2}, "values": {"input": (5, 5)}}, (1, 2)),
    ],
)
def test_what_is_asked_of_the_other_models_input_goes_before_sharing(changes, shape):
    of, other = Input("x", "float32", ("n", "w")), Input("input", "float32", ("m", "v"))
    _, (second,) = feeds([model(of), model(other)], asked(**changes), 8)
    assert second.calls.shape[1:] == shape
    assert second.origin.endswith("; not those of m.onnx")
    assert ((second.calls == 5).all()) == ("values" in changes)


def test_a_type_that_cannot_hold_the_samples_gets_its_own():
    of, other = Input("x", "int64", ("n", 3)), Input("y", "int8", ("n", 3))
    first, (second,) = feeds([model(of), model(other)], asked(values={"x": (0, 30521)}), 8)
    assert first[0].calls.max() > 127
    assert "from -128 to 127" in second.origin
    assert second.origin.endswith("; not those of m.onnx")


def test_given_data_that_do_not_fit_the_other_model_are_refused(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros((4, 3), "f4"))
    other = model(Input("x", "float32", ("n", 4)), name="o.onnx")
    with pytest.raises(RequestError, match=r"o.onnx takes 'x', float32 .*: not what m.onnx takes"):
        feeds([model(X), other], asked(data=tmp_path / "d.npy"), 8)
    first, same = feeds([model(X), model(X)], asked(data=tmp_path / "d.npy"), 8)
    assert np.array_equal(first[0].calls, same[0].calls)
