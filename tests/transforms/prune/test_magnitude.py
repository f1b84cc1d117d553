import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.core.errors import RequestError
from edgekd.core.refs import UseTransform
from edgekd.testing.tiny import CASES
from edgekd.transforms.masks import compressed_bytes, maskable, masked, with_zeros, zeros


def prune(model, **options):
    use = UseTransform.model_validate({"kind": "magnitude", **options})
    return use.build()(model, signature=CASES["plain"].signature, batches=[])


@settings(max_examples=10)
@given(ratio=st.floats(0, 1), scope=st.sampled_from(["layer", "global"]))
def test_the_share_becomes_zero_and_all_that_stays_is_as_large_or_larger(ratio, scope):
    dense = CASES["plain"].model()
    sparse = prune(dense, ratio=ratio, scope=scope)
    before, after = maskable(dense, ()), maskable(sparse, ())
    groups = [[*before]] if scope == "global" else [[name] for name in before]
    for names in groups:
        old, new = (torch.cat([w[n].flatten() for n in names]) for w in (before, after))
        gone = new == 0
        assert int(gone.sum()) == round(ratio * len(old))
        assert torch.equal(new[~gone], old[~gone])
        if gone.any() and not gone.all():
            assert old[gone].abs().max() <= old[~gone].abs().min()


def test_only_weights_of_layers_that_mix_become_zero_and_excluded_ones_stay():
    dense = CASES["residual"].model()
    sparse = prune(dense, ratio=0.9, scope="layer", exclude=("stem", "head"))
    assert masked(sparse, dense) == ["first.0.0.weight", "first.1.weight", "second.0.weight",
                                     "shortcut.weight"]  # fmt: skip
    assert masked(sparse, dense) == with_zeros(sparse)
    assert zeros(prune(dense, ratio=0.5)) == pytest.approx(0.5, abs=1e-3)


def test_zeros_of_before_are_the_first_to_go_again():
    once = prune(CASES["plain"].model(), ratio=0.4)
    twice = prune(once, ratio=0.6)
    for name, weight in maskable(once, ()).items():
        assert (maskable(twice, ())[name][weight == 0] == 0).all()
    assert masked(prune(once, ratio=0.4), once) == []


def test_the_given_model_is_left_as_it_was_and_the_masked_one_compresses_better():
    dense = CASES["plain"].model()
    before = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    sparse = prune(dense, ratio=0.9)
    assert all(torch.equal(dense.state_dict()[name], t) for name, t in before.items())
    assert compressed_bytes(sparse) < 0.4 * compressed_bytes(dense)


def test_an_excluded_path_that_is_no_module_is_named():
    with pytest.raises(RequestError, match=r"no module 'hed'[\s\S]*Did you mean 'head'"):
        prune(CASES["plain"].model(), ratio=0.5, exclude=("hed",))
