"""Examples that are two at once: a share of their own and the rest of another of the batch."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from edgekd.ops.shapes import ClassShares, Labels, PerExample

OTHER_LABELS, OWN_SHARE = "other_labels", "own_share"
"""Columns of a batch whose examples were mixed: the label of the other one, the share of the own
one, both [batch]. `labels` stays that of the own one."""

SECOND = "second_"
"""How the names begin of the columns of a second view: `second_image` [batch, ...]."""

Partners = Int64[Tensor, " batch"]
Input = Float[Tensor, "batch *rest"]


def ring(keys: Float[Tensor, " batch"]) -> Partners:
    """Return for each example the one after it in the order of the keys, after the last the first.

    Of two examples or more none is its own.
    """
    order = keys.argsort(stable=True)
    return torch.empty_like(order).scatter_(0, order, order.roll(-1))


def lowest(keys: Float[Tensor, " batch"], count: int) -> Tensor:
    """Return a mark on the `count` examples with the lowest keys, bool [batch]."""
    marks = torch.zeros_like(keys, dtype=torch.bool)
    return marks.scatter_(0, keys.argsort(stable=True)[:count], True)


def blend(own: Input, share: Float[Tensor, " batch"], partner: Partners) -> Input:
    """Return share * own + (1 - share) * partner of each example; to the bit its own at share 1."""
    weight = share.reshape(-1, *[1] * (own.ndim - 1)).to(own)
    return torch.where(weight == 1, own, weight * own + (1 - weight) * own[partner])


def class_shares(labels: Labels, other: Labels, share: PerExample, classes: int) -> ClassShares:
    """Return what each class has of each example: `share` its own class, the rest the other."""
    given = torch.zeros(*labels.shape, classes, device=share.device, dtype=share.dtype)
    given.scatter_add_(-1, labels[..., None], share[..., None])
    return given.scatter_add_(-1, other[..., None], 1 - share[..., None])


def labels_of(batch: Mapping[str, Tensor], classes: int) -> dict[str, Tensor]:
    """Return a batch whose `labels` are shares of classes where its examples were mixed."""
    given = dict(batch)
    if OWN_SHARE in given:
        other, share = given.pop(OTHER_LABELS), given.pop(OWN_SHARE)
        given["labels"] = class_shares(given["labels"], other, share, classes)
    return given
