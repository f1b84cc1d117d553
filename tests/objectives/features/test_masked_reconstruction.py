"""The masked auto-encoder's loss: written out, what it looks at, and its refusals."""

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from edgekd.core.errors import StageError
from edgekd.core.protocols.training import Setting
from edgekd.objectives.features.masked_reconstruction import MaskedReconstruction, Reconstruction

SMALL = {"width": 8, "depth": 1, "heads": 2}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(feature=(3, 5), image=(1, 4, 6), visible=2, hidden=4, **options):
    """Return a term for pictures of two rows of three patches."""
    torch.manual_seed(0)
    term = Reconstruction(MaskedReconstruction(**SMALL, **options))
    shapes = {
        "student_feature": feature, "image": image, "visible": (visible,), "hidden": (hidden,)
    }  # fmt: skip
    term.prepare(Setting(shapes, 10, ()))
    return term


def signals(channels=1):
    order = torch.tensor([[4, 0, 5, 2, 1, 3], [1, 2, 0, 3, 5, 4]])
    return {
        "student_feature": drawn(2, 3, 5).requires_grad_(),
        "image": drawn(2, channels, 4, 6, seed=1),
        "visible": order[:, :2],
        "hidden": order[:, 2:],
    }


@pytest.mark.parametrize("norm_pix", [False, True])
def test_it_is_the_mean_square_over_hidden_patches_written_out(norm_pix):
    term, found = made(image=(2, 4, 6), norm_pix=norm_pix), signals(channels=2)
    predicted = term.predicted(*(found[n] for n in ("student_feature", "visible", "hidden")))
    for b, loss in enumerate(term(**found)):
        total = masked = 0.0
        for patch in range(6):  # the equation's mask: 1 where a patch is hidden
            if patch not in found["hidden"][b]:
                continue
            row, column = divmod(patch, 3)
            pixels = [
                found["image"][b, c, 2 * row + y, 2 * column + x].item()
                for y in range(2)
                for x in range(2)
                for c in range(2)
            ]
            if norm_pix:
                mean = sum(pixels) / 8
                variance = sum((p - mean) ** 2 for p in pixels) / 7
                pixels = [(p - mean) / (variance + 1e-6) ** 0.5 for p in pixels]
            told = predicted[b, patch].tolist()
            total += sum((a - p) ** 2 for a, p in zip(told, pixels, strict=True)) / 8
            masked += 1
        assert masked == 4
        assert_close(loss.item(), total / masked, rtol=1e-4, atol=1e-5)


def test_what_is_predicted_of_visible_patches_does_not_count(monkeypatch):
    term, found = made(), signals()
    before, predicted = term(**found), term.predicted

    def shifted(tokens, visible, hidden):
        marks = torch.zeros(2, 6).scatter_(1, visible, 100.0)
        return predicted(tokens, visible, hidden) + marks[..., None]

    monkeypatch.setattr(term, "predicted", shifted)
    assert torch.equal(term(**found), before)
    monkeypatch.setattr(term, "predicted", lambda *given: predicted(*given) + 1)
    assert not torch.equal(term(**found), before)


def test_each_token_stands_at_the_place_of_its_patch():
    """The shuffle is undone: a hidden patch has the mask token, a visible one its own."""
    term, found = made(), signals()
    seen = []
    term.blocks.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    term(**found)
    own = term.embed(found["student_feature"])
    placed = seen[0][:, 1:] - term.places
    for b in range(2):
        for index, patch in enumerate(found["visible"][b].tolist()):
            assert_close(placed[b, patch], own[b, 1 + index])
        for patch in found["hidden"][b].tolist():
            assert_close(placed[b, patch], term.mask_token[0, 0])
    assert_close(seen[0][:, 0], own[:, 0])


def test_the_order_of_the_visible_patches_makes_no_difference():
    term, found = made(), signals()
    turned = dict(found)
    turned["visible"] = found["visible"].flip(1)
    turned["student_feature"] = found["student_feature"][:, [0, 2, 1]]
    assert_close(term(**turned), term(**found))


def test_all_its_parts_and_the_student_learn():
    term, found = made(), signals()
    term(**found).sum().backward()
    slopes = [found["student_feature"].grad, *(p.grad for p in term.parameters())]
    assert all(slope is not None and slope.any() for slope in slopes)


@pytest.mark.parametrize("feature", [(5,), (7, 5), (2, 5), (5, 4, 6)])
def test_a_tap_without_a_token_for_each_visible_patch_is_refused(feature):
    with pytest.raises(StageError, match=r"class and of 2 visible patches(?s:.*)student: norm"):
        made(feature)


def test_a_patch_of_one_number_cannot_be_normed_and_heads_share_the_width():
    with pytest.raises(StageError, match=r"one number has no spread(?s:.*)norm_pix: false"):
        made(image=(1, 2, 3), norm_pix=True)
    with pytest.raises(ValidationError, match="10 cannot be shared out to 4 heads"):
        MaskedReconstruction(width=10, heads=4)
