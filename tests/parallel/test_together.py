"""Several processes come to what one comes to: weights, scores, histories and messages."""

import pytest
import torch


def test_they_tell_each_other_what_they_have(together):
    said = [found.numbers["telling"] for found in together]
    assert said[0] == said[1] == said[2]
    assert said[0]["sum"] == [3.0, 0 + 1 + 2]
    assert said[0]["gathered"] == [0, 10, 11, 20, 21, 22]
    assert said[0]["said"] == {"from": 0}
    assert said[0]["decided"] == [True, False]
    assert said[0]["weight"] == 1 + 2 + 3
    assert said[0]["mean"] == pytest.approx((0 * 1 + 1 * 2 + 2 * 3) / 6)


@pytest.mark.parametrize("shape", ["pictures", "vectors", "sound"])
@pytest.mark.parametrize(
    "what",
    ["out", "slope", "weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
)
def test_a_norm_sees_the_batch_of_all(alone, together, shape, what):
    ours, torchs = (found.tensors[f"{shape}/{what}"] for found in (together[0], alone))
    torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)


def test_what_cancels_is_not_lost_in_bfloat16(alone, together):
    ours, torchs = (found.tensors["half/slope"] for found in (together[0], alone))
    assert (ours - torchs).norm() < 0.005 * torchs.norm()  # bfloat16 has eight bits


TRAINED = (
    "plain",
    "clipped",
    "in_parts",
    "recomputed",
    "projected",
    "fitted",
    "contrasted",
    "weighed",
    "selected",
    "with_peer",
    "peer",
    "pruned",
    "resumed",
)


@pytest.mark.parametrize("trained", TRAINED)
def test_they_train_what_one_trains(alone, together, trained):
    names = [name for name in alone.tensors if name.startswith(f"{trained}/")]
    assert len(names) > 6
    # the loss is computed in float32, and so is all that a term learns
    apart = 2e-6 if trained in ("projected", "fitted", "contrasted", "weighed") else 1e-8
    for name in names:
        found, wanted = (one.tensors[name] for one in (together[0], alone))
        torch.testing.assert_close(found, wanted, rtol=0, atol=apart)


def test_they_prune_the_same_channels_while_they_train(alone, together):
    for found in (alone, *together):
        weight = found.tensors["pruned/body.1.0.weight"]
        gone = (weight == 0).flatten(1).all(1)
        assert gone.sum() == 4
        assert torch.equal(gone, (alone.tensors["pruned/body.1.0.weight"] == 0).flatten(1).all(1))


def test_all_have_the_same_bytes(together):
    for other in together[1:]:
        for name, tensor in together[0].tensors.items():
            assert torch.equal(tensor, other.tensors[name]), name


def test_a_weight_that_nothing_rests_on_stays(together):
    apart = {n: t for n, t in together[0].tensors.items() if "apart" in n}
    fresh = {n: t for n, t in apart.items() if n.startswith("untrained/")}
    assert len(apart) == 14 * len(fresh) == 28
    for name, tensor in apart.items():
        assert torch.equal(tensor, fresh[f"untrained/{name.partition('/')[2]}"]), name


def test_they_choose_the_same_examples(alone, together):
    for found in (alone, *together):
        chosen = [entry["selected"] for entry in found.numbers["selected"]]
        assert all(0 < own["kept"] < own["of"] for own in chosen)
        assert chosen == [entry["selected"] for entry in alone.numbers["selected"]]


@pytest.mark.parametrize("trained", ["plain", "clipped", "in_parts"])
def test_their_history_is_that_of_one(alone, together, trained):
    ours, theirs = together[2].numbers[trained], alone.numbers[trained]
    assert len(ours) == len(theirs) == 2
    for here, there in zip(ours, theirs, strict=True):
        assert here["loss"] == pytest.approx(there["loss"], rel=1e-6)
        assert here["terms"] == pytest.approx(there["terms"], rel=1e-6)
        assert here["validation"] == there["validation"]


def test_every_example_is_scored_once(alone, together):
    assert alone.numbers["score"]["n"] == 449 == 7 * 64 + 1, "else no batch is had by all"
    assert all(found.numbers["score"] == alone.numbers["score"] for found in together)


def test_they_stop_in_step_and_go_on_to_the_same_bytes(together):
    for found in together:
        after = found.numbers["resumed"]
        assert after["said"].startswith("Training stopped after step 6 of 10")
        assert after["epochs"] == found.numbers["plain"]
        assert not after["notices"]
    found = together[0].tensors
    for name in [name for name in found if name.startswith("resumed/")]:
        assert torch.equal(found[name], found[name.replace("resumed", "plain")]), name


def test_a_loss_that_is_not_finite_ends_all_and_names_the_whole_batch(alone, together):
    said = [found.numbers["spoilt"]["message"] for found in together]
    assert said[0] == said[1] == said[2] == alone.numbers["spoilt"]["message"]
    assert "(32 in all)" in said[0]
    written = [found.numbers["spoilt"]["written"] for found in together]
    assert "non_finite.json" in written[0]
    assert written[1:] == ["", ""]


def test_a_divided_teacher_says_the_same_and_takes_its_share(together, alone):
    assert alone.numbers["parts"]["here"] == alone.numbers["parts"]["all"]
    for found in together:
        parts = found.numbers["parts"]
        assert parts["same"]
        assert parts["here"] < 0.45 * parts["all"]
    assert sum(f.numbers["parts"]["here"] for f in together) == alone.numbers["parts"]["all"]
