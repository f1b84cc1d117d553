"""What transformers calls the networks that tasks ask for, and how each is called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, float32, nn

from edgekd.core.signature import Signature
from edgekd.ops.shapes import Logits

PLAIN_ATTENTION = {"attn_implementation": "eager"}
"""transformers' other way looks whether a mask hides anything: a GPU would be waited for in every
step, and nothing could be told before there are weights."""


class Network(nn.Module):
    """Takes and returns tensors, where transformers returns an object."""

    def __init__(self, network: nn.Module, fresh: tuple[str, ...] = ()):
        super().__init__()
        self.network = network
        self.fresh = fresh
        """Weights of the head that no folder gave, by name."""


class PictureClassifier(Network):
    """Takes an image and returns logits."""

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Logits:
        """Return scores by class."""
        scores: Tensor = self.network(pixel_values=image, return_dict=True).logits
        return scores


HIDDEN = -30.0
"""What is added to the attention to a place without token, which is then one in 10 ** 13.
transformers adds the least float32, and int8 would have to count from there."""


def bound_mask(network: Any) -> None:
    """Have a network that makes its mask as BERT does add `HIDDEN` where there is no token."""
    if not getattr(network.config, "is_decoder", False):
        network.base_model.get_extended_attention_mask = _extended


def _extended(mask: Tensor, _shape: Any, device: Any = None, dtype: Any = None) -> Tensor:  # noqa: ARG001
    """Return what is added to attention, [batch, 1, 1, sequence]; transformers' own parameters."""
    hidden: Tensor = (1 - mask[:, None, None, :].to(dtype or float32)) * HIDDEN
    return hidden


class TextClassifier(Network):
    """Takes rows of tokens and returns logits."""

    def __init__(self, network: nn.Module, fresh: tuple[str, ...] = ()):
        super().__init__(network, fresh)
        bound_mask(network)

    def forward(
        self,
        input_ids: Int64[Tensor, "batch sequence"],
        attention_mask: Int64[Tensor, "batch sequence"],
    ) -> Logits:
        """Return scores by class; where the mask is 0 there is no token."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        scores: Tensor = self.network(**given, return_dict=True).logits
        return scores


@dataclass(frozen=True)
class Head:
    """A kind of network."""

    called: str
    """What people call it, as `image classifier`."""
    auto: str
    """The class of transformers that makes it from a configuration."""
    wrap: type[Network]
    fitting: Callable[[Signature], Mapping[str, Any]]
    """Options of a configuration that follow from what goes in, where it knows them."""
    refuse: Callable[[Any, Signature], str]
    """Says what a configuration lacks for what goes in; nothing where it lacks nothing."""
    takes: Callable[[Signature], str]
    """Says what goes in."""
    change: str
    """What of the task could be changed."""
    how: Mapping[str, Any] = field(default_factory=dict)
    """Choices of transformers that are not part of a configuration."""


def head_for(signature: Signature) -> Head:
    """Return the kind of network for a task; ValueError where there is none."""
    ports = (tuple(p.name for p in signature.inputs), signature.outputs[0].name)
    if ports not in HEADS:
        ins, out = ", ".join(ports[0]), ports[1]
        raise ValueError(f"it knows no kind of network that takes {ins} and gives {out}")
    return HEADS[ports]


def _picture_options(signature: Signature) -> Mapping[str, Any]:
    shape = signature.inputs[0].shape
    return {"num_channels": shape[1], "image_size": shape[2]}


def _picture(signature: Signature) -> str:
    return f"{'x'.join(map(str, signature.inputs[0].shape[1:]))} images"


def text_options(signature: Signature) -> Mapping[str, Any]:
    """Return what a configuration needs for texts of so many tokens of so many kinds."""
    length = signature.sizes(1)["sequence"]
    return {"vocab_size": signature.inputs[0].values, "max_position_embeddings": length}


def text_refusal(shape: Any, signature: Signature) -> str:
    """Say that a configuration has too few tokens or places for texts."""
    entries, length = signature.inputs[0].values or 0, signature.sizes(1)["sequence"]
    known, places = (
        getattr(shape, "vocab_size", 0),
        getattr(shape, "max_position_embeddings", length),
    )
    if known < entries:
        return f"it knows {known:,} tokens, and the tokenizer has {entries:,}"
    return "" if places >= length else f"it has places for {places:,} tokens"


def _text(signature: Signature) -> str:
    return f"texts of {signature.sizes(1)['sequence']} tokens"


HEADS = {
    (("image",), "logits"): Head(
        "image classifier",
        "AutoModelForImageClassification",
        PictureClassifier,
        _picture_options,
        lambda _shape, _signature: "",
        _picture,
        "size or color",
    ),
    (("input_ids", "attention_mask"), "logits"): Head(
        "text classifier",
        "AutoModelForSequenceClassification",
        TextClassifier,
        text_options,
        text_refusal,
        _text,
        "tokenizer or max_length",
        PLAIN_ATTENTION,
    ),
}
"""By the names of the inputs and of the first output."""
