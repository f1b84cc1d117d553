"""Parts of classes: the targets written out, what they rest on, and what they find."""

from functools import cache
from math import exp, log

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.core.refs import UseSource
from edgekd.objectives.features.lelp import LELP, Projections
from edgekd.objectives.logits.kd import KD, kd

CLASSES, WIDTH = 2, 8
READ = ("student_feature", "teacher_feature", "teacher_logits", "labels")
HEAD = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(7))


def examples(count=120, seed=0):
    """Return an embedding, what a linear head makes of it, and labels."""
    embedding = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    embedding = embedding * torch.linspace(1, 3, WIDTH) + 2
    return embedding, embedding @ HEAD.T + 1, torch.arange(count) % CLASSES


def made(parts=4, data=None, **options):
    torch.manual_seed(0)
    term = Projections(LELP(**options))
    shapes = {"student_feature": (CLASSES * parts,), "teacher_feature": (WIDTH,)}
    term.prepare(Setting(shapes, 120, ["even", "odd"]))
    embedding, logits, labels = examples() if data is None else data
    term.fit(
        {"teacher_feature": embedding[i::3], "teacher_logits": logits[i::3], "labels": labels[i::3]}
        for i in range(3)
    )
    return term


@cache
def usual():
    return made()


def signals(parts=4, seed=1):
    embedding, logits, labels = examples(10, seed)
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randn(10, CLASSES * parts, generator=rng).requires_grad_()
    return {
        "student_feature": scores,
        "teacher_feature": embedding,
        "teacher_logits": logits,
        "labels": labels,
        "ids": torch.arange(10),
    }


def targets(term, embedding, logits):
    return term.targets(term.parts_of(embedding), logits)


def soft(values):
    total = sum(map(exp, values))
    return [exp(value) / total for value in values]


def test_it_equals_the_sums_written_out():
    term, found = made(temperature=2.0, alpha=0.25, spread=0.7), signals()
    slow = []
    for scores, own, said, label in zip(*(found[n].tolist() for n in READ), strict=True):
        told, classes = soft([s / 2 for s in scores]), soft([s / 2 for s in said])
        loss = 0.0
        for c in range(CLASSES):
            axes = term.axes[:, 4 * c : 4 * c + 4].T.tolist()
            z = [sum(a * h for a, h in zip(axis, own, strict=True)) for axis in axes]
            z = [(v - float(o)) / 0.7 for v, o in zip(z, term.offsets[4 * c :][:4], strict=True)]
            for s, part in enumerate(soft(z)):
                q = classes[c] * part
                loss += q * log(q / told[4 * c + s])
        plain = soft(scores)
        slow.append(0.75 * 4 * loss - 0.25 * log(sum(plain[4 * label : 4 * label + 4])))
    assert_close(term(**found), torch.tensor(slow), rtol=1e-3, atol=1e-4)


def test_the_parts_of_a_class_add_up_to_what_the_teacher_says_of_it():
    embedding, logits, _ = examples(seed=3)
    shares = targets(usual(), embedding, logits).exp().unflatten(-1, (CLASSES, 4))
    assert_close(shares.sum(-1), logits.softmax(-1))
    even = targets(made(spread=1e6), embedding, logits).exp().unflatten(-1, (CLASSES, 4))
    assert_close(even, (logits.softmax(-1)[..., None] / 4).expand_as(even), rtol=1e-3, atol=1e-6)


def test_with_one_part_it_is_kd_and_with_more_never_less():
    one = signals(parts=1)
    plain = kd(KD(temperature=3.0), student_logits=one["student_feature"],
               teacher_logits=one["teacher_logits"])  # fmt: skip
    assert_close(made(parts=1, temperature=3.0)(**one), plain, rtol=1e-4, atol=1e-5)
    found = signals()
    grouped = found["student_feature"].unflatten(-1, (CLASSES, 4)).logsumexp(-1)
    least = kd(KD(temperature=1.0), student_logits=grouped,
               teacher_logits=found["teacher_logits"])  # fmt: skip
    assert (usual()(**found) >= least - 1e-5).all()


def test_it_is_kd_of_the_classes_and_of_the_parts_within_each():
    found = signals()
    told = found["student_feature"].log_softmax(-1).unflatten(-1, (CLASSES, 4))
    wanted = targets(usual(), found["teacher_feature"], found["teacher_logits"])
    wanted = wanted.unflatten(-1, (CLASSES, 4))
    classes, own = (x.logsumexp(-1) for x in (wanted, told))
    within = [x - y[..., None] for x, y in ((wanted, classes), (told, own))]
    apart = (within[0].exp() * (within[0] - within[1])).sum(-1)
    chain = (classes.exp() * (classes - own + apart)).sum(-1)
    assert_close(usual()(**found), chain, rtol=1e-4, atol=1e-5)


def test_what_the_scores_say_and_what_all_have_in_common_divides_no_class():
    embedding, logits, labels = examples()
    before = targets(usual(), embedding, logits)
    moved = embedding + torch.randn(120, CLASSES) @ HEAD
    assert_close(targets(usual(), moved, logits), before, rtol=1e-3, atol=1e-2)
    assert (HEAD @ usual().axes).abs().max() < 1e-3
    shifted = targets(made(data=(embedding + 5, logits, labels)), embedding + 5, logits)
    assert_close(shifted, before, rtol=1e-3, atol=1e-2)
    assert (HEAD @ made(null_space=False).axes).abs().max() > 0.1


def test_the_scores_of_a_class_have_the_strongest_spreads_turned_and_mean_one():
    embedding, _, labels = examples()
    own = embedding[labels == 1]
    scores = own @ usual().axes[:, 4:] - usual().offsets[4:]
    assert_close(scores.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
    assert_close(scores.var(0, unbiased=False).mean(), torch.tensor(1.0), rtol=1e-4, atol=1e-4)
    null = torch.eye(WIDTH) - torch.linalg.pinv(HEAD) @ HEAD
    strength = torch.linalg.eigvalsh(((own - own.mean(0)) @ null).T.cov(correction=0))
    turned = torch.linalg.eigvalsh(scores.T.cov(correction=0))
    assert_close(turned, strength[-4:] / strength[-4:].mean(), rtol=1e-3, atol=1e-3)


def spreads(**options):
    """Return the variances of the scores of a class over its own examples."""
    embedding, _, labels = examples()
    return made(**options).parts_of(embedding[labels == 1])[:, 4:].var(0, unbiased=False)


def test_a_rotation_shares_out_the_spreads_and_hadamards_evenly():
    for rotation in ("random", "hadamard", "none"):
        assert_close(spreads(rotation=rotation).sum(), torch.tensor(4.0), rtol=1e-4, atol=0)
    assert_close(spreads(rotation="hadamard"), torch.ones(4), rtol=1e-3, atol=0)
    unturned = spreads(rotation="none")
    assert (unturned.diff() < 0).all()
    assert unturned[0] > 1.2 > 0.8 > unturned[3]
    assert not torch.allclose(spreads(), torch.ones(4), atol=0.05)
    for parts in (1, 2, 8):
        turn = made(parts, rotation="hadamard", null_space=False).turn
        assert_close(turn @ turn.T, torch.eye(parts))
    with pytest.raises(StageError, match=r"for 3 parts, which are no power of 2(?s:.*)random"):
        made(3, rotation="hadamard")


def test_by_chance_an_example_is_always_in_the_same_part_whatever_the_teacher_shows():
    found, term = signals(), made(by_chance=True)
    before = term(**found)
    assert_close(term(**found | {"teacher_feature": -found["teacher_feature"]}), before)
    order = torch.arange(9, -1, -1)
    turned = {name: column[order] for name, column in found.items()}
    assert_close(term(**turned), before[order])
    assert not torch.allclose(term(**found | {"ids": found["ids"] + 10}), before)
    drawn = term._drawn(torch.arange(4000))
    assert_close(drawn.mean(0), torch.zeros(8), rtol=0, atol=0.07)
    assert_close(drawn.T.cov(), torch.eye(8), rtol=0, atol=0.1)


def test_hidden_groups_within_a_class_are_found():
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randint(2, (120,), generator=rng)
    embedding, _, labels = examples()
    direction = torch.linalg.svd(HEAD)[2][-1]  # one that the head does not read
    embedding = embedding / 3 + 6 * (hidden[:, None] - 0.5) * direction
    term = made(2, (embedding, embedding @ HEAD.T, labels))
    parts = targets(term, embedding, embedding @ HEAD.T).unflatten(-1, (CLASSES, 2))
    for label in range(CLASSES):
        own = labels == label
        told = parts[own, label].argmax(-1)
        right = (told == hidden[own]).float().mean()
        assert max(right, 1 - right) > 0.95


def mutual_information(ones, others):
    """Return what two divisions of the same examples tell of each other, from 0 to 1."""
    joint = torch.zeros(int(ones.max()) + 1, int(others.max()) + 1)
    joint.index_put_((ones, others), torch.ones(len(ones)), accumulate=True)
    joint = joint / len(ones)
    sides = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    shared = (joint * (joint / (sides[0] * sides[1])).clamp(min=1e-12).log()).sum()
    entropies = [-(side * side.clamp(min=1e-12).log()).sum() for side in sides]
    return float(2 * shared / sum(entropies))


def digits(split, **options):
    source = UseSource.model_validate({"kind": "digits", **options}).build()
    columns = source.load(split)
    return torch.tensor(columns["image"].reshape(-1, 64)) / 255, torch.tensor(columns["label"])


@cache
def parity():
    """Return what a teacher of even and odd reads and says of the digits, its weights, and both."""
    image, labels = digits("train", classes=("02468", "13579"))
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU())
    head = nn.Linear(32, 2)
    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], 0.003)
    for _ in range(300):
        some = torch.randint(len(image), (50,))
        noisy = image[some] + 0.1 * torch.randn(50, 64)
        optimizer.zero_grad()
        F.cross_entropy(head(body(noisy)), labels[some]).backward()
        optimizer.step()
    embedding = body(image).detach()
    said = {"teacher_feature": embedding, "teacher_logits": head(embedding).detach()}
    torch.manual_seed(0)
    term = Projections(LELP())
    shapes = {"student_feature": (8,), "teacher_feature": (32,)}
    term.prepare(Setting(shapes, len(image), ["even", "odd"]))
    term.fit([said | {"labels": labels}])
    return term, said, head.weight.detach(), labels, digits("train")[1]


def test_its_targets_are_those_of_the_papers_steps_with_the_teachers_own_weights():
    term, said, weights, labels, _ = parity()
    embedding, logits = said["teacher_feature"].double(), said["teacher_logits"]
    weights = weights.double() * (embedding.std(0) > 0)  # a unit that is never on says nothing
    outside = embedding - embedding @ torch.linalg.pinv(weights) @ weights
    wanted = []
    for label in range(2):
        own = outside[labels == label]
        axes = torch.linalg.svd(own - own.mean(0), full_matrices=False)[2][:4]
        axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        scores = (outside - own.mean(0)) @ axes.T @ term.turn.double()
        deviation = scores[labels == label].square().mean().sqrt()
        shares = logits.softmax(-1)[:, label, None] * (scores / deviation / 0.5).softmax(-1)
        wanted.append(shares.float())
    assert_close(targets(term, **_given(said)).exp(), torch.cat(wanted, 1), rtol=1e-3, atol=1e-4)


def _given(said):
    return {"embedding": said["teacher_feature"], "logits": said["teacher_logits"]}


def test_parts_of_even_and_odd_tell_of_the_digits_that_the_teacher_was_never_told():
    term, said, _, labels, hidden = parity()
    parts = targets(term, **_given(said)).unflatten(-1, (2, 4)).argmax(-1)
    for label in range(2):
        own = labels == label
        told, digit = parts[own, label], hidden[own] // 2
        assert mutual_information(told, digit) > 0.15
        assert mutual_information(told[torch.randperm(len(told))], digit) < 0.05


def test_only_the_student_learns():
    found = signals()
    usual()(**found).sum().backward()
    assert found["student_feature"].grad.any(1).all()
    assert not [*usual().parameters()]


def test_a_student_without_parts_is_refused():
    term = Projections(LELP())
    with pytest.raises(
        StageError, match=r"gives \[7\], and no parts of 2 classes(?s:.*)subclasses"
    ):
        term.prepare(Setting({"student_feature": (7,), "teacher_feature": (8,)}, 9, ["a", "b"]))


def test_too_few_examples_or_directions_are_refused():
    with pytest.raises(StageError, match="fewer than 5 training examples are of class odd"):
        made(data=(*examples(120)[:2], torch.tensor([0] * 116 + [1] * 4)))
    with pytest.raises(StageError, match=r"depend on 2 directions of it: not 7 are left(?s:.*)6"):
        made(parts=7)
    assert made(parts=7, null_space=False).axes.isfinite().all()


def test_its_prediction_is_the_class_whose_parts_are_likeliest_together():
    scores = signals()["student_feature"].detach()
    probs = scores.softmax(-1).unflatten(-1, (CLASSES, 4)).sum(-1)
    grouped = scores.unflatten(-1, (CLASSES, 4)).logsumexp(-1)
    assert_close(F.softmax(grouped, -1), probs)
