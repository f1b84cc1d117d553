"""A feature of the student read as scores of the classes, by a branch for training alone.

So networks of different families meet where they have the same meaning: the branch learns from the
teacher's scores as the head does in `ofa`. One term for each stage that is tapped, beside `ofa` and
`cross_entropy`. The authors' branches have as many convolutions as stages are left and end as wide
as the wider network; here both are options, since stages differ from model to model. Of tokens
the mean is read, a class token among them; the authors read that token where there is one, and
merge tokens to a grid of 7 x 7 before their blocks.
"""

from torch import Tensor, nn

from edgekd.core.config import Count, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops.features import MAP, TOKENS, pooled
from edgekd.ops.shapes import ClassShares, Features, Labels, Logits, PerExample
from edgekd.ops.targets import EnhancedTarget, enhanced, weighted_cross_entropy

PAPER = Paper(
    "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
    "2310.19444",
    "its exit branches",
)
HEADS = 4
"""Of attention, in a branch of tokens."""


class OFABranch(EnhancedTarget):
    """Options of the branch and of its target."""

    blocks: Count = 0
    """Blocks before the mean: of a map, separable convolutions that halve it and double its
    channels; of tokens, transformer blocks. The authors have 4 - i after stage i of 4."""
    width: PositiveCount | None = None
    """What the linear layer of the classes reads; as wide as the feature without it."""


@objective(
    config=OFABranch,
    paper=PAPER,
    mixed_labels=True,
    tries=(["cross_entropy", "ofa", {"kind": "ofa_branch", "tap": "maps"}],),
)
class OFABranchLoss(nn.Module):
    """Holds the branch of one tapped feature."""

    branch: nn.Module
    classes: nn.Module

    def __init__(self, config: OFABranch):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the branch; StageError where a feature has no such blocks."""
        shape, classes = setting.shapes["student_feature"], setting.shapes["teacher_logits"][-1]
        if len(shape) + 1 == MAP:
            self.branch, wide = _of_map(shape, self.config)
        elif len(shape) + 1 == TOKENS:
            self.branch, wide = _of_tokens(shape, self.config)
        elif self.config.blocks:
            raise StageError(
                "a vector has no blocks in ofa_branch.", "Leave blocks out, or tap a map."
            )
        else:
            wide = self.config.width or shape[-1]
            self.branch = nn.Sequential(nn.Linear(shape[-1], wide), nn.ReLU())
        self.classes = nn.Linear(wide, classes)
        self.apply(_initialised)

    def forward(
        self,
        *,
        student_feature: Features,
        teacher_logits: Logits,
        labels: Labels | ClassShares,
    ) -> PerExample:
        r"""Return $-\sum_c w_c \log p_c$ per example, p the branch's and w as in `ofa`."""
        weights = enhanced(self.config, teacher_logits, labels)
        temperature = self.config.temperature
        return weighted_cross_entropy(self.scores(student_feature), weights, temperature)

    def scores(self, feature: Features) -> Logits:
        """Return what the branch makes of a feature."""
        found: Tensor = self.classes(pooled(self.branch(feature.float())))
        return found


def _of_map(shape: tuple[int, ...], config: OFABranch) -> tuple[nn.Module, int]:
    """Return the layers of a map [channels, height, width], and the channels that they end in."""
    channels, layers = shape[0], list[nn.Module]()
    for _ in range(config.blocks):
        layers += [*_separable(channels, channels, 2), *_separable(channels, 2 * channels, 1)]
        channels *= 2
    wide = config.width or channels
    return nn.Sequential(*layers, nn.Conv2d(channels, wide, 1, bias=False), *_normed(wide)), wide


def _separable(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    """Return a depthwise 3x3 convolution and a pointwise one, normed and activated."""
    depthwise = nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)
    return depthwise, nn.Conv2d(before, after, 1, bias=False), *_normed(after)


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU()


def _of_tokens(shape: tuple[int, ...], config: OFABranch) -> tuple[nn.Module, int]:
    """Return the layers of tokens [tokens, width], and the width that they end in."""
    width = shape[-1]
    if config.blocks and width % HEADS:
        raise StageError(
            f"tokens of {width} numbers cannot be shared by the {HEADS} heads of a block.",
            "Leave blocks out of ofa_branch, or tap a module whose width is a multiple of 4.",
        )
    blocks = (
        nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )
        for _ in range(config.blocks)
    )  # fmt: skip
    wide = config.width or width
    last = nn.Identity() if wide == width else nn.Linear(width, wide)
    return nn.Sequential(*blocks, last), wide


def _initialised(module: nn.Module) -> None:
    """Begin as the authors do."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
