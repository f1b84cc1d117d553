"""What is packed comes back: the same types, the same bits, the same order of dimensions."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from edgekd.train.packing import pack, unpack

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.tuples(st.integers()), inner)
    ),
)


def through_a_file(state):
    text, tensors = pack(state)
    return unpack(text, load(save(tensors)))


def same(one, other):
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and str(one) == str(other)  # -0.0 is not 0.0


@given(nested)
def test_plain_values_come_back_with_their_types(value):
    assert same(through_a_file(value), value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4, 5),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(4, 5).T,
        torch.randn(8, 8)[::2, 1:5],
        torch.randn(1).expand(6),
        torch.tensor(3),
        torch.empty(0, 3),
        torch.tensor([float("nan"), -0.0, float("inf")]),
        torch.randn(3).bfloat16(),
        torch.tensor([True, False]),
        torch.arange(5, dtype=torch.uint8),
    ],
    ids=lambda t: f"{t.dtype}-{list(t.shape)}-{t.stride()}",
)
def test_tensors_come_back_bit_for_bit(tensor):
    found = through_a_file([tensor, tensor])
    for one in found:
        assert one.dtype == tensor.dtype
        assert one.shape == tensor.shape
        bits = one.contiguous().flatten().view(torch.uint8).tolist()
        assert bits == tensor.contiguous().flatten().view(torch.uint8).tolist()
        if tensor.numel() and tensor.is_contiguous(memory_format=torch.preserve_format):
            assert one.stride() == tensor.stride()
    if tensor.numel():
        assert found[0].data_ptr() != found[1].data_ptr(), "nothing shares memory"


def test_channels_last_stays_so():
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert through_a_file(tensor).is_contiguous(memory_format=torch.channels_last)


def test_arrays_and_their_numbers_come_back():
    state = {
        "a": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "b": np.float32(0.1),
        "c": np.int64(7),
    }
    found = through_a_file(state)
    assert found["a"].dtype == np.uint32
    assert np.array_equal(found["a"], state["a"])
    for name in "bc":
        assert type(found[name]) is type(state[name])
        assert found[name] == state[name]


def test_the_generators_of_the_process_come_back():
    state = {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}
    drawn = [random.random(), *np.random.rand(3)]
    found = through_a_file(state)
    random.setstate(found["python"])
    np.random.set_state(found["numpy"])
    assert [random.random(), *np.random.rand(3)] == drawn


def test_an_optimizers_state_comes_back_with_its_tuples_and_numbers_as_keys():
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    found = through_a_file(optimizer.state_dict())
    assert list(found["state"]) == [0, 1]
    assert found["param_groups"] == optimizer.state_dict()["param_groups"]
    assert torch.equal(found["state"][0]["exp_avg"], optimizer.state[layer.weight]["exp_avg"])


def test_dense_tensors_are_not_copied():
    weight = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    (packed,) = pack({"weight": weight})[1].values()
    assert packed.data_ptr() == weight.data_ptr()


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 1j, print])
def test_anything_else_is_refused_with_its_place(value):
    with pytest.raises(TypeError, match=rf"state\['parts'\]\[1\] is a {type(value).__name__}"):
        pack({"parts": [0, value]})
