"""What vision transformers are made of: patches with their places, and blocks over tokens."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Image = Float[Tensor, "batch channels height width"]
Patches = Float[Tensor, "batch patches pixels"]
Tokens = Float[Tensor, "batch tokens numbers"]
Places = Int64[Tensor, "batch chosen"]
Chosen = Float[Tensor, "batch chosen numbers"]
TOKEN_SPREAD = 0.02
PLACE_SPREAD = 0.5**0.5
"""Standard deviations of tokens that are learned, before they are."""


class PatchEmbedding(nn.Module):
    """A linear map of every patch of an image to a token, and the patch's place added to it.

    What may show a network some patches alone (`train.masked`) finds them by this module: all that
    lies before it must treat patches one by one, and so must not mix them.
    """

    def __init__(self, channels: int, grid: tuple[int, int], patch: int, width: int):
        super().__init__()
        self.patch, self.count = patch, grid[0] * grid[1]
        self.project = nn.Conv2d(channels, width, patch, stride=patch)
        _begin(self.project)
        self.places = places_of(self.count, width)

    def forward(self, image: Image) -> Tokens:
        """Return a token for every patch, row by row."""
        tokens: Tensor = self.project(image).flatten(2).transpose(1, 2)
        return tokens + self.places


class Attention(nn.Module):
    """Scaled dot products of every token with all, in several heads."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.inputs, self.output = linear(width, 3 * width), linear(width, width)

    def forward(self, tokens: Tokens) -> Tokens:
        """Return what each token gathers of all."""
        batch, count, width = tokens.shape
        split = self.inputs(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(query, key, value)
        gathered: Tensor = self.output(found.transpose(1, 2).reshape(batch, count, width))
        return gathered


class Block(nn.Module):
    """Attention and a perceptron, each on normed tokens and added to them."""

    def __init__(self, width: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = perceptron(width, round(mlp_ratio * width), width)

    def forward(self, tokens: Tokens) -> Tokens:
        """Return the tokens with what both add."""
        tokens = tokens + self.attention(self.norm_attention(tokens))
        summed: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return summed


def perceptron(own: int, hidden: int, width: int) -> nn.Sequential:
    """Return two linear layers with GELU between them."""
    return nn.Sequential(linear(own, hidden), nn.GELU(), linear(hidden, width))


def linear(own: int, width: int) -> nn.Linear:
    """Return a linear layer with weights after Glorot and Bengio, as the masked auto-encoder's."""
    layer = nn.Linear(own, width)
    _begin(layer)
    return layer


def _begin(layer: nn.Linear | nn.Conv2d) -> None:
    """Draw the weights of a layer, of a convolution as if it were linear over a patch."""
    nn.init.xavier_uniform_(layer.weight.flatten(1))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def token(width: int) -> nn.Parameter:
    """Return a token that is learned, [1, 1, width]."""
    return nn.Parameter(torch.randn(1, 1, width) * TOKEN_SPREAD)


def places_of(count: int, width: int) -> nn.Parameter:
    """Return a token for each place, which are learned, [1, count, width].

    As large as the fixed sines of "Masked Autoencoders Are Scalable Vision Learners", which on a
    grid of few patches hardly tell them apart.
    """
    return nn.Parameter(torch.randn(1, count, width) * PLACE_SPREAD)


def patches_of(image: Image, patch: int) -> Patches:
    """Return the pixels of every patch, row by row; channels stand last within a patch."""
    batch, channels, height, width = image.shape
    cut = image.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)


def chosen(tokens: Tokens, places: Places) -> Chosen:
    """Return the tokens at these places of each example, in their order."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
