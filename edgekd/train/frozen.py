"""Parts of a student that stay as they are, and networks that do so for a while."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(student: nn.Module, paths: Collection[str]) -> None:
    """Let no weight of the modules at some paths learn; AttributeError where there is none."""
    for path in paths:
        student.get_submodule(path).requires_grad_(False)


def set_to_learn(student: nn.Module, paths: Collection[str]) -> None:
    """Put a student into train mode, save what is frozen.

    That is what lies at the paths, and any batch norm whose author let its weights not learn: its
    averages stay too.
    """
    student.train()
    for path in paths:
        student.get_submodule(path).eval()
    for module in student.modules():
        own = [*module.parameters(recurse=False)]
        if isinstance(module, _BatchNorm) and own and not any(p.requires_grad for p in own):
            module.eval()


@contextmanager
def at_rest(modules: Collection[nn.Module]) -> Iterator[None]:
    """Have modules in eval mode for a while."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
