"""The parts of a transformers encoder that can go: heads, inner widths, and whole layers.

Nothing is known of one architecture: a head is taken from a copy, and the layers that got narrower
are those that write and read heads.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from edgekd.core.errors import StageError
from edgekd.core.quiet import quiet


@dataclass(frozen=True)
class Block:
    """One layer of an encoder, its modules by path."""

    path: str
    heads: tuple[int, ...]
    """Heads that are there, by the numbers that they had in the whole model."""
    attention_in: tuple[str, ...]
    """What writes heads: queries, keys and values."""
    attention_out: str
    """What reads them."""
    head_size: int
    """Channels of one head."""
    ffn: tuple[str, str] | None
    """What widens and what narrows; None where it is something else than two linear layers."""


def blocks_of(model: nn.Module) -> list[Block]:
    """Return the layers of the encoder inside a model in order.

    StageError where there is none, or its layers are not one list of alike ones with heads.
    """
    path, layers = _layers(model)
    heads = [_heads(_network(model), index) for index in range(len(layers))]
    with quiet():
        probe = copy.deepcopy(model)
        take_heads(probe, [there[:1] for there in heads])
    before, after = dict(model.named_modules()), dict(probe.named_modules())
    return [_block(f"{path}.{index}", heads[index], before, after) for index in range(len(layers))]


def take_heads(model: nn.Module, gone: Sequence[Sequence[int]]) -> None:
    """Remove heads of each layer in place, by the numbers that they had in the whole model.

    transformers does it: it knows which attributes of its modules must follow.
    """
    network = _network(model)
    network.prune_heads({index: [*heads] for index, heads in enumerate(gone) if heads})
    for layer, heads in network.config.pruned_heads.items():
        network.config.pruned_heads[layer] = sorted(heads)


def keep_layers(model: nn.Module, kept: Sequence[int]) -> None:
    """Leave only some of the layers, in place; the configuration says so."""
    path, layers = _layers(model)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.ModuleList(layers[index] for index in kept))
    config = _network(model).config
    config.num_hidden_layers = len(kept)
    config.pruned_heads = {
        new: config.pruned_heads[old] for new, old in enumerate(kept) if old in config.pruned_heads
    }


def narrow(model: nn.Module, block: Block, kept: Sequence[int]) -> None:
    """Leave only some of the inner channels of a block, in place."""
    assert block.ffn is not None
    wide, back = (cast(nn.Linear, model.get_submodule(path)) for path in block.ffn)
    wide.weight = nn.Parameter(wide.weight.detach()[kept].clone())
    if wide.bias is not None:
        wide.bias = nn.Parameter(wide.bias.detach()[kept].clone())
    back.weight = nn.Parameter(back.weight.detach()[:, kept].clone())
    wide.out_features = back.in_features = len(kept)


def _network(model: nn.Module) -> Any:
    """Return the transformers model inside; StageError where there is none with heads to take."""
    for module in model.modules():
        if hasattr(module, "prune_heads") and hasattr(module, "base_model"):
            return module
    raise StageError(
        "the model has no encoder of transformers in it.",
        "Use channels for convolutional models and for models of your own.",
    )


def _layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the list of an encoder's layers with its path in the model."""
    config = _network(model).config
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and _are_layers(module):
            if len(module) == config.num_hidden_layers:
                return path, module
            break
    raise StageError(
        f"the layers of this {config.model_type} are not one list of alike layers with heads.",
        "Take a model such as BERT, DistilBERT, ViT or DeiT.",
    )


def _heads(network: Any, layer: int) -> tuple[int, ...]:
    gone = network.config.pruned_heads.get(layer, ())
    return tuple(h for h in range(network.config.num_attention_heads) if h not in gone)


def _attentions(block: nn.Module) -> list[str]:
    return [path for path, module in block.named_modules() if hasattr(module, "prune_heads")]


def _are_layers(layers: nn.ModuleList) -> bool:
    return len(layers) > 0 and all(len(_attentions(block)) == 1 for block in layers)


def _block(
    path: str,
    heads: tuple[int, ...],
    before: dict[str, nn.Module],
    after: dict[str, nn.Module],
) -> Block:
    """Return a block by what became of its layers when a head went."""
    attention = f"{path}.{_attentions(before[path])[0]}"
    own = dict(_linears(path, before))
    written = [n for n, m in own.items() if after[n].out_features != m.out_features]
    read = [n for n, m in own.items() if after[n].in_features != m.in_features]
    others = [n for n in own if not n.startswith(f"{attention}.")]
    size = own[read[0]].in_features // len(heads)
    pair = len(others) == 2 and own[others[0]].out_features == own[others[1]].in_features
    ffn = (others[0], others[1]) if pair else None
    return Block(path, heads, tuple(written), read[0], size, ffn)


def _linears(path: str, modules: dict[str, nn.Module]) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in modules.items():
        if name.startswith(f"{path}.") and isinstance(module, nn.Linear):
            yield name, module
