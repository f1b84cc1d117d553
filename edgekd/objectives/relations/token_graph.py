"""How patches of pictures lie to each other: within a picture, near to each other, and all in all.

Tokens are what a tapped module gives at each place: of a map its channels, of a transformer its
rows. Of two maps the larger is averaged down; beside a map, tokens are laid out as a square,
without a class token. Cross-entropy and `kd` belong beside it. The source read was a summary: the
weights, the numbers of tokens and neighbours, sigma and how the temperature falls are this
project's. Of several processes, and of a batch learned from in parts, the graphs are the part's.
"""

from math import isqrt, log, sqrt
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, NonNegative, Positive, PositiveCount
from edgekd.core.errors import StageError
from edgekd.core.kinds import objective
from edgekd.core.protocols.training import Setting
from edgekd.core.registry import Paper
from edgekd.ops.features import MAP, TOKENS, as_tokens, at_same_places
from edgekd.ops.neighbours import cosines
from edgekd.ops.shapes import Features, OtherFeatures, Progress

PAPER = Paper("Knowledge Distillation via Token-level Relationship Graph", "2306.12442")
OUTSIDE = -1e4
"""In the place of a weight that has no part in a softmax: its share is 0, its gradient finite."""

Tokens = Float[Tensor, "batch tokens width"]
Sampled = Float[Tensor, "n width"]
OtherSampled = Float[Tensor, "n other_width"]
Graph = Float[Tensor, "n n"]
Scalar = Float[Tensor, ""]


class TokenGraph(Config):
    """What each relation counts, and of how many tokens."""

    inner: NonNegative = 1.0
    """Weight of the similarities within each picture. They shrink with the square of its tokens."""
    local: NonNegative = 1.0
    """Weight of the graphs of near tokens, over all pictures of the batch."""
    contextual: NonNegative = 0.5
    """Weight of telling each token's own teacher token from all others (the global term)."""
    tokens: PositiveCount = 256
    """Most tokens of a batch that the local and the global term compare, drawn in each step."""
    neighbours: PositiveCount = 8
    """How many nearest tokens of each the local graph has."""
    sigma: Positive = 0.5
    """Width of the local kernel."""
    unit_length: bool = True
    """Scale tokens to length 1 before the local term: the raw scales of two networks differ."""
    kl_order: Literal["student", "teacher"] = "student"
    """Whose graph stands first in the divergence of the local term."""
    support: Literal["all", "neighbours"] = "all"
    """What a token's softmax goes over: all tokens, where those that are no neighbours count as
    weight 0 and the gradient shrinks with their number, or the neighbours in either network."""
    coarse: Positive = 0.5
    """Temperature of the global term at the beginning."""
    fine: Positive = 0.07
    """Its temperature at the end; it falls evenly in its logarithm."""


@objective(
    config=TokenGraph,
    paper=PAPER,
    tries=(["cross_entropy", "kd", {"kind": "token_graph", "tap": "maps"}],),
)
class TokenGraphLoss(nn.Module):
    """Compares graphs of tokens; the projection to the teacher's width is for training alone."""

    projection: nn.Module

    def __init__(self, config: TokenGraph):
        super().__init__()
        self.config = config

    def prepare(self, setting: Setting) -> None:
        """Make the projection of the global term; StageError where no places are in common."""
        features = (
            torch.empty(1, *setting.shapes[f"{who}_feature"]) for who in ("student", "teacher")
        )
        own, wanted = (tokens.shape[-1] for tokens in _tokens(*features))
        self.projection = nn.Linear(own, wanted)

    def forward(
        self, *, student_feature: Features, teacher_feature: OtherFeatures, progress: Progress
    ) -> Scalar:
        r"""Return $\alpha L_{inner} + \beta L_{local} + \gamma L_{global}$ of the batch."""
        config = self.config
        student, teacher = _tokens(student_feature.float(), teacher_feature.detach().float())
        loss = student.new_zeros(())
        if config.inner:
            loss = loss + config.inner * F.mse_loss(_within(student), _within(teacher))
        if config.local or config.contextual:
            some = _drawn(student.shape[0] * student.shape[1], config.tokens, student.device)
            student, teacher = student.flatten(0, 1)[some], teacher.flatten(0, 1)[some]
        if config.local:
            loss = loss + config.local * local(config, student, teacher)
        if config.contextual:
            near = contextual(self.projection(student), teacher, temperature(config, progress))
            loss = loss + config.contextual * near
        return loss


def local(config: TokenGraph, student: Sampled, teacher: OtherSampled) -> Scalar:
    r"""Return the mean over i of $KL(softmax_j A^S_{ij} \| softmax_j A^T_{ij})$."""
    graphs = [graph(config, tokens) for tokens in (student, teacher)]
    if config.support == "neighbours":
        outside = (graphs[0] == 0) & (graphs[1] == 0)
        graphs = [found.masked_fill(outside, OUTSIDE) for found in graphs]
    first, second = (found.log_softmax(1) for found in graphs)
    if config.kl_order == "teacher":
        first, second = second, first
    return (first.exp() * (first - second)).sum(1).mean()


def graph(config: TokenGraph, tokens: Sampled) -> Graph:
    r"""Return A: $e^{-|T_i - T_j|^2 / 2\sigma}$ where i is among the k nearest of j, else 0."""
    if config.unit_length:
        tokens = F.normalize(tokens, dim=1)
    exact = "donot_use_mm_for_euclid_dist"  # by products, those of near ones lose their digits
    squared = torch.cdist(tokens, tokens, compute_mode=exact).square()
    count = len(tokens)
    others = squared.detach().masked_fill(
        torch.eye(count, dtype=torch.bool, device=tokens.device), torch.inf
    )
    nearest = others.topk(min(config.neighbours, count - 1), dim=0, largest=False).indices
    near = torch.zeros_like(others, dtype=torch.bool).scatter_(0, nearest, True)
    return torch.exp(-squared / (2 * config.sigma)).masked_fill(~near, 0)


def contextual(student: Sampled, teacher: Sampled, temperature: Scalar) -> Scalar:
    """Return the mean negative log-likelihood of each token's own teacher token, by cosine."""
    near = cosines(student, teacher) / temperature
    return F.cross_entropy(near, torch.arange(len(near), device=near.device))


def temperature(config: TokenGraph, progress: Progress) -> Scalar:
    """Return the temperature of the global term: from `coarse` to `fine`."""
    falls = torch.exp(progress * log(config.fine / config.coarse))
    return config.coarse * falls


def _within(tokens: Tokens) -> Float[Tensor, "batch tokens tokens"]:
    """Return the softmax over the scaled products of each token with those of its picture."""
    products: Tensor = tokens @ tokens.transpose(1, 2)
    return (products / sqrt(tokens.shape[-1])).softmax(-1)


def _drawn(there: int, wanted: int, device: torch.device) -> Tensor:
    """Return the numbers of the tokens that are compared: the same ones of both networks."""
    if there <= wanted:
        return torch.arange(there, device=device)
    return torch.randperm(there, device=device)[:wanted]


def _tokens(student: Features, teacher: OtherFeatures) -> tuple[Tensor, Tensor]:
    """Return the tokens of both at the same places, each [batch, tokens, width]."""
    both = [student, teacher]
    if {student.ndim, teacher.ndim} == {MAP, TOKENS}:
        both = [feature if feature.ndim == MAP else _square(feature) for feature in both]
    first, second = at_same_places(*both)
    return as_tokens(first), as_tokens(second)


def _square(tokens: Tokens) -> Float[Tensor, "batch width side side"]:
    """Return tokens as a map, without a class token before them; StageError where none fits."""
    count = tokens.shape[1]
    side = isqrt(count)
    if side * side == count - 1:
        tokens = tokens[:, 1:]
    elif side * side != count:
        raise StageError(
            f"{count} tokens do not lie in a square, and the other network gives a map.",
            "Tap modules that both give maps, or as many tokens.",
        )
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
