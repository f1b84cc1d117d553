"""Which of the teacher's prototypes each place of a picture is nearest to, told by the student.

Prototypes are means of the teacher's tokens (what a tapped module gives at each place: of a map its
channels, of a transformer its rows), found by k-means over the training split: it is fitted. The
term asks for no labels and no scores, so teacher and student may tell other things apart. The
student's feature goes through a linear map to the teacher's width, dropped at the end; of maps that
differ in size the larger is averaged down. The source read was the abstract: the equations are this
project's. Of the paper's two parts this is the first; the second, which adds prototypes to the
student's own feature, is the model `prototyped`: it has a map of its own, and is given what is
found here.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.protocols.values import Signals
from edgekd.core.registry import Paper
from edgekd.ops.divergence import divergence
from edgekd.ops.features import apart, as_tokens, at_same_places
from edgekd.ops.projectors import linear, width_of
from edgekd.ops.prototypes import Prototypes, Recall, log_shares
from edgekd.ops.shapes import Features, OtherFeatures, PerExample

PAPER = Paper(
    "Prototype-guided Cross-task Knowledge Distillation for Large-scale Models",
    "2212.13180",
    "its prototype learning",
)
ROUNDS = 100
"""Most rounds of k-means; it ends with the first that moves no token."""

Tokens = Float[Tensor, "tokens width"]


class ProCK(Config):
    """Options of the prototypes; all are this project's."""

    prototypes: PositiveCount = 32
    """How many there are."""
    projector: bool = True
    """Learn a linear map from the student's feature. Without it the feature must be as wide as the
    teacher's, as that at `query` of a model `prototyped` is."""
    hint: NonNegative = 0.0
    """Weight of the mean square between the student's projected tokens and the teacher's."""
    tokens: PositiveCount = 16_384
    """Most tokens that prototypes are found by, drawn evenly; equal ones count once."""


@objective(config=ProCK, paper=PAPER, tries=(["cross_entropy", {"kind": "prock", "tap": "maps"}],))
class PrototypeGuidance(nn.Module):
    """Remember the prototypes; learn the linear map."""

    prototypes: Prototypes
    middle: Float[Tensor, " width"]
    spread: Float[Tensor, ""]

    def __init__(self, config: ProCK):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the map and room for prototypes; StageError where no places are in common.

        So it is where there is no map and the widths differ.
        """
        self.own, wanted = (setting.shapes[f"{who}_feature"] for who in ("student", "teacher"))
        at_same_places(torch.empty(1, *self.own), torch.empty(1, *wanted))
        width, own = width_of(wanted), width_of(self.own)
        if not self.config.projector and own != width:
            raise StageError(
                f"the student's feature is {own} wide and the teacher's {width}.",
                "Leave projector out of prock, or tap query of a model prototyped of that width.",
            )
        self.query = linear(self.own, width) if self.config.projector else nn.Identity()
        self.register_buffer("prototypes", torch.zeros(self.config.prototypes, width))
        self.register_buffer("middle", torch.zeros(width))
        self.register_buffer("spread", torch.ones(()))

    def fit(self, batches: Iterable[Signals]) -> None:
        """Find the prototypes; StageError where there are no more different tokens than those."""
        tokens = self.prototypes.new_empty(0, self.prototypes.shape[1])
        for signals in batches:
            feature = signals["teacher_feature"].float()
            _, feature = at_same_places(feature.new_empty(len(feature), *self.own), feature)
            found = as_tokens(feature).flatten(0, 1)
            tokens = drawn(torch.cat([tokens, found]), self.config.tokens)
        self._check(len(tokens))
        exact = tokens.double()
        middle = exact.mean(0)
        prototypes, error = k_means(exact - middle, len(self.prototypes))
        self.prototypes.copy_(prototypes)
        self.middle.copy_(middle)
        self.spread.copy_(error)

    def forward(self, *, student_feature: Features, teacher_feature: OtherFeatures) -> PerExample:
        r"""Return the mean of $KL(a_t \| a_s) + h\,\overline{(u - z)^2}$ over places, per example.

        $a_t = softmax_k(-|z - P_k|^2 / \tau)$ for the teacher's token z, $a_s$ the same of the
        student's projected token u; $\tau$ is the mean square distance of tokens to their nearest
        prototype, and all are less the mean of all tokens.
        """
        student, teacher = at_same_places(student_feature.float(), teacher_feature.float())
        own, told = as_tokens(self.query(student)), as_tokens(teacher) - self.middle
        assigned, wanted = self.assignment(own), self.assignment(told)
        guided = divergence(wanted, assigned).mean(1)
        return guided + self.config.hint * apart(own, told) if self.config.hint else guided

    def assignment(self, tokens: Float[Tensor, "*many width"]) -> Float[Tensor, "*many prototypes"]:
        """Return the logarithms of the shares of the prototypes in tokens less their middle."""
        return log_shares(tokens, self.prototypes, self.spread)

    def hand_on(self, student: nn.Module) -> None:
        """Give what was found to a student that recalls it; StageError where it has other room."""
        places = [module for module in student.modules() if isinstance(module, Recall)]
        for place in places:
            try:
                place.keep(self.prototypes, self.spread)
            except ValueError as error:
                step = "Give the model prototyped as many prototypes as prock, and its width."
                raise StageError(f"the student cannot recall prototypes: {error}.", step) from error

    def _check(self, tokens: int) -> None:
        """Raise StageError where there are so few tokens that each were a prototype."""
        if tokens <= len(self.prototypes):
            raise StageError(
                f"{tokens} different tokens are too few for {len(self.prototypes)} prototypes.",
                "Give prock fewer prototypes, or more tokens where there are such: a module of the "
                "teacher that gives a map has one at each place.",
            )


def drawn(tokens: Tokens, most: int) -> Float[Tensor, "some width"]:
    """Return at most so many different tokens, in an order that their numbers alone decide.

    By a random hash of their bits: those that come out are the same however tokens are divided.
    """
    rng = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, tokens.shape[1:], generator=rng)
    bits = (tokens + 0.0).contiguous().view(torch.int32).long()  # + 0: -0 and 0 are one number
    keys, order = (bits * factors.to(bits)).sum(-1).sort(stable=True)
    new = torch.ones_like(keys, dtype=torch.bool)
    new[1:] = keys[1:] != keys[:-1]
    return tokens[order[new][:most]]


def k_means(tokens: Tokens, count: int) -> tuple[Prototypes, Float[Tensor, ""]]:
    """Return Lloyd's prototypes, begun with the first tokens, and the mean square distance."""
    prototypes, before = tokens[:count], None
    for _ in range(ROUNDS):
        distance, nearest = _nearest(tokens, prototypes)
        if before is not None and torch.equal(nearest, before):
            break
        prototypes, before = moved(tokens, nearest, distance, count), nearest
    return prototypes, _nearest(tokens, prototypes)[0].mean()


def moved(
    tokens: Tokens, nearest: Int64[Tensor, " tokens"], distance: Tensor, count: int
) -> Prototypes:
    """Return the mean of each prototype's tokens; one without any goes to the farthest token."""
    member = F.one_hot(nearest, count).to(tokens)
    counts = member.sum(0)
    means: Tensor = member.T @ tokens / counts.clamp(min=1)[:, None]
    dead = counts == 0
    means[dead] = tokens[distance.topk(int(dead.sum())).indices]
    return means


def _nearest(tokens: Tokens, prototypes: Prototypes) -> tuple[Tensor, Tensor]:
    """Return the square distance of each token to its nearest prototype, and which that is."""
    products = tokens @ prototypes.T
    squared = tokens.square().sum(-1, keepdim=True) - 2 * products + prototypes.square().sum(-1)
    distance, nearest = squared.min(1)
    return distance.clamp(min=0), nearest
