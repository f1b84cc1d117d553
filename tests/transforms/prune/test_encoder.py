import copy
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekd.core.errors import RequestError, StageError
from edgekd.core.refs import UseModel, UseRuntime, UseTransform
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.cost import cost
from edgekd.testing.tiny import CASES, PICTURES
from edgekd.transforms.blocks import blocks_of
from edgekd.transforms.encoder_scores import score
from edgekd.transforms.importance import gradients, products

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
FAMILIES = {
    "bert": SIZES | {"intermediate_size": 32, "vocab_size": 50},
    "distilbert": {"dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 32, "vocab_size": 50},
    "vit": SIZES | {"intermediate_size": 32, "patch_size": 4},
    "deit": SIZES | {"intermediate_size": 32, "patch_size": 4},
}
TEXT = Signature(
    (Port("tokens", "int64", ("batch", 6)), Port("mask", "int64", ("batch", 6))),
    (Port("logits", "float32", ("batch", 3)),),
)


class Text(nn.Module):
    """Gives logits, where transformers gives an object."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, tokens, mask):
        return self.network(input_ids=tokens, attention_mask=mask).logits


def use(family):
    return UseModel.model_validate(
        {"kind": "pretrained", "config": {"model_type": family} | FAMILIES[family]}
    )


def made(family):
    """Return a model of a family with its signature and its samples."""
    torch.manual_seed(0)
    if family in ("vit", "deit"):
        batches = [CASES["plain"].samples(4, seed) for seed in (0, 1)]
        return SimpleNamespace(
            model=use(family).build()(PICTURES).eval(), signature=PICTURES, batches=batches
        )
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    shape = CONFIG_MAPPING[family](**FAMILIES[family], num_labels=3)
    batches = [
        {
            "tokens": torch.randint(0, 50, (4, 6)),
            "mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2] * 2),
            "labels": torch.randint(0, 3, (4,)),
        }
        for _ in range(2)
    ]
    model = Text(AutoModelForSequenceClassification.from_config(shape)).eval()
    return SimpleNamespace(model=model, signature=TEXT, batches=batches)


@pytest.fixture(scope="module", params=list(FAMILIES))
def any_family(request):
    return made(request.param)


@pytest.fixture(scope="module")
def vit():
    return made("vit")


def prune(case, model=None, **options):
    transform = UseTransform.model_validate({"kind": "encoder", "round_to": 4, **options})
    given = case.model if model is None else model
    return transform.build()(given, signature=case.signature, batches=case.batches)


def outputs(case, model):
    with torch.no_grad():
        return model(*(case.batches[0][port.name] for port in case.signature.inputs))


def widths(model):
    """Return heads, channels of all heads, and inner widths by layer."""
    found = blocks_of(model)
    assert all(block.ffn for block in found)
    return [
        (
            len(block.heads),
            model.get_submodule(block.attention_out).in_features,
            model.get_submodule(block.ffn[0]).out_features,
            model.get_submodule(block.ffn[1]).in_features,
        )
        for block in found
    ]


@pytest.mark.parametrize("importance", ["norm", "taylor", "activation"])
def test_half_of_each_part_goes_physically_and_the_outputs_keep_their_shape(any_family, importance):
    parts = ("heads", "ffn", "layers")
    dense, sparse = (
        any_family.model,
        prune(any_family, ratio=0.5, parts=parts, importance=importance),
    )
    assert widths(dense) == [(4, 24, 32, 32)] * 3
    assert widths(sparse) == [(2, 12, 16, 16)] * 2
    assert outputs(any_family, sparse).shape == outputs(any_family, dense).shape
    prices = [cost(m, any_family.signature, any_family.batches[0]) for m in (dense, sparse)]
    assert prices[1].macs < prices[0].macs
    assert prices[1].parameters < prices[0].parameters


@pytest.mark.parametrize("importance", ["norm", "taylor", "activation"])
def test_heads_and_channels_that_nothing_reads_go_first_and_then_nothing_changes(
    any_family, importance
):
    dense = copy.deepcopy(any_family.model)
    with torch.no_grad():
        for block in blocks_of(dense):
            for name in block.attention_in:
                dense.get_submodule(name).weight[6:18] = 0
                dense.get_submodule(name).bias[6:18] = 0
            dense.get_submodule(block.attention_out).weight[:, 6:18] = 0
            wide, back = (dense.get_submodule(name) for name in block.ffn)
            wide.weight[::2], wide.bias[::2], back.weight[:, ::2] = 0, 0, 0
    sparse = prune(any_family, dense, ratio=0.5, importance=importance)
    torch.testing.assert_close(outputs(any_family, sparse), outputs(any_family, dense))
    assert [block.heads for block in blocks_of(sparse)] == [(0, 3)] * 3


@pytest.mark.parametrize("importance", ["norm", "activation"])
def test_a_layer_that_does_nothing_goes_first_and_then_nothing_changes(vit, importance):
    dense = copy.deepcopy(vit.model)
    with torch.no_grad():
        block = blocks_of(dense)[1]
        for name in (block.attention_out, block.ffn[1]):
            dense.get_submodule(name).weight.zero_()
            dense.get_submodule(name).bias.zero_()
    sparse = prune(vit, dense, ratio=0.34, parts=("layers",), importance=importance)
    assert len(blocks_of(sparse)) == 2
    torch.testing.assert_close(outputs(vit, sparse), outputs(vit, dense))


def test_by_activation_the_score_of_a_head_is_its_channels_product_summed(vit):
    name = blocks_of(vit.model)[0].attention_out
    product = products(vit.model, vit.signature, vit.batches)[name]
    slow = [sum(product[:, 6 * h + c] for c in range(6)).square().mean() for h in range(4)]
    stays = sorted(sorted(range(4), key=lambda h: slow[h])[2:])
    sparse = prune(vit, ratio=0.5, parts=("heads",))
    assert list(blocks_of(sparse)[0].heads) == stays


def test_one_ranking_over_all_layers_takes_where_least_is_and_leaves_a_head_in_each(vit):
    dense = copy.deepcopy(vit.model)
    with torch.no_grad():
        for index, block in enumerate(blocks_of(dense)):
            dense.get_submodule(block.attention_out).weight.mul_(10.0**index)
    sparse = prune(vit, dense, ratio=0.5, parts=("heads",), importance="norm", scope="global")
    assert [len(block.heads) for block in blocks_of(sparse)] == [1, 2, 4]


@pytest.mark.parametrize("importance", ["norm", "taylor"])
def test_by_weights_the_score_of_a_head_counts_all_that_write_and_read_it(vit, importance):
    block = blocks_of(vit.model)[0]
    found = gradients(vit.model, vit.signature, vit.batches) if importance == "taylor" else {}
    worth = torch.zeros(24)
    for name in (*block.attention_in, block.attention_out):
        weight = vit.model.get_submodule(name).weight.detach()
        by_channel = weight.T if name == block.attention_out else weight
        if importance == "norm":
            worth += by_channel.square().sum(1)
        else:
            grad = found[f"{name}.weight"]
            slope = grad.T if name == block.attention_out else grad
            worth += (by_channel * slope).sum(1).abs()
    heads = worth.view(4, 6).sum(1)
    scores = score(importance, ("heads",), vit.model, [block], vit.signature, vit.batches)
    torch.testing.assert_close(scores.heads[0], heads)


def test_no_layer_loses_more_than_max_ratio_and_inner_widths_stay_multiples(vit):
    dense = copy.deepcopy(vit.model)
    with torch.no_grad():
        for index, block in enumerate(blocks_of(dense)):
            dense.get_submodule(block.attention_out).weight.mul_(10.0**index)
    spread = {"importance": "norm", "scope": "global", "max_ratio": 0.5}
    sparse = prune(vit, dense, ratio=0.5, parts=("heads",), **spread)
    assert [len(block.heads) for block in blocks_of(sparse)] == [2, 2, 4]
    uneven = prune(vit, ratio=0.5, parts=("ffn",), importance="norm", round_to=12)
    assert [inner for *_, inner in widths(uneven)] == [12] * 3


def test_the_given_model_is_left_as_it_was(vit):
    before = {name: t.clone() for name, t in vit.model.state_dict().items()}
    prune(vit, ratio=0.5, parts=("heads", "ffn", "layers"))
    assert all(torch.equal(vit.model.state_dict()[name], t) for name, t in before.items())
    assert vit.model.network.config.pruned_heads == {}
    assert all(p.grad is None for p in vit.model.parameters())


@pytest.mark.parametrize("what", ["parameters", "macs", "size_mib"])
def test_a_budget_is_kept_and_nearly_used_up(vit, what):
    def price(model):
        found = cost(model, vit.signature, vit.batches[0])
        own = sum(p.nbytes for p in model.parameters()) / 2**20
        return {"parameters": found.parameters, "macs": found.macs, "size_mib": own}[what]

    budget = 0.7 * price(vit.model)
    given = budget if what == "size_mib" else int(budget)
    found = price(prune(vit, **{what: given}, round_to=1))
    assert 0.8 * budget <= found <= budget


def test_a_budget_that_cannot_be_reached_says_how_low_it_could_go(vit):
    with pytest.raises(
        StageError, match=r"cannot reach 0.00100 MiB: the dense .* is 0\.0\d+ MiB\."
    ):
        prune(vit, size_mib=0.001)


def test_a_model_without_an_encoder_says_what_to_take_instead():
    case = CASES["plain"]
    given = SimpleNamespace(signature=case.signature, batches=[case.samples(4)])
    with pytest.raises(StageError, match="no encoder of transformers") as caught:
        prune(given, case.model(), ratio=0.5)
    assert "Use channels" in str(caught.value)


def test_an_encoder_whose_layers_share_their_weights_is_refused():
    from transformers import AlbertConfig, AlbertForSequenceClassification

    shape = AlbertConfig(**FAMILIES["bert"], embedding_size=8, num_labels=3)
    text = made("bert")
    with pytest.raises(StageError, match="layers of this albert are not one list of alike layers"):
        prune(text, Text(AlbertForSequenceClassification(shape)).eval(), ratio=0.5)


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_a_pruned_model_is_the_same_after_saving_loading_and_being_pruned_again(family, tmp_path):
    case = made(family)
    once = prune(case, ratio=0.5, parts=("heads", "ffn"), scope="global", importance="norm")
    for number, options in enumerate([{"parts": ("layers",)}, {"parts": ("heads", "ffn")}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        sparse = prune(case, once, ratio=0.34, **options)
        save_model(folder, StoredModel(sparse, use(family), PICTURES, {}))
        loaded = load_model(folder)
        torch.testing.assert_close(outputs(case, loaded.module), outputs(case, sparse))
        assert widths(loaded.module) == widths(sparse)
        once = loaded.module


def test_what_was_not_cut_is_written_as_it_was_given(vit, tmp_path):
    sparse = prune(vit, ratio=0.5, parts=("ffn",))
    save_model(tmp_path, StoredModel(sparse, use("vit"), PICTURES, {}))
    assert load_model(tmp_path).use == use("vit")


@pytest.mark.parametrize(("family", "runtime"), [("vit", "executorch"), ("bert", "onnxruntime")])
def test_a_pruned_encoder_computes_the_same_once_exported(family, runtime, tmp_path):
    case = made(family)
    sparse = prune(case, ratio=0.5, parts=("heads", "ffn", "layers"), scope="global")
    program = UseRuntime.model_validate(runtime).build()
    out = tmp_path / f"model{program.suffix}"
    program.export(
        sparse,
        signature=case.signature,
        samples=case.batches[0],
        metadata={},
        quantization=None,
        calibration=(),
        activation="int8",
        out=out,
    )
    names = [port.name for port in case.signature.inputs]
    given = program.open(out)({name: case.batches[1][name].numpy() for name in names})
    with torch.no_grad():
        wanted = sparse(*(case.batches[1][name] for name in names))
    torch.testing.assert_close(torch.from_numpy(given["logits"]), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_pruned_classifier_of_texts_is_the_same_after_saving_and_loading(family, tmp_path):
    shape = ("batch", "sequence")
    signature = Signature(
        (Port("input_ids", "int64", shape, 50), Port("attention_mask", "int64", shape, 2)),
        TEXT.outputs,
        most=(("sequence", 6),),
    )
    (batch, *_) = made(family).batches
    named = {"input_ids": batch["tokens"], "attention_mask": batch["mask"]}
    sizes = {name: size for name, size in FAMILIES[family].items() if name != "vocab_size"}
    text = UseModel.model_validate({"kind": "pretrained", "config": {"model_type": family} | sizes})
    dense = text.build()(signature).eval()
    case = SimpleNamespace(signature=signature, batches=[batch | named])
    sparse = prune(case, dense, ratio=0.5, parts=("heads", "ffn", "layers"), scope="global")
    save_model(tmp_path, StoredModel(sparse, text, signature, {}))
    loaded = load_model(tmp_path)
    assert torch.equal(outputs(case, loaded.module), outputs(case, sparse))
    assert widths(loaded.module) == widths(sparse) != widths(dense)


def test_layers_have_ratios_of_their_own_whatever_goes_elsewhere(any_family):
    first, second, third = blocks_of(any_family.model)
    attention = first.attention_out.rpartition(".")[0]
    sparse = prune(
        any_family,
        ratio=0.5,
        importance="norm",
        ratios={attention: 0.0, second.path: 0.25, third.ffn[1]: 0.75},
    )
    assert [(w[0], w[2]) for w in widths(sparse)] == [(4, 16), (3, 24), (2, 8)]


def test_a_budget_is_kept_by_the_layers_without_a_ratio_of_their_own(vit):
    first = blocks_of(vit.model)[0]
    budget = int(0.8 * sum(p.numel() for p in vit.model.parameters()))
    sparse = prune(vit, parameters=budget, ratios={first.path: 0.0}, round_to=1)
    assert widths(sparse)[0] == widths(vit.model)[0]
    assert sum(p.numel() for p in sparse.parameters()) <= budget


@pytest.mark.parametrize("parts", [("ffn",), ("layers",)])
def test_a_ratio_for_what_has_no_such_part_is_refused_by_name(vit, parts):
    path = blocks_of(vit.model)[0].attention_out
    with pytest.raises(RequestError, match=f"'{path}' has no heads or inner width to lose"):
        prune(vit, ratio=0.5, parts=parts, ratios={path: 0.5})
    with pytest.raises(RequestError, match=r"no module 'encoder.nine'"):
        prune(vit, ratio=0.5, ratios={"encoder.nine": 0.5})


def test_a_layer_may_not_lose_more_than_any_may():
    with pytest.raises(ValidationError, match=r"0.95 for 'x' is above max_ratio 0.9"):
        UseTransform.model_validate({"kind": "encoder", "ratio": 0.5, "ratios": {"x": 0.95}})
