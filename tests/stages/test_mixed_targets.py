"""Labels and answers blended: what is kept, in which share, and when it is of no use."""

import pytest
import torch
from torch.testing import assert_close

from edgekd.core import kinds
from edgekd.core.errors import RunInterruptedError, StageError
from edgekd.core.refs import UseModel, UseTask
from edgekd.models.folder import save_model, stored_for
from edgekd.ops.self_distillation import best_share
from edgekd.testing.runs import ExampleRun
from edgekd.train.teaching import Description, Kept

STAGE = kinds.stage.get("mixed_targets")
USE = UseModel.model_validate({"kind": "depthwise", "width": 4, "blocks": (1,)})
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    given = {"kind": "image_classification", "data": "digits", "train_examples": 90}
    return UseTask.model_validate(given).build()


@pytest.fixture
def models(digits, tmp_path):
    """Return models of other weights, kept under their names."""
    made = {}
    for seed, name in enumerate(("plain", "taught", "other")):
        torch.manual_seed(seed)
        made[name] = USE.build()(digits.signature()).eval()
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, stored_for(digits, made[name], USE))
    return made


def made(run, **options):
    given = {"plain": "$plain", "taught": "$taught"} | options
    return STAGE.build(STAGE.config.model_validate(given))(run)


def answers(model, task, split):
    batches = list(task.batches(split, 2000, device=CPU))
    with torch.no_grad():
        said = torch.cat([model(batch["image"]) for batch in batches]).softmax(-1)
    return said, torch.cat([batch["labels"] for batch in batches])


@pytest.mark.parametrize("previous", ["plain", "other"])
def test_what_is_kept_is_the_blend_in_the_share_of_the_formula(models, digits, tmp_path, previous):
    run = ExampleRun(tmp_path, digits, name="targets")
    facts = made(run, **({} if previous == "plain" else {"previous": "$other"}))
    plain, labels = answers(models["plain"], digits, "validation")
    taught, _ = answers(models["taught"], digits, "validation")
    ones = torch.nn.functional.one_hot(labels, 10).float()
    raw = best_share(plain, taught, ones)
    assert facts["computed_share"] == pytest.approx(raw, rel=1e-4)
    share = min(max(raw, 0), 1)
    assert facts["result"].value == pytest.approx(share, rel=1e-4)
    said, labels = answers(models[previous], digits, "train")
    wanted = share * torch.nn.functional.one_hot(labels, 10) + (1 - share) * said
    kept = Kept(run.out, CPU)({"ids": torch.arange(90)}, 0).outputs["logits"]
    assert_close(kept.softmax(-1), wanted, rtol=2e-3, atol=1e-4)
    assert Description.read(run.out).augment == []


@pytest.mark.parametrize(("raw", "share", "said"), [(1.7, 1.0, 1), (-0.4, 0.0, 0), (0.25, 0.25, 0)])
def test_a_share_beyond_its_range_is_clipped_and_of_no_use_is_said(
    models, digits, tmp_path, monkeypatch, raw, share, said
):
    monkeypatch.setattr("edgekd.stages.mixed_targets.best_share", lambda *given: raw)
    run = ExampleRun(tmp_path, digits, name="targets")
    facts = made(run)
    assert (facts["result"].value, facts["computed_share"]) == (share, raw)
    assert len(run.notices) == said
    if said:
        assert "self-distillation is not useful here: the best share" in run.notices[0]
        assert "1.7" in run.notices[0]
        kept = Kept(run.out, CPU)({"ids": torch.arange(90)}, 0).outputs["logits"]
        assert torch.equal(kept.argmax(-1), answers(models["plain"], digits, "train")[1])


def test_models_that_say_the_same_are_refused(models, digits, tmp_path):
    with pytest.raises(StageError, match="no share can be found: both models say the same"):
        made(ExampleRun(tmp_path, digits, name="targets"), taught="$plain")


def test_an_interrupted_stage_leaves_the_same_files(models, digits, tmp_path):
    whole = ExampleRun(tmp_path, digits, name="whole")
    made(whole)
    with pytest.raises(RunInterruptedError, match="asked about 90 of 90"):
        made(ExampleRun(tmp_path, digits, name="broken", stops=lambda: True))
    again = ExampleRun(tmp_path, digits, name="broken")
    made(again)
    files = [{f.name: f.read_bytes() for f in run.out.iterdir()} for run in (whole, again)]
    assert files[0] == files[1]
