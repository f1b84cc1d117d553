"""Graphs of tokens: each term written out, and what leaves them unchanged."""

from math import exp, log

import pytest
import torch
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.relations.token_graph import (
    TokenGraph,
    TokenGraphLoss,
    contextual,
    graph,
    local,
    temperature,
)

NONE = {"inner": 0.0, "local": 0.0, "contextual": 0.0}
HALF = torch.tensor(0.5)


def tokens(*shape, seed=0, grad=False):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return made.requires_grad_(grad)


def term(options=None, *, own=(5, 6), other=(5, 4)):
    torch.manual_seed(0)
    found = TokenGraphLoss(TokenGraph(**options or {}))
    shapes = {"student_feature": own, "teacher_feature": other, "progress": ()}
    found.prepare(Setting(shapes, 10, ()))
    return found


def rotation(width):
    turn, _ = torch.linalg.qr(tokens(width, width, seed=7))
    return turn


def value(options, student, teacher, progress=HALF):
    found = term(options, own=student.shape[1:], other=teacher.shape[1:])
    return found(student_feature=student, teacher_feature=teacher, progress=progress)


def chances(row):
    return [exp(v) / sum(map(exp, row)) for v in row]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def written_out_inner(student, teacher):
    """Return the mean square of the differences, over pictures and pairs of tokens."""
    apart = []
    for own, other in zip(student, teacher, strict=True):
        rows = (
            [chances([dot(a, b) / len(a) ** 0.5 for b in side]) for a in side]
            for side in (own, other)
        )
        apart += [
            (x - y) ** 2 for a, b in zip(*rows, strict=True) for x, y in zip(a, b, strict=True)
        ]
    return sum(apart) / len(apart)


def written_out_graph(side, neighbours, sigma):
    squared = [[sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for b in side] for a in side]
    found = [[0.0] * len(side) for _ in side]
    for j in range(len(side)):
        others = sorted((squared[i][j], i) for i in range(len(side)) if i != j)
        for apart, i in others[:neighbours]:
            found[i][j] = exp(-apart / (2 * sigma))
    return found


def written_out_local(student, teacher, support):
    """Return the mean over tokens of KL(student's row || teacher's row)."""
    graphs = [written_out_graph(side, 3, 0.5) for side in (student, teacher)]
    rows = []
    for own, other in zip(*graphs, strict=True):
        near = [support == "all" or bool(a or b) for a, b in zip(own, other, strict=True)]
        p, q = (chances([v for v, n in zip(row, near, strict=True) if n]) for row in (own, other))
        rows.append(sum(a * log(a / b) for a, b in zip(p, q, strict=True)))
    return sum(rows) / len(rows)


def test_the_inner_term_equals_the_loops():
    student, teacher = tokens(3, 5, 6), tokens(3, 5, 4, seed=1)
    slow = written_out_inner(student.tolist(), teacher.tolist())
    assert_close(value(NONE | {"inner": 2.0}, student, teacher), torch.tensor(2 * slow))


@pytest.mark.parametrize("support", ["all", "neighbours"])
def test_the_local_term_equals_the_loops(support):
    student, teacher = tokens(9, 6), tokens(9, 4, seed=1)
    config = TokenGraph(neighbours=3, unit_length=False, support=support)
    slow = written_out_local(student.tolist(), teacher.tolist(), support)
    assert_close(local(config, student, teacher), torch.tensor(slow), rtol=1e-4, atol=1e-6)
    turned = config.model_copy(update={"kl_order": "teacher"})
    assert_close(local(turned, teacher, student), local(config, student, teacher))


def test_the_global_term_equals_the_loops():
    student, teacher = tokens(5, 4), tokens(5, 4, seed=1)
    slow = 0.0
    for i, own in enumerate(student.tolist()):
        near = [dot(own, t) / (dot(own, own) * dot(t, t)) ** 0.5 / 0.2 for t in teacher.tolist()]
        slow -= log(chances(near)[i]) / 5
    assert_close(contextual(student, teacher, torch.tensor(0.2)), torch.tensor(slow))


@pytest.mark.parametrize("support", ["all", "neighbours"])
def test_equal_tokens_have_nothing_to_teach(support):
    same = tokens(3, 5, 6)
    options = NONE | {"inner": 1.0, "local": 1.0, "support": support}
    assert_close(value(options, same, same), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert value(options, same, tokens(3, 5, 6, seed=2)) > 1e-4


def test_a_rotation_changes_neither_graph_and_a_shift_the_inner_one_alone():
    student, teacher, turn = tokens(2, 5, 6), tokens(2, 5, 4, seed=1), rotation(4)
    inner, near = NONE | {"inner": 1.0}, NONE | {"local": 1.0, "unit_length": False}
    for options in (inner, near):
        assert_close(value(options, student, teacher @ turn), value(options, student, teacher))
    assert_close(value(near, student, teacher + 3), value(near, student, teacher))
    assert abs(value(inner, student, teacher + 3) - value(inner, student, teacher)) > 1e-4


def test_the_order_of_the_tokens_changes_neither_the_local_nor_the_global_term():
    student, teacher, order = tokens(12, 4), tokens(12, 4, seed=1), torch.randperm(12)
    config, half = TokenGraph(), torch.tensor(0.2)
    assert_close(local(config, student[order], teacher[order]), local(config, student, teacher))
    assert_close(
        contextual(student[order], teacher[order], half), contextual(student, teacher, half)
    )


def test_each_token_has_exactly_its_nearest_neighbours_and_never_itself():
    found = graph(TokenGraph(neighbours=3), tokens(10, 4))
    assert (found > 0).sum(0).tolist() == [3] * 10
    assert found.max() <= 1
    assert not found.diagonal().any()
    assert (graph(TokenGraph(neighbours=8), tokens(4, 4)) > 0).sum(0).tolist() == [3] * 4


def test_the_global_term_keeps_within_its_bounds():
    same, other = tokens(10, 4), tokens(10, 4, seed=1)
    assert_close(contextual(same, other, torch.tensor(1e6)), torch.tensor(log(10)))
    assert contextual(same, same * 3, torch.tensor(0.001)) < 1e-4
    for tau in (0.07, 0.5):
        low, high = (log(1 + 9 * exp(sign * 2 / tau)) for sign in (-1, 1))
        assert low <= contextual(same, other, torch.tensor(tau)) <= high


def test_the_temperature_falls_from_coarse_to_fine():
    config = TokenGraph(coarse=0.5, fine=0.07)
    way = [temperature(config, torch.tensor(done)).item() for done in (0.0, 0.25, 0.5, 1.0)]
    assert way[0] == pytest.approx(0.5)
    assert way[-1] == pytest.approx(0.07)
    assert way == sorted(way, reverse=True)
    assert way[2] == pytest.approx((0.5 * 0.07) ** 0.5)


def test_without_weights_nothing_is_computed_and_no_chance_is_drawn():
    state = torch.get_rng_state()
    loss = value(NONE, tokens(2, 5, 6), tokens(2, 5, 4, seed=1))
    torch.manual_seed(0)
    assert loss == 0
    found = term(NONE | {"tokens": 2})
    before = torch.get_rng_state()
    found(student_feature=tokens(2, 5, 6), teacher_feature=tokens(2, 5, 4), progress=HALF)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)


def test_the_same_tokens_of_both_are_drawn():
    same = tokens(4, 5, 6)
    options = NONE | {"local": 1.0, "tokens": 7}
    assert_close(value(options, same, same), torch.tensor(0.0), atol=1e-6, rtol=0)
    small = value(NONE | {"contextual": 1.0, "tokens": 7, "coarse": 1e6, "fine": 1e6}, same, same)
    assert_close(small, torch.tensor(log(7)))


def test_gradient_reaches_the_student_and_the_projection_and_no_teacher():
    student, teacher = tokens(3, 5, 6, grad=True), tokens(3, 5, 4, seed=1, grad=True)
    found = term()
    found(student_feature=student, teacher_feature=teacher, progress=HALF).backward()
    assert student.grad.isfinite().all()
    assert student.grad.any()
    assert teacher.grad is None
    assert found.projection.weight.grad.any()


def test_half_precision_is_finite_also_where_all_tokens_are_alike():
    flat = torch.ones(3, 5, 6, dtype=torch.bfloat16, requires_grad=True)
    loss = value(None, flat, torch.ones(3, 5, 4, dtype=torch.bfloat16))
    loss.backward()
    assert loss.isfinite()
    assert flat.grad.isfinite().all()


def test_maps_meet_on_the_smaller_grid_and_tokens_beside_a_map_without_their_class_token():
    small, large = tokens(2, 3, 2, 2), tokens(2, 5, 4, 4, seed=1)
    pooled = torch.nn.functional.avg_pool2d(large, 2)
    rows = [side.flatten(2).transpose(1, 2) for side in (small, pooled)]
    assert_close(value(None, small, large), value(None, *rows))
    own = large.flatten(2).transpose(1, 2)
    with_class = torch.cat([tokens(2, 1, 5, seed=3), own], 1)
    assert_close(value(None, small, own), value(None, small, large))
    assert_close(value(None, small, with_class), value(None, small, large))


@pytest.mark.parametrize(
    ("student", "teacher", "says"),
    [
        ((3, 2, 2), (7, 5), "7 tokens do not lie in a square"),
        ((6, 3), (7, 5), "no places in common"),
        ((3, 2, 2), (5,), "no places in common"),
    ],
)
def test_features_without_places_in_common_are_refused(student, teacher, says):
    with pytest.raises(StageError, match=says):
        term(own=student, other=teacher)
