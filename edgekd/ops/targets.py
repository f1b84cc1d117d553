"""Targets that are made of what a teacher says and of the label."""

from typing import Literal

import torch
from torch import Tensor

from edgekd.core.config import Config, Positive
from edgekd.ops.shapes import ClassShares, Labels, Logits, PerExample


class EnhancedTarget(Config):
    """Options of a target in which the true class counts more."""

    gamma: Positive = 1.0
    """Power of the enhancement; the authors have 1 for CIFAR-100, 1.5 for DeiT-T to ResNet-18."""
    temperature: Positive = 1.0
    """Softens both sides; as the authors have it, the loss is not multiplied by its square."""
    others: Literal["gamma", "1"] = "gamma"
    """Power of the other classes: gamma in the authors' code, 1 in the paper."""


def enhanced(config: EnhancedTarget, teacher: Logits, labels: Labels | ClassShares) -> Logits:
    r"""Return the weight of each class: $(1 + p_y)^\gamma - 1$ of the true one, $p_c^\gamma$ else.

    p is the softened teacher, y the class with the largest share of the label. Gamma 1 gives p. No
    gradient goes to the teacher.
    """
    probs = (teacher.detach().float() / config.temperature).softmax(-1)
    true = labels.argmax(-1) if labels.is_floating_point() else labels
    mask = torch.zeros_like(probs).scatter_(-1, true[..., None], 1.0)
    raised = (probs + mask) ** config.gamma - mask
    return raised if config.others == "gamma" else torch.where(mask > 0, raised, probs)


def weighted_cross_entropy(scores: Logits, weights: Tensor, temperature: float) -> PerExample:
    r"""Return $-\sum_c w_c \log softmax(s / T)_c$ per example; the weights need not sum to 1."""
    return -(weights * (scores.float() / temperature).log_softmax(-1)).sum(-1)
