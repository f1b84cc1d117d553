"""Another model with two heads, and how they are blended."""

from math import exp

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from edgekd.core.kinds import runtime
from edgekd.core.refs import UseModel, UseTask
from edgekd.models.dual_head import (
    SHARES,
    TEMPERATURES,
    DualHead,
    best_blend,
    blended,
    calibrate,
)
from edgekd.models.folder import load_model, save_model, stored_for
from edgekd.models.inner import check_inner, settled_around
from edgekd.objectives.logits.dho import DHO, dho
from edgekd.ops.named import call_by_name
from edgekd.testing.tiny import PAIRS, PICTURES
from edgekd.train.calibrate import calibrated

INNER = {"kind": "depthwise", "width": 4, "blocks": (1,)}
USE = UseModel.model_validate({"kind": "dual_head", "of": INNER})
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task():
    return UseTask.model_validate({"kind": "image_classification", "data": "digits"}).build()


def network(use=USE, signature=PICTURES):
    torch.manual_seed(0)
    return use.build()(signature).eval()


def heads(seed=0, count=200):
    return torch.randn(count, 2, 5, generator=torch.Generator().manual_seed(seed)) * 2


def test_it_gives_the_logarithm_of_the_blend_written_out():
    model, image = network(), torch.randn(3, 1, 8, 8)
    model.head.share.fill_(0.3)
    model.head.temperature.fill_(1.5)
    feature = model.pool(model.stages(model.stem(image)))
    for row, own, other in zip(
        model(image).tolist(),
        model.head.both.labels(feature).tolist(),
        model.head.both.teacher(feature).tolist(),
        strict=True,
    ):
        first = [exp(v) / sum(map(exp, own)) for v in own]
        second = [exp(v / 1.5) / sum(exp(w / 1.5) for w in other) for v in other]
        blend = [0.3 * a + 0.7 * b for a, b in zip(first, second, strict=True)]
        assert [exp(v) for v in row] == pytest.approx(blend, rel=1e-4)


@given(share=st.sampled_from(SHARES), temperature=st.floats(0.5, 4), seed=st.integers(0, 2**16))
def test_blends_are_probabilities_and_no_worse_than_both_heads_apart(share, temperature, seed):
    both = heads(seed, 8)
    probs = blended(both, share, temperature)
    assert_close(probs.sum(-1), torch.ones(8))
    first, second = both[:, 0].log_softmax(-1), (both[:, 1] / temperature).log_softmax(-1)
    assert (-probs.log() <= -(share * first + (1 - share) * second) + 1e-4).all()


def test_equal_heads_give_the_one_head_whatever_the_share():
    same = heads()[:, :1].repeat(1, 2, 1)
    for share in SHARES:
        assert_close(blended(same, share, 1.0), same[:, 0].softmax(-1))


def test_share_and_temperature_choose_between_the_heads():
    both = heads()
    first, second = both.argmax(-1).unbind(1)
    for share, temperature, wanted in (
        (1.0, 1.0, first), (0.0, 1.0, second), (0.4, 1e-4, second), (0.05, 1e6, first)
    ):  # fmt: skip
        assert torch.equal(blended(both, share, temperature).argmax(-1), wanted)


@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_the_fitted_blend_is_no_worse_than_each_head_alone_and_both_in_halves(seed):
    both = heads(seed, 60)
    labels = torch.randint(5, (60,), generator=torch.Generator().manual_seed(seed))

    def right(share, temperature):
        return (blended(both, share, temperature).argmax(-1) == labels).sum()

    fitted = best_blend(both, labels)
    assert fitted[0] in SHARES
    assert fitted[1] in TEMPERATURES
    assert right(*fitted) >= max(right(1.0, 1.0), right(0.0, 1.0), right(0.5, 1.0))


def test_of_equally_good_blends_the_first_is_taken():
    certain = 50 * torch.eye(5)[:, None].repeat(1, 2, 1)
    assert best_blend(certain, torch.arange(5)) == (SHARES[0], TEMPERATURES[0])
    certain[:, 1] = certain[:, 1].roll(1, 0)  # the teacher's head is always wrong
    assert best_blend(certain, torch.arange(5)) == (0.55, TEMPERATURES[0])


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_each_loss_reaches_its_own_head_and_the_features_of_both(weights):
    model, seen = network().train(), []
    model.head.both.register_forward_hook(lambda _module, _inputs, both: seen.append(both))
    model(torch.randn(6, 1, 8, 8))
    options = DHO(label_weight=weights[0], teacher_weight=weights[1])
    given = {"teacher_logits": torch.randn(6, 10), "labels": torch.arange(6)}
    dho(options, student_feature=seen[0], **given).backward()
    both = model.head.both
    reached = [bool(head.weight.grad.any()) for head in (both.labels, both.teacher)]
    assert reached == [weight > 0 for weight in weights]
    assert all(p.grad.any() for p in model.stem.parameters() if p.ndim > 1)


def test_the_teachers_head_may_read_directions_alone():
    use = UseModel.model_validate({"kind": "dual_head", "of": INNER, "length": 100.0})
    both, feature = network(use).head.both, torch.rand(3, 4)
    scale = 100 / feature.square().sum(1, keepdim=True).sqrt()
    assert_close(both(feature)[:, 1], both.teacher(feature * scale))
    assert_close(both(7 * feature)[:, 1], both(feature)[:, 1])
    assert torch.equal(both(feature)[:, 0], both.labels(feature))


def test_it_is_fitted_to_the_validation_split_alone_and_kept_with_the_model(task, tmp_path):
    model, seen = network(signature=task.signature()), []
    batches = task.batches

    def noting(split, *args, **kwargs):
        seen.append(split)
        return batches(split, *args, **kwargs)

    task.batches = noting
    try:
        facts = calibrated(model, USE, task, CPU)
    finally:
        del task.batches
    assert seen == ["validation"]
    fitted = facts["blend"]
    given_batches = [*task.batches("validation", 500, device=CPU)]
    both = torch.cat([model.head.both(model.pool(model.stages(model.stem(b["image"]))))
                      for b in given_batches])  # fmt: skip
    wanted = best_blend(both, torch.cat([b["labels"] for b in given_batches]))
    assert (fitted["share"], fitted["temperature"]) == pytest.approx(wanted)
    save_model(tmp_path, stored_for(task, model, USE))
    image = given_batches[0]["image"]
    assert torch.equal(load_model(tmp_path).module(image), model(image))


def test_an_asked_for_blend_stays():
    options = DualHead(of=UseModel.model_validate(INNER), share=0.25, fit=False)
    use = UseModel(kind="dual_head", options=options)
    model = network(use)
    facts = calibrate(options, model, PICTURES, [{"image": torch.rand(4, 1, 8, 8)}])
    assert facts == {"blend": {"share": 0.25, "temperature": 1.0}}


def test_an_exported_program_gives_the_blend(tmp_path):
    model = network()
    model.head.share.fill_(0.35)
    model.head.temperature.fill_(2.0)
    image = torch.randn(64, 1, 8, 8)
    plugin = runtime.get("onnxruntime")
    onnx = plugin.build(plugin.config())
    onnx.export(
        model,
        signature=PICTURES,
        samples={"image": image},
        metadata={},
        quantization=None,
        calibration=[],
        activation="uint8",
        out=tmp_path / "m.onnx",
    )
    given_arrays = onnx.open(tmp_path / "m.onnx")({"image": image.numpy()})
    wanted = call_by_name(model, PICTURES, {"image": image})["logits"].detach().numpy()
    np.testing.assert_allclose(given_arrays["logits"], wanted, atol=1e-5)


def test_a_model_that_ends_in_no_linear_layer_is_refused():
    with pytest.raises(ValueError, match="gives logits alone, and this task wants logits and emb"):
        network(signature=PAIRS)
    whole = UseModel.model_validate({"kind": "dual_head", "of": {"kind": "whole"}})
    with pytest.raises(ValueError, match="whole ends in no linear layer that gives 10 classes"):
        network(whole)


@pytest.fixture(autouse=True)
def own_model():
    """Register a model whose options lead outside, and that has something to say."""
    from edgekd.core import kinds
    from edgekd.core.config import Config
    from edgekd.core.errors import Problem

    class Whole(Config):
        folder: str = "/models"

    def told(config, task, *, taught):
        yield Problem("folder", "is empty.", "Fill it.")

    def settled(config, module):
        return Whole(folder="")

    @kinds.model(config=Whole, name="whole", check=told, settle=settled)
    def whole(config, signature):
        return torch.nn.Conv2d(1, 10, 8)

    yield
    del kinds.model._loaded["whole"]


def test_what_the_inner_model_says_of_its_options_is_passed_on(task):
    options = DualHead(of=UseModel.model_validate("whole"))
    (problem,) = check_inner(options, task, taught=True)
    assert (problem.path, problem.message) == ("of.folder", "is empty.")
    assert settled_around(options, torch.nn.Identity()).of.options.folder == ""
    plain = DualHead(of=UseModel.model_validate(INNER))
    assert list(check_inner(plain, task, taught=True)) == []
    assert settled_around(plain, torch.nn.Identity()) == plain
