"""Cross-entropy with the true labels: learning without a teacher, and the usual second term."""

from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Share
from edgekd.core.kinds import objective
from edgekd.ops.shapes import ClassShares, Labels, Logits, PerExample


class CrossEntropy(Config):
    """Options of the cross-entropy."""

    label_smoothing: Share = 0.0
    """Share of the target spread evenly over all classes. It tends to make a worse teacher."""


@objective(config=CrossEntropy, mixed_labels=True)
def cross_entropy(
    config: CrossEntropy, *, student_logits: Logits, labels: Labels | ClassShares
) -> PerExample:
    r"""Return $-\sum_c q_c \log p_c$ per example, q the labels (smoothed where asked for)."""
    classes = student_logits.shape[-1]
    shared = labels.is_floating_point()
    losses = F.cross_entropy(
        student_logits.reshape(-1, classes),
        labels.reshape(-1, classes) if shared else labels.reshape(-1),
        reduction="none",
        label_smoothing=config.label_smoothing,
    )
    return losses.reshape(student_logits.shape[:-1])
