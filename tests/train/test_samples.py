import pytest
import torch

from edgekd.core.refs import UseTask
from edgekd.train.samples import take


@pytest.fixture(scope="module")
def digits():
    return UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


def ids(task, examples, seed=None):
    rng = None if seed is None else torch.Generator().manual_seed(seed)
    return torch.cat([b["ids"] for b in take(task, "train", examples, rng=rng)]).tolist()


@pytest.mark.parametrize("examples", [1, 31, 32, 33, 100])
def test_it_takes_as_many_as_asked_and_none_twice(digits, examples):
    found = ids(digits, examples, seed=0)
    assert len(found) == len(set(found)) == examples


def test_it_takes_the_whole_split_where_that_is_smaller(digits):
    assert len(ids(digits, 10**6)) == digits.size("train")


def test_the_seed_decides_which(digits):
    assert ids(digits, 20, seed=3) == ids(digits, 20, seed=3)
    assert ids(digits, 20, seed=3) != ids(digits, 20, seed=4)
    assert ids(digits, 20) == ids(digits, 20)
