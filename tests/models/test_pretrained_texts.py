"""Text classifiers of transformers, tiny and saved here."""

from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.refs import UseModel
from edgekd.core.signature import Port, Signature
from edgekd.models.folder import StoredModel, load_model, save_model
from edgekd.models.pretrained import check
from edgekd.tasks.tokenizer import Tokenizer, TokenizerOptions

LENGTH, ENTRIES = 12, 1000
BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
DISTILBERT = {"model_type": "distilbert", "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}


def signature(classes=3, entries=ENTRIES, length=LENGTH):
    shape = ("batch", "sequence")
    return Signature(
        (Port("input_ids", "int64", shape, entries), Port("attention_mask", "int64", shape, 2)),
        (Port("logits", "float32", ("batch", classes)),),
        most=(("sequence", length),),
    )


def use(**options):
    return UseModel.model_validate({"kind": "pretrained", **options})


def build(sig=None, **options):
    torch.manual_seed(0)
    return use(**options).build()(sig or signature()).eval()


def rows(lengths, columns=LENGTH):
    ids = torch.randint(
        0, ENTRIES, (len(lengths), columns), generator=torch.Generator().manual_seed(0)
    )
    mask = (torch.arange(columns) < torch.tensor(lengths)[:, None]).long()
    return ids, mask


@pytest.fixture(scope="module")
def bert():
    return build(config=BERT)


@pytest.fixture(scope="module")
def folder(bert, tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    bert.network.save_pretrained(path)
    tokenizer = Tokenizer.train(TokenizerOptions(entries=ENTRIES), ["some text"], LENGTH)
    (path / "tokenizer.json").write_bytes(tokenizer.content)
    return path


@pytest.mark.parametrize("config", [BERT, DISTILBERT], ids=["bert", "distilbert"])
def test_a_configuration_becomes_a_network_for_the_tokens_places_and_classes(config):
    network = build(config=config)
    assert network(*rows([12, 3])).shape == (2, 3)
    assert network.network.config.vocab_size == ENTRIES
    assert network.network.config.max_position_embeddings == LENGTH


def test_what_the_mask_hides_changes_nothing(bert):
    ids, mask = rows([5, 12])
    other = torch.where(mask == 0, (ids + 1) % ENTRIES, ids)
    assert not torch.equal(other, ids)
    assert_close(bert(other, mask), bert(ids, mask), atol=1e-6, rtol=0)
    assert_close(bert(ids[:1, :5], mask[:1, :5]), bert(ids, mask)[:1], atol=1e-6, rtol=0)


def test_it_answers_as_transformers_does(bert, folder):
    from transformers import AutoModelForSequenceClassification

    own = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids, mask = rows([1, 5, 12])
    expected = own(input_ids=ids, attention_mask=mask).logits
    assert_close(build(folder=str(folder))(ids, mask), expected, atol=1e-5, rtol=1e-5)


def test_no_layer_sees_numbers_that_int8_could_not_count_to(bert):
    seen = []

    def note(_module, _given, named, _out):
        seen.append(named["attention_mask"].min().item())

    layers = bert.network.bert.encoder.layer
    hooks = [x.attention.self.register_forward_hook(note, with_kwargs=True) for x in layers]
    bert(*rows([1, 5, 12]))
    for hook in hooks:
        hook.remove()
    assert seen == [-30.0, -30.0]


def test_an_export_takes_any_batch_and_shorter_texts_and_answers_alike(bert):
    batch = torch.export.Dim("batch", min=1, max=64)
    sequence = torch.export.Dim("sequence", min=1, max=LENGTH)
    shapes = ({0: batch, 1: sequence}, {0: batch, 1: sequence})
    program = torch.export.export(bert, rows([12, 3]), dynamic_shapes=shapes).module()
    for columns in (1, 2, 7, 12):
        given = rows([1, columns, columns, 1, 1], columns)
        assert_close(program(*given), bert(*given), atol=1e-5, rtol=1e-5)


def test_a_model_in_our_own_folder_comes_back_with_weights_and_companions(bert, tmp_path):
    stored = StoredModel(bert, use(config=BERT), signature(), {}, companions={"a.json": b"{}"})
    save_model(tmp_path, stored)
    again = load_model(tmp_path)
    given = rows([4, 9])
    assert torch.equal(again.module(*given), bert(*given))
    assert again.companions == {"a.json": b"{}"}
    assert (tmp_path / "a.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("sig", "says"),
    [
        (signature(entries=2000), "it knows 1,000 tokens, and the tokenizer has 2,000"),
        (signature(length=64), r"does not take texts of 64 tokens \(it has places for 12"),
    ],
)
def test_texts_that_the_folders_model_does_not_take_are_refused(folder, sig, says):
    with pytest.raises(ValueError, match=says):
        build(sig, folder=str(folder))


@pytest.mark.parametrize(
    ("sig", "config", "says"),
    [
        (None, {"model_type": "vit"}, "no text classifier of type 'vit'"),
        (
            Signature((Port("sound", "float32", ("batch", 9)),), signature().outputs),
            BERT,
            "no kind of network that takes sound and gives logits",
        ),
    ],
)
def test_what_transformers_has_no_network_for_is_refused(sig, config, says):
    with pytest.raises(ValueError, match=says):
        build(sig, config=config)


class Letters:
    """A task with a tokenizer, as far as a check looks at it."""

    quality = ("accuracy",)

    def files(self):
        return ()

    size = batches = files

    def __init__(self, tokenizer):
        self.options = SimpleNamespace(tokenizer=TokenizerOptions(**tokenizer))

    def signature(self):
        return signature()

    def facts(self):
        return {"labels": ["a", "b", "c"]}


def complaints(folder, **tokenizer):
    return [*check(use(folder=str(folder)).options, Letters(tokenizer), taught=True)]


def test_a_folders_model_wants_the_tokens_that_it_learnt(folder, tmp_path):
    assert complaints(folder, file=str(folder)) == []
    (problem,) = complaints(folder)
    assert "learnt the tokens of its own tokenizer.json" in problem.message
    assert f"tokenizer: {{file: {folder}}}" in problem.next_step
    other = Tokenizer.train(TokenizerOptions(entries=ENTRIES), ["other words"], LENGTH)
    (tmp_path / "tokenizer.json").write_bytes(other.content)
    (problem,) = complaints(folder, file=str(tmp_path))
    assert f"not those of {tmp_path}" in problem.message
