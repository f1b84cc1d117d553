import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.refs import UseTransform
from edgekd.testing.tiny import CASES
from edgekd.transforms.prune.n_m import NOfM


def prune(model, **options):
    use = UseTransform.model_validate({"kind": "n_m", **options})
    return use.build()(model, signature=CASES["plain"].signature, batches=[])


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (3, 8)])
def test_of_every_group_along_the_inputs_the_largest_stay(n, m):
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Conv2d(16, 6, 3), nn.Flatten(), nn.Linear(24, 10))
    sparse = prune(dense, n=n, m=m)
    for part in (dense, sparse):
        part.requires_grad_(False)
    conv, linear = sparse[0].weight, sparse[2].weight
    rows = [(dense[2].weight, linear, (o,)) for o in range(10)]
    columns = [  # the inputs of a convolution at one place of its kernel
        (dense[0].weight[:, :, y, x], conv[:, :, y, x], (o,))
        for o in range(6) for y in range(3) for x in range(3)
    ]  # fmt: skip
    for before, after, (o,) in rows + columns:
        for start in range(0, before.shape[1], m):
            old, new = before[o, start : start + m], after[o, start : start + m]
            stays = sorted(range(m), key=lambda i, old=old: -abs(float(old[i])))[:n]
            wanted = [float(old[i]) if i in stays else 0.0 for i in range(m)]
            assert new.tolist() == wanted


def test_layers_that_do_not_fit_the_pattern_stay_as_they_are():
    torch.manual_seed(0)
    dense = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 8, 3),
        nn.Linear(8, 3),
    )  # fmt: skip
    sparse = prune(dense)
    same = [torch.equal(sparse[i].weight, dense[i].weight) for i in range(4)]
    assert same == [True, True, True, False]


def test_a_model_without_a_layer_that_fits_says_what_else_to_do():
    with pytest.raises(StageError, match="no layer has a number of inputs that is a multiple of 4"):
        prune(nn.Sequential(nn.Conv2d(1, 8, 3)))


def test_more_cannot_stay_than_there_are():
    with pytest.raises(ValidationError, match="n must be below m; found 4 of 4"):
        NOfM(n=4, m=4)
