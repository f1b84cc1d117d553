"""The best share of labels: exact for linear smoothers, as kernel ridge shows."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from edgekd.ops.self_distillation import best_share

TOY = [0.384766, 1.233397, 1.332322, 0.692016, -0.297561, -0.241893, -0.796449, -0.961648,
       -0.496725, -0.346907, 0.558951]  # fmt: skip
"""Targets of the paper's example at 0, 0.1, ..., 1; the truth is sin(2 pi x)."""


def kernel(a, b, gamma):
    apart = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    return np.exp(-gamma * apart)


def fit(points, targets, gamma, ridge):
    """Return the function that kernel ridge regression finds."""
    inverse = np.linalg.inv(kernel(points, points, gamma) + ridge * np.eye(len(points)))
    return lambda at: kernel(at, points, gamma) @ inverse @ targets


def share_of(plain, taught, truth):
    return best_share(*(torch.tensor(x) for x in (plain, taught, truth)))


@pytest.mark.parametrize(
    ("share", "errors"),
    [
        (0.0, [0.16477, 0.15076, 0.14915, 0.15561, 0.16735, 0.18251]),
        (0.25, [0.16477, 0.15309, 0.14958, 0.14903, 0.14946, 0.15011]),
        (0.35, [0.16477, 0.15424, 0.15089, 0.14983, 0.14954, 0.14948]),
    ],
)
def test_of_the_papers_example_no_blend_beats_the_closed_form(share, errors):
    answers = np.zeros(0)
    points, labels = np.linspace(0, 1, 11)[:, None], np.array(TOY)[:, None]
    at = np.linspace(0, 1, 101)[:, None]
    truth, targets = np.sin(2 * np.pi * at), labels
    plain = fit(points, labels, 80, 0.2)(at)
    for error in errors:
        found = fit(points, targets, 80, 0.2)
        assert ((found(at) - truth) ** 2).mean() == pytest.approx(error, abs=2e-5)
        if targets is not labels:  # of a fit on labels alone and one on answers alone
            taught = fit(points, answers, 80, 0.2)(at)
            best = share_of(plain, taught, truth)
            blends = [
                fit(points, a * labels + (1 - a) * answers, 80, 0.2)(at) for a in (best, share)
            ]
            assert np.allclose(blends[0], best * plain + (1 - best) * taught)
            first, second = (((blend - truth) ** 2).mean() for blend in blends)
            assert first <= second + 1e-12
        answers = found(points)
        targets = share * labels + (1 - share) * answers


def generations(share, count):
    """Return what the model of each generation says of the paper's example's own points."""
    points, labels = np.linspace(0, 1, 11)[:, None], np.array(TOY)[:, None]
    said = [labels]
    for _ in range(count):
        said.append(fit(points, share * labels + (1 - share) * said[-1], 80, 0.2)(points))
    return np.array(said[1:])[..., 0]


@pytest.mark.parametrize(("share", "limit"), [(0.0, 0.49505), (0.25, 0.1525), (0.35, 0.14959)])
def test_many_generations_are_one_fit_with_the_ridge_over_the_share(share, limit):
    points, labels = np.linspace(0, 1, 11)[:, None], np.array(TOY)[:, None]
    at = np.linspace(0, 1, 101)[:, None]
    after = generations(share, 400)[-1:].T
    last = fit(points, share * labels + (1 - share) * after, 80, 0.2)
    if share:
        assert np.allclose(last(at), fit(points, labels, 80, 0.2 / share)(at), atol=1e-12)
    else:
        assert np.abs(after).max() < 1e-12
    assert ((last(at) - np.sin(2 * np.pi * at)) ** 2).mean() == pytest.approx(limit, abs=2e-5)


def test_labels_alone_stay_and_answers_alone_shrink_by_the_smoother():
    still = generations(1.0, 3)
    assert np.allclose(still, still[0])
    points = np.linspace(0, 1, 11)[:, None]
    smoother = fit(points, np.eye(11), 80, 0.2)(points)
    found = generations(0.0, 4)
    for count, said in enumerate(found, 1):
        assert np.allclose(said, np.linalg.matrix_power(smoother, count) @ TOY)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.607])
def test_generations_near_their_limit_at_a_rate_and_make_weak_directions_weaker(share):
    points = np.linspace(0, 1, 11)[:, None]
    strengths, vectors = np.linalg.eigh(kernel(points, points, 80))
    kept = strengths / (strengths + 0.2)
    labels = vectors.T @ np.array(TOY)
    told = np.array([vectors.T @ said / labels for said in generations(share, 12)])
    limit = kept * share / (1 - (1 - share) * kept)
    gaps = np.abs(told - limit).max(1)
    assert (gaps[1:] <= (1 - share) * kept.max() * gaps[:-1] + 1e-12).all()
    ratios = told[:, :-1] / told[:, 1:]  # of a weaker direction to the next stronger one
    assert (ratios <= ratios[0] + 1e-9).all()
    if not share:
        assert np.allclose(ratios, ratios[0] ** np.arange(1, 13)[:, None])


def test_it_is_the_lowest_point_of_a_fine_grid():
    rng = np.random.default_rng(0)
    plain, taught, truth = (rng.random((50, 4)) for _ in range(3))
    grid = np.linspace(-2, 2, 4001)
    errors = [((a * plain + (1 - a) * taught - truth) ** 2).mean() for a in grid]
    assert share_of(plain, taught, truth) == pytest.approx(grid[np.argmin(errors)], abs=1e-3)


def test_with_wrong_labels_generations_get_better_in_most_splits_and_with_right_ones_stay():
    images, classes = load_digits(return_X_y=True)
    images, wanted, better, gained, raw = images / 16, np.eye(10)[classes], 0, [], []
    for split in range(10):
        rng = np.random.default_rng(split)
        order = rng.permutation(len(images))
        train, held, rest = order[:300], order[300:600], order[600:]
        labels = wanted[train].copy()
        labels[:120] = np.eye(10)[rng.integers(0, 10, 120)]
        errors, right, targets = [], [], labels
        plain = fit(images[train], labels, 0.05, 0.1)(images[held])
        for _ in range(3):
            found = fit(images[train], targets, 0.05, 0.1)
            said = found(images[rest])
            errors.append(((said - wanted[rest]) ** 2).mean())
            right.append((said.argmax(1) == classes[rest]).mean())
            answers = found(images[train])
            taught = fit(images[train], answers, 0.05, 0.1)(images[held])
            raw.append(share_of(plain, taught, wanted[held]))
            share = min(max(raw[-1], 0), 1)
            targets = share * labels + (1 - share) * answers
        better += errors[-1] < errors[0]
        gained.append(right[-1] - right[0])
    assert better >= 8
    assert np.mean(gained) >= 0.01
    assert 0 < np.mean(raw) < 1
    clean = fit(images[train], wanted[train], 0.05, 0.1)
    taught = fit(images[train], clean(images[train]), 0.05, 0.1)(images[held])
    assert share_of(clean(images[held]), taught, wanted[held]) > 1


def test_two_models_that_say_the_same_tell_nothing():
    same = torch.rand(4, 3)
    with pytest.raises(ValueError, match="both models say the same of every example"):
        best_share(same, same, torch.rand(4, 3))
