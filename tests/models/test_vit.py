"""The vision transformer."""

import pytest
import torch
from pydantic import ValidationError

from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.ops.blocks import blocks_of
from edgekd.train.taps import tapped

SMALL = {"width": 12, "depth": 2, "heads": 3, "patch": 2}


def signature(channels=1, height=8, width=8, classes=10):
    return Signature(
        (Port("image", "float32", ("batch", channels, height, width)),),
        (Port("logits", "float32", ("batch", classes)),),
    )


def build(sig=None, **options):
    torch.manual_seed(0)
    use = UseModel.model_validate({"kind": "vit", **SMALL, **options})
    return use.build()(sig or signature()).eval()


def test_vit_tiny_has_its_5_7_million_parameters():
    given = {"width": 192, "depth": 12, "heads": 3, "patch": 16}
    network = build(signature(3, 224, 224, 1000), **given)
    assert sum(p.numel() for p in network.parameters()) == 5_717_416 - 192  # no place for the class


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 4, 10), (1, 2, 2)])
def test_it_takes_pictures_of_any_number_of_patches(channels, height, width):
    network = build(signature(channels, height, width, 7))
    assert network(torch.rand(3, channels, height, width)).shape == (3, 7)


def test_taps_give_tokens_that_begin_with_that_of_the_class():
    network, image = build(), torch.rand(2, 1, 8, 8)
    with tapped(network, ["patches", "blocks.1", "norm"]) as seen:
        scores = network(image)
    assert [seen[n].shape for n in ("patches", "blocks.1", "norm")] == [
        (2, 16, 12), (2, 17, 12), (2, 17, 12)
    ]  # fmt: skip
    assert torch.equal(network.head(seen["norm"][:, 1:].mean(1)), scores)
    assert torch.equal(network.norm(seen["blocks.1"]), seen["norm"])
    assert [*blocks_of(network)] == [*network.blocks]


def test_the_head_reads_the_token_of_the_class_where_it_is_asked_to():
    network, image = build(pool="class"), torch.rand(2, 1, 8, 8)
    with tapped(network, ["norm"]) as seen:
        scores = network(image)
    assert torch.equal(network.head(seen["norm"][:, 0]), scores)


def test_a_token_is_a_linear_map_of_its_patch_and_its_place():
    network, image = build(), torch.rand(1, 1, 8, 8)
    weight = network.patches.project.weight[:, 0].flatten(1)
    patch = image[0, 0, 2:4, 4:6].flatten()  # second row, third column: number 6
    own = weight @ patch + network.patches.project.bias + network.patches.places[0, 6]
    torch.testing.assert_close(network.patches(image)[0, 6], own)


def test_attention_and_block_equal_the_sums_written_out():
    block = build().blocks[0]
    tokens = torch.randn(1, 3, 12)
    normed = block.norm_attention(tokens)[0]
    query, key, value = block.attention.inputs(normed).split(12, -1)
    heads = []
    for h in range(3):
        q, k, v = (x[:, 4 * h : 4 * h + 4] for x in (query, key, value))
        heads.append(((q @ k.T) / 2).softmax(-1) @ v)
    summed = tokens[0] + block.attention.output(torch.cat(heads, 1))
    summed = summed + block.mlp(block.norm_mlp(summed))
    torch.testing.assert_close(block(tokens)[0], summed)


def test_an_export_takes_any_batch_and_answers_alike():
    network = build()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(network, (torch.rand(2, 1, 8, 8),), dynamic_shapes=(batch,))
    image = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(program.module()(image), network(image))


def test_it_comes_back_from_its_folder(tmp_path):
    use = UseModel.model_validate({"kind": "vit", **SMALL})
    network, image = build(), torch.rand(2, 1, 8, 8)
    save_model(tmp_path, StoredModel(network, use, signature(), {}))
    assert torch.equal(load_model(tmp_path).module(image), network(image))


def test_what_cannot_be_shared_out_is_refused():
    with pytest.raises(ValidationError, match="width 10 cannot be shared out to 3 heads"):
        build(width=10)
    with pytest.raises(ValidationError, match="leaves the perceptron nothing"):
        build(mlp_ratio=0.01)
    with pytest.raises(ValueError, match="8 x 8 are not made of whole patches of 3 pixels"):
        build(patch=3)
    tokens = Signature((Port("tokens", "int64", ("batch", 6)),), signature().outputs)
    with pytest.raises(ValueError, match="vit takes one image"):
        build(tokens)
