"""What the model inside of another one says of itself, said of both."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from torch import nn

from edgekd.core.config import Config
from edgekd.core.errors import Problem
from edgekd.core.protocols.task import Task
from edgekd.core.refs import UseModel


class Around(Config):
    """Options of a model that is built around another."""

    of: UseModel
    """The other one."""


Options = TypeVar("Options", bound=Around)


def settled_around(config: Options, module: nn.Module) -> Options:
    """Return options whose inner model, which is `module`, needs no outside folder."""
    settle = config.of.plugin.traits.get("settle")
    if settle is None:
        return config
    of = config.of.model_copy(update={"options": settle(config.of.options, module)})
    return config.model_copy(update={"of": of})


def has_weights(config: Around) -> bool:
    """Tell whether the inner model comes with weights."""
    has = config.of.plugin.traits.get("has_weights")
    return bool(has and has(config.of.options))


def check_inner(config: Around, task: Task, *, taught: bool) -> Iterator[Problem]:
    """Yield what the inner model has to say, at its place in the options."""
    told = config.of.plugin.traits.get("check")
    for problem in told(config.of.options, task, taught=taught) if told else ():
        yield replace(problem, path=".".join(part for part in ("of", problem.path) if part))


def classifier_of(network: nn.Module, classes: int) -> tuple[str, nn.Linear] | None:
    """Return the last linear layer and where it is, where that gives the classes."""
    layers = [(n, m) for n, m in network.named_modules() if n and isinstance(m, nn.Linear)]
    return layers[-1] if layers and layers[-1][1].out_features == classes else None
