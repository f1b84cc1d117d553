"""A learned share of teacher and label: its gradient, what it sees, and where it trusts whom."""

from math import exp, log

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.logits.kd import KD, kd
from edgekd.objectives.logits.tgeo import TGeo, TrilateralFusion
from edgekd.testing.signals import example_signals

CLASSES = 7
NEEDS = ("student_logits", "teacher_logits", "labels")


class Trial:
    """A study of one batch; it keeps what is learned by and what is noted."""

    def __init__(self, term, step=2, student=None, seed=0, optimizer=None):
        torch.manual_seed(seed)
        self.network = student or nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, CLASSES))
        self.network = self.network.double().requires_grad_(False)
        self.term, self.step, self.noted, self.losses = term, step, {}, []
        self.batch, self.held = self._examples(6), self._examples(5)
        self.parameters = dict(self.network.named_parameters())
        self.optimizer, self.rate, self.plain, self.draws = optimizer, 0.1, self.batch, None

    def _examples(self, count):
        x = torch.randn(count, 4).double()
        self.told = torch.randn(count, CLASSES).double() * 2
        return {"x": x, "labels": torch.randint(CLASSES, (count,)), "told": self.told}

    def student(self, batch, parameters=None):
        own = self.parameters | (parameters or {})
        return {"logits": functional_call(self.network, own, (batch["x"],))}

    def teacher(self, batch):
        return {"logits": batch["told"]}

    def held_out(self):
        return self.held

    def learn(self, loss):
        self.losses.append(loss)
        slopes = torch.autograd.grad(loss, [*self.term.fusion.parameters()], retain_graph=True)
        if self.optimizer is not None:
            for parameter, slope in zip(self.term.fusion.parameters(), slopes, strict=True):
                parameter.grad = slope
            self.optimizer.step()
        self.slopes = slopes

    def note(self, **numbers):
        self.noted |= numbers


def made(**options):
    torch.manual_seed(1)
    term = TrilateralFusion(TGeo(**options))
    term.prepare(Setting({"teacher_logits": (CLASSES,)}, 40, ()))
    said = example_signals(NEEDS, seed=5, batch=40)
    term.fit([{"teacher_logits": said["teacher_logits"], "labels": said["labels"]}])
    return term


def soft(scores, heat=1.0):
    total = sum(exp(v / heat) for v in scores)
    return [exp(v / heat) / total for v in scores]


@pytest.mark.parametrize(("differences", "power"), [("squared", 2), ("absolute", 1)])
def test_it_equals_the_sums_written_out(differences, power):
    term, found = made(temperature=2.0, differences=differences), example_signals(NEEDS)
    weights = [(layer.weight.tolist(), layer.bias.tolist()) for layer in term.fusion[::2]]
    slow = []
    for s, t, y in zip(*(found[n].tolist() for n in NEEDS), strict=True):
        a, b, m = soft(s), soft(t), term.class_means[y].tolist()
        g = [float(c == y) for c in range(CLASSES)]
        pairs = ((m, a), (g, a), (b, a), (b, g), (m, g))
        seen = [*a, *b, *g, *m]
        seen += [
            abs(p - q) ** power for left, right in pairs for p, q in zip(left, right, strict=True)
        ]
        for weight, bias in weights:
            seen = [sum(w * x for w, x in zip(row, seen, strict=True)) + c
                    for row, c in zip(weight, bias, strict=True)]  # fmt: skip
            seen = [x if x > 0 or len(seen) == 1 else 0.01 * x for x in seen]
        alpha = 1 / (1 + exp(-seen[0]))
        p, q = soft(s, 2.0), soft(t, 2.0)
        divergence = sum(k * (log(k) - log(x)) for k, x in zip(q, p, strict=True))
        slow.append(alpha * 4 * divergence - (1 - alpha) * log(a[y]))
    assert_close(term(**found), torch.tensor(slow), rtol=1e-4, atol=1e-5)


def test_the_class_means_are_of_the_examples_of_each_class_and_add_up_to_one():
    said = example_signals(("teacher_logits", "labels"), seed=5, batch=40)
    probs = said["teacher_logits"].softmax(-1)
    term = made()
    for label in range(CLASSES):
        rows = said["labels"] == label
        wanted = probs[rows].mean(0) if rows.any() else torch.full((CLASSES,), 1 / CLASSES)
        assert_close(term.class_means[label], wanted)
    assert_close(term.class_means.sum(-1), torch.ones(CLASSES))


def test_the_network_sees_nine_vectors_of_the_classes_without_a_gradient_to_the_student():
    term, found = made(), example_signals(NEEDS)
    features = term.features(*found.values())
    assert features.shape == (6, 9 * CLASSES)
    assert not features.requires_grad
    student = found["student_logits"]
    term.fused(torch.full((6,), 0.3), **renamed(found)).sum().backward()
    expected, student.grad = student.grad, None
    term.share = lambda *_: torch.full((6,), 0.3)
    term(**found).sum().backward()
    assert_close(student.grad, expected)


def renamed(found):
    return {name.removesuffix("_logits"): value for name, value in found.items()}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_share_that_is_the_same_for_all_makes_it_plain_distillation(alpha):
    term, found = made(temperature=3.0), example_signals(NEEDS)
    plain = kd(KD(temperature=3.0), **{name: found[name] for name in NEEDS[:2]})
    hard = F.cross_entropy(found["student_logits"], found["labels"], reduction="none")
    got = term.fused(torch.full((6,), alpha), **renamed(found))
    assert_close(got, alpha * plain + (1 - alpha) * hard)


def test_shares_lie_between_0_and_1_begin_near_one_half_and_follow_a_permutation():
    term, found = made(), example_signals(NEEDS)
    alpha = term.share(*found.values())
    assert ((alpha > 0.4) & (alpha < 0.6)).all()
    assert alpha.std() > 0
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert_close(term.share(*(value[order] for value in found.values())), alpha[order])


def per_example(trial, term, which):
    """Return the gradient of one of the two losses of every example, as rows."""
    rows = []
    for i in range(6):
        own = {n: p.clone().requires_grad_() for n, p in trial.parameters.items()}
        scores = trial.student(trial.batch, own)["logits"][i : i + 1]
        share = torch.full((1,), float(which)).double()
        one = (scores, trial.batch["told"][i : i + 1], trial.batch["labels"][i : i + 1])
        slopes = torch.autograd.grad(term.fused(share, *one).sum(), [*own.values()])
        rows.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(rows)


def held_out_slope(trial, term, alpha):
    """Return the gradient of the held-out loss after the step that the shares give."""
    step = alpha[:, None] * per_example(trial, term, 1)
    step = (step + (1 - alpha)[:, None] * per_example(trial, term, 0)).mean(0)
    moved, at = {}, 0
    for name, value in trial.parameters.items():
        change = step[at : at + value.numel()].reshape(value.shape)
        moved[name] = (value - term.config.virtual_rate * change).requires_grad_()
        at += value.numel()
    loss = F.cross_entropy(trial.student(trial.held, moved)["logits"], trial.held["labels"])
    slopes = torch.autograd.grad(loss, [*moved.values()])
    return loss.item(), torch.cat([slope.flatten() for slope in slopes])


def exact():
    term = made(virtual_rate=0.5).double()
    return term, Trial(term)


def test_the_outer_gradient_is_the_closed_form():
    term, trial = exact()
    term.after_step(trial)
    shares = term.share(
        trial.student(trial.batch)["logits"], *(trial.batch[n] for n in ("told", "labels"))
    )
    _, after = held_out_slope(trial, term, shares.detach())
    apart = per_example(trial, term, 1) - per_example(trial, term, 0)
    of_shares = -(term.config.virtual_rate / 6) * (apart @ after)
    wanted = torch.autograd.grad(shares, [*term.fusion.parameters()], of_shares)
    for slope, closed in zip(trial.slopes, wanted, strict=True):
        assert_close(slope, closed, rtol=0, atol=1e-9)
        assert slope.any()


def test_the_outer_gradient_is_the_slope_of_the_held_out_loss():
    term, trial = exact()
    term.after_step(trial)
    weight, small, losses = term.fusion[0].weight, 1e-4, []
    for sign in (1, -1):
        with torch.no_grad():
            weight[2, 5] += sign * small
        term.after_step(trial)
        losses.append(trial.losses[-1].item())
        with torch.no_grad():
            weight[2, 5] -= sign * small
    term.after_step(trial)
    assert abs(trial.slopes[0][2, 5].item() - (losses[0] - losses[1]) / (2 * small)) < 1e-6


def test_where_both_losses_pull_alike_a_share_has_no_gradient():
    term, trial = exact()
    # a teacher that is certain of the label, at temperature 1
    trial.batch["told"] = F.one_hot(trial.batch["labels"], CLASSES).double() * 60
    term.config = TGeo(temperature=1.0)
    term.after_step(trial)
    assert all(slope.abs().max() < 1e-12 for slope in trial.slopes)


def test_an_outer_step_moves_the_network_and_comes_every_so_often():
    term = made(outer_every=3).double()
    for step in (1, 2, 3):
        trial = Trial(term, step, optimizer=term.own_optimizer())
        before = [parameter.clone() for parameter in term.fusion.parameters()]
        term.after_step(trial)
        moved = any(
            not torch.equal(was, now)
            for was, now in zip(before, term.fusion.parameters(), strict=True)
        )
        assert moved == (step == 3)
        assert bool(trial.losses) == (step == 3)
    assert {*trial.noted} >= {"alpha", "alpha_spread"}
    assert 0 < trial.noted["alpha"] < 1


def test_the_last_layer_alone_may_be_what_the_tried_step_moves():
    term = made(inner_params="head")
    parameters = dict(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 7)).named_parameters())
    assert [*term.moving(parameters)] == ["1.weight", "1.bias"]
    assert [*made().moving(parameters)] == [*parameters]


def test_a_student_that_has_no_second_derivative_is_told_what_to_do(monkeypatch):
    term, trial = exact()

    def learn(loss):
        raise RuntimeError("derivative for aten::flash_attention_backward is not implemented")

    monkeypatch.setattr(trial, "learn", learn)
    with pytest.raises(StageError, match="cannot be differentiated twice") as caught:
        term.after_step(trial)
    assert "inner_params: head" in caught.value.next_step
