"""How far one distribution over classes lies from another."""

from torch.nn import functional as F  # noqa: N812

from edgekd.ops.shapes import Logits, PerExample


def divergence(of: Logits, to: Logits) -> PerExample:
    r"""Return $KL(p \| q) = \sum_c p_c (\log p_c - \log q_c)$ over the last dimension, in nats.

    `of` holds log p, none of them infinite, and `to` log q; both have the gradient.
    """
    return F.kl_div(to, of, reduction="none", log_target=True).sum(-1)
