import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from edgekd.core.errors import RequestError, StageError
from edgekd.core.kinds import model as model_kind
from edgekd.core.refs import UseModel, UseTransform
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.cost import cost
from edgekd.ops.named import call_by_name
from edgekd.testing.tiny import CASES
from edgekd.transforms.budget import size_bytes
from edgekd.transforms.importance import products
from edgekd.transforms.prune.channels import Channels


def prune(case, model=None, **options):
    use = UseTransform.model_validate({"kind": "channels", **options})
    batches = [case.samples(16, seed) for seed in (0, 1)]
    return use.build()(model or case.model(), signature=case.signature, batches=batches)


def price(case, model):
    return cost(model, case.signature, case.samples(1))


@pytest.mark.parametrize("importance", ["norm", "taylor", "activation"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", CASES)
def test_a_pruned_model_is_smaller_and_gives_outputs_of_the_same_shape(name, scope, importance):
    case = CASES[name]
    dense = case.model()
    sparse = prune(case, dense, ratio=0.5, importance=importance, scope=scope)
    before, after = price(case, dense), price(case, sparse)
    assert after.parameters < before.parameters
    assert after.macs < before.macs
    batch = case.samples(3)
    for key, value in call_by_name(dense, case.signature, batch).items():
        assert call_by_name(sparse, case.signature, batch)[key].shape == value.shape


def test_half_the_channels_of_each_layer_go_and_the_output_layer_stays():
    sparse = prune(CASES["plain"], ratio=0.5)
    assert sparse.body[0][0].out_channels == 8
    assert sparse.body[1][0].weight.shape[:2] == (16, 8)
    assert sparse.head.weight.shape == (10, 16)


def test_depthwise_convolutions_stay_depthwise_and_a_convolution_may_be_the_output_layer():
    sparse = prune(CASES["depthwise"], ratio=0.5)
    conv = sparse.depthwise[0]
    assert conv.groups == conv.in_channels == conv.out_channels == 8
    assert sparse.head.out_channels == 10


def test_both_sides_of_a_sum_lose_the_same_channels():
    sparse = prune(CASES["residual"], ratio=0.5)
    assert sparse.stem[0].out_channels == sparse.first[1].out_channels == 8
    assert sparse.shortcut.out_channels == sparse.second[0].out_channels == 16


@pytest.mark.parametrize("importance", ["norm", "taylor", "activation", "batch_norm"])
def test_channels_without_weight_go_first_and_then_nothing_changes(importance):
    case = CASES["plain"]
    dense = case.model()
    dead = [1, 3, 4, 6, 9, 11, 12, 15]
    with torch.no_grad():
        conv, norm = dense.body[0][0], dense.body[0][1]
        conv.weight[dead] = 0
        norm.weight[dead] = 0
        norm.bias[dead] = 0
        norm.running_mean[dead] = 0
        dense.body[1][0].weight[:, dead] = 0
    sparse = prune(case, dense, ratio=0.5, importance=importance, exclude=("body.1.0",))
    batch = case.samples(9, seed=3)
    torch.testing.assert_close(sparse(batch["image"]), dense(batch["image"]))


def test_by_activation_both_readers_of_a_sum_count_together():
    case = CASES["residual"]
    dense = case.model()
    batches = [case.samples(16, seed) for seed in (0, 1)]
    stem = ("first.0.0", "second.0", "shortcut")
    total = sum(products(dense, case.signature, batches)[name] for name in stem)
    score = total.square().mean(0)
    sparse = prune(case, dense, ratio=0.5, importance="activation", exclude=("second.0",))
    stays = score.argsort(stable=True)[8:].sort().values
    torch.testing.assert_close(sparse.stem[0].weight, dense.stem[0].weight[stays])


def test_by_batch_norm_the_channels_of_the_smallest_scales_go():
    case = CASES["plain"]
    dense = case.model()
    with torch.no_grad():
        dense.body[0][1].weight.copy_(torch.linspace(1, -2, 16))
    sparse = prune(case, dense, ratio=0.5, importance="batch_norm", round_to=1)
    stays = torch.linspace(1, -2, 16).abs().argsort(stable=True)[8:].sort().values
    torch.testing.assert_close(sparse.body[0][0].weight, dense.body[0][0].weight[stays])


def test_by_batch_norm_a_layer_without_one_is_named():
    with pytest.raises(StageError, match="nothing to go by for 'hidden': no batch norm") as caught:
        prune(CASES["pair"], ratio=0.5, importance="batch_norm", exclude=("tokens", "segment"))
    assert "under exclude" in str(caught.value)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_layer_with_a_ratio_of_its_own_takes_along_all_that_must_stay_as_wide(scope):
    own = {"first.1": 0.75}
    sparse = prune(CASES["residual"], ratio=0.0, round_to=1, ratios=own, scope=scope)
    assert sparse.stem[0].out_channels == sparse.first[1].out_channels == 4
    assert sparse.first[0][0].out_channels == 16
    assert sparse.second[0].in_channels == 4
    assert sparse.second[0].out_channels == 32


def test_of_several_ratios_for_layers_of_one_width_the_largest_counts():
    own = {"first.1": 0.25, "stem.0": 0.75}
    sparse = prune(CASES["residual"], ratio=0.0, round_to=1, ratios=own)
    assert sparse.stem[0].out_channels == sparse.first[1].out_channels == 4


def test_ratios_of_single_layers_are_kept_also_where_the_budget_is_met_without_them():
    sparse = prune(CASES["residual"], macs=10**12, round_to=1, ratios={"first.1": 0.75})
    assert sparse.stem[0].out_channels == 4


def test_a_ratio_for_a_module_without_channels_of_its_own_is_refused():
    with pytest.raises(RequestError, match="'first' has no channels of its own"):
        prune(CASES["residual"], ratio=0.0, ratios={"first": 0.75})


def test_a_ratio_of_a_layer_is_not_above_the_most_that_may_go():
    with pytest.raises(ValidationError, match=r"0\.95 for 'stem\.0' is above max_ratio 0\.9"):
        Channels(ratio=0.5, ratios={"stem.0": 0.95})


def test_the_given_model_is_left_as_it_was():
    case = CASES["residual"]
    dense = case.model()
    before = {name: t.clone() for name, t in dense.state_dict().items()}
    prune(case, dense, ratio=0.5, importance="taylor")
    after = dense.state_dict()
    assert all(torch.equal(after[name], t) for name, t in before.items())
    assert all(p.grad is None for p in dense.parameters())


def test_a_frozen_model_is_pruned_too():
    case = CASES["plain"]
    dense = case.model().requires_grad_(False)
    assert price(case, prune(case, dense, ratio=0.5)).macs < price(case, dense).macs


@pytest.mark.parametrize("what", ["parameters", "macs"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", ["residual", "pair"])
def test_a_budget_is_kept_and_nearly_used_up(name, scope, what):
    case = CASES[name]
    before = getattr(price(case, case.model()), what)
    least = getattr(price(case, prune(case, ratio=0.9, round_to=1, scope=scope)), what)
    budget = (before + least) // 2
    sparse = prune(case, **{what: budget}, round_to=1, scope=scope)
    assert 0.8 * budget <= getattr(price(case, sparse), what) <= budget


def test_a_size_counts_what_batch_norms_keep():
    assert size_bytes(nn.BatchNorm2d(8)) == 4 * 8 * 4 + 8  # and how many batches were seen


def test_a_budget_that_is_kept_already_removes_nothing():
    case = CASES["plain"]
    dense = case.model()
    sparse = prune(case, dense, parameters=price(case, dense).parameters)
    batch = case.samples(2)
    assert torch.equal(sparse(batch["image"]), dense(batch["image"]))


def test_a_budget_that_cannot_be_reached_says_how_low_it_could_go():
    case = CASES["plain"]
    least = price(case, prune(case, ratio=0.9)).macs
    with pytest.raises(StageError, match=rf"cannot reach 10 MACs.* leave is {least:,} MACs\."):
        prune(case, macs=10)


@pytest.mark.parametrize("amounts", [{}, {"ratio": 0.5, "macs": 100}])
def test_exactly_one_amount_is_given(amounts):
    with pytest.raises(ValidationError, match="exactly one of ratio, parameters, macs, size_mib"):
        Channels(**amounts)


def test_an_excluded_path_that_is_no_module_is_named():
    with pytest.raises(RequestError, match=r"no module 'boddy'[\s\S]*Did you mean 'body'"):
        prune(CASES["plain"], ratio=0.5, exclude=("boddy",))


@pytest.mark.parametrize("kind", ["taylor", "activation"])
def test_importance_by_gradient_without_logits_or_labels_says_what_it_needs(kind):
    case = CASES["plain"]
    use = UseTransform.model_validate({"kind": "channels", "ratio": 0.5, "importance": kind})
    batch = case.samples(4)
    del batch["labels"]
    with pytest.raises(StageError, match=f"{kind} needs an output 'logits' and"):
        use.build()(case.model(), signature=case.signature, batches=[batch])


class FixedWidth(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, image):
        return self.head(self.conv(image).reshape(-1, 16, 64).mean(2))


def test_a_model_that_fixes_a_width_in_code_is_named_with_a_way_out():
    with pytest.raises(StageError, match=r"does not run|gives") as caught:
        prune(CASES["plain"], FixedWidth().eval(), ratio=0.5)
    assert "under exclude" in str(caught.value)


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.norm = nn.GroupNorm(4, 32)
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        x = self.grouped(torch.relu(self.norm(self.first(image))))
        return self.head(x.mean((2, 3)))


for stem, net in {"residual": "residual", "depthwise": "depthwise", "plain": "plain"}.items():
    model_kind(name=f"tiny_{stem}")(lambda options, signature, n=net: CASES[n].net())
model_kind(name="tiny_grouped")(lambda options, signature: Grouped())


@settings(max_examples=6)
@given(
    stem=st.sampled_from(["residual", "depthwise", "grouped"]),
    ratio=st.floats(0, 0.9),
    round_to=st.sampled_from([1, 3, 4, 8]),
)
def test_a_pruned_model_is_the_same_after_saving_and_loading(
    stem, ratio, round_to, tmp_path_factory
):
    case = CASES["plain"]
    net = Grouped().eval() if stem == "grouped" else CASES[stem].model()
    sparse = prune(case, net, ratio=ratio, round_to=round_to)
    folder = tmp_path_factory.mktemp("model")
    use = UseModel.model_validate(f"tiny_{stem}")
    save_model(folder, StoredModel(sparse, use, case.signature, {}))
    image = case.samples(5, seed=9)["image"]
    torch.testing.assert_close(load_model(folder).module(image), sparse(image))
