"""Any classifier of transformers: a local folder with its weights, or a shape without them.

Whether it is one of images or of texts follows from what the task puts in.

Nothing is fetched, no code of the folder is run, and only safetensors are read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import field_validator, model_validator
from torch import nn

from edgekd.core.config import Config, LocalPath
from edgekd.core.errors import Problem, StageError
from edgekd.core.kinds import model
from edgekd.core.protocols.task import Task
from edgekd.core.signature import Signature
from edgekd.models.cut_encoder import cut_of, from_configuration
from edgekd.models.pretrained_folder import check_folder, check_weights, configuration
from edgekd.models.pretrained_heads import Head, Network, head_for
from edgekd.models.pretrained_shape import (
    DESCRIPTION,
    kind_and_options,
    shape_from_folder,
    shape_from_options,
)


class Pretrained(Config):
    """Where the classifier comes from: exactly one of the two."""

    folder: LocalPath | None = None
    """Folder with config.json and *.safetensors, as `save_pretrained` writes it."""
    config: Mapping[str, Any] | None = None
    """A transformers configuration, as `{model_type: vit, hidden_size: 64}`; weights by chance.
    What follows from the task, as the number of tokens, need not be said."""

    @field_validator("folder")
    @classmethod
    def _holds_a_model(cls, folder: LocalPath | None) -> LocalPath | None:
        if folder is not None:
            if not Path(folder, DESCRIPTION).is_file():
                raise ValueError(f"there is no {DESCRIPTION} in {folder}")
            if not any(Path(folder).glob("*.safetensors")):
                raise ValueError(
                    f"there are no *.safetensors in {folder}; pickled weights are refused, "
                    "save_pretrained writes safetensors"
                )
        return folder

    @model_validator(mode="after")
    def _one_of_both(self) -> "Pretrained":
        if (self.folder is None) == (self.config is None):
            raise ValueError("give either folder or config")
        return self


def settle(config: Pretrained, module: nn.Module) -> Pretrained:
    """Return the same without the folder: the whole configuration that it held, and what was cut.

    Options that say all of it already stay as they were written.
    """
    shape = cast(Network, module).network.config
    if config.folder is not None:
        return Pretrained(config=configuration(shape))
    kind, options = kind_and_options(config.config or {})
    cut = cut_of(shape, kind(**options))
    return Pretrained(config={**(config.config or {}), **cut}) if cut else config


def has_weights(config: Pretrained) -> bool:
    """Tell whether weights come with it."""
    return config.folder is not None


def check(config: Pretrained, task: Task, *, taught: bool) -> Iterator[Problem]:
    """Yield where a folder's classes, or its view of pictures or texts, are not the task's."""
    if config.folder is not None:
        yield from check_weights(Path(config.folder))
        yield from check_folder(Path(config.folder), shape_from_folder(config.folder), task, taught)


@model(
    config=Pretrained,
    settle=settle,
    has_weights=has_weights,
    check=check,
    distributions=("transformers",),
)
def pretrained(config: Pretrained, signature: Signature) -> nn.Module:
    """Return the classifier, with a new head by chance where the classes are not as many.

    ValueError where transformers has no such classifier, or it takes other images or texts;
    StageError where the folder lacks weights of the body.
    """
    import transformers

    head = head_for(signature)
    auto = getattr(transformers, head.auto)
    fitting = head.fitting(signature)
    shape = (
        shape_from_folder(config.folder)
        if config.folder
        else shape_from_options(config.config, fitting)
    )
    if type(shape) not in auto._model_mapping:
        raise ValueError(f"transformers has no {head.called} of type '{shape.model_type}'")
    shape.num_labels = int(signature.outputs[0].shape[-1])
    shape.dtype = torch.float32  # also where half was saved
    outline = _outline(shape, head, signature)
    if torch.get_default_device().type == "meta":  # the caller wants no weights
        return outline
    if config.folder is None:
        return head.wrap(from_configuration(auto, shape, head.how))
    return _with_weights(config.folder, shape, auto, head)


def _with_weights(folder: str, shape: Any, auto: Any, head: Head) -> nn.Module:
    """Return the folder's classifier; only the head may be new."""
    unreadable = next(iter(check_weights(Path(folder))), None)
    if unreadable:
        raise StageError(unreadable.message, unreadable.next_step)
    try:
        network, found = auto.from_pretrained(
            folder,
            config=shape,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **head.how,
        )
    except (OSError, ValueError) as error:
        step = "Save the model once more with save_pretrained."
        raise StageError(f"{folder} cannot be read: {error}", step) from error
    fresh = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    body = [key for key in fresh if key.startswith(f"{network.base_model_prefix}.")]
    if body:
        raise StageError(
            f"{folder} has no fitting weights for '{body[0]}' and {len(body) - 1} more.",
            "Save the model once more with save_pretrained; its config.json must be its own.",
        )
    return head.wrap(network, tuple(fresh))


def _outline(shape: Any, head: Head, signature: Signature) -> nn.Module:
    """Return the network without memory; ValueError where it does not take what goes in."""
    import transformers

    reason = head.refuse(shape, signature)
    with torch.device("meta"):
        auto = getattr(transformers, head.auto)
        network = head.wrap(from_configuration(auto, shape, head.how)).eval()
        given = [
            torch.empty(port.concrete(**signature.sizes(2)), dtype=getattr(torch, port.dtype))
            for port in signature.inputs
        ]
        try:
            if not reason:
                network(*given)
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().split("\n", 1)[0]
    if reason:
        raise ValueError(
            f"this {shape.model_type} does not take {head.takes(signature)} ({reason}); "
            f"change the task's {head.change}"
        )
    return network.train()
